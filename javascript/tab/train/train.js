/** The panel "Train": what is to be done next, the training as it goes, a new training, and earlier ones. */

import * as api from '../base/api.js';
import { app } from '../base/app.js';
import { chosenCharacter, goTo, openJob } from '../base/choice.js';
import { appendTo } from '../base/dom.js';
import * as format from '../base/format.js';
import { say, t } from '../base/texts.js';
import { beginsWhen, controlJob, lastJob, resumeJob, startJob } from '../jobs/jobs.js';
import { baseGone, jobsBaseGone, knownRuns, reloadRuns, runsAreNew, runsError, thenTest } from '../jobs/runs.js';
import { compareRuns } from './train_compare.js';
import { goOnElsewhere } from './train_elsewhere.js';
import { trainForm } from './train_form.js';
import { countedText, hasGpu, phaseName, timeLeft, trainingView } from './train_live.js';
import { earlierRuns, moreSteps } from './train_runs.js';
import { repeatWhileSeen } from '../widgets/form_parts.js';
import { foldSection, leadLine } from '../widgets/widgets.js';

const SLOWLY = 5000; // milliseconds between two questions for the whole run

let view = null;

export const panel = {
  mount: (root) => (view = make(root)),
  update: () => update(view),
  shown: () => {
    view.form.shown();
    view.beat.set(true);
  },
  hidden: () => {
    view.form.hidden();
    view.beat.set(false);
  },
};

function make(root) {
  const lead = leadLine();
  const live = trainingView();
  const more = moreSteps();
  const elsewhere = goOnElsewhere();
  const form = trainForm();
  const fresh = foldSection('Train a new LoRA', form.node);
  const compare = compareRuns();
  const earlier = earlierRuns(compare.show);
  appendTo(root, [lead, live, elsewhere.node, more.node, fresh, compare.node, earlier.node]);
  const made = {
    lead,
    live,
    more,
    elsewhere,
    form,
    fresh,
    compare,
    earlier,
    details: null,
    slug: '',
    run: '',
    open: '',
  };
  fresh.addEventListener('toggle', () => update(made)); // which button comes next is another one then
  made.beat = repeatWhileSeen(() => loadRun(made, false), SLOWLY);
  return made;
}

/** Ask for the whole of the shown run: always while it is being trained, else once. */
async function loadRun(made, anyway) {
  const { slug, run } = made;
  if (!run) return;
  const goes = openJob('train') && openJob('train').state === 'running';
  if (made.details && !goes && !anyway) return;
  const details = await api.get(`/characters/${slug}/runs/${run}`);
  if (slug !== made.slug || run !== made.run) return;
  made.details = details;
  update(made);
}

function update(made) {
  const character = chosenCharacter();
  if (!character) return;
  const runs = knownRuns();
  const job = openJob('train');
  const last = lastJob('train');
  const now = situation(job, last, runs);
  follow(made, character.slug, now);
  open(made, now);
  showLead(made, words(now, character), now);
  made.lead.hidden = now.kind === 'nothing' && character.next === 'train';
  const ended = !job && now.kind !== 'nothing' && last && last.run === made.run ? last : null;
  made.live.set({ job: job || ended, details: made.details });
  made.live.hidden = !made.run && !(job && job.state === 'running') && now.kind !== 'failed';
  made.more.set(now);
  made.elsewhere.set(now);
  made.form.update();
  if (now.kind !== 'unknown') showLaidOut(made, character.slug);
  made.compare.set(runs || []);
  made.earlier.set(runs || [], made.run);
}

/** One button is coloured: that of the first line, or where the user has opened the form, that of the form. */
function showLead(made, to, now) {
  const buttons = (to.buttons || []).filter(Boolean);
  const form = made.fresh.open && (now.kind !== 'nothing' || !buttons.some((one) => one.main));
  made.lead.set({ ...to, buttons: form ? buttons.map((one) => ({ ...one, main: false })) : buttons });
  made.form.setMain(form);
}

/** Show the training that another panel has laid out. */
function showLaidOut(made, slug) {
  if (app.trainingLaidOut !== slug) return;
  app.trainingLaidOut = '';
  made.fresh.open = true;
  made.form.again();
  made.form.focus();
}

/** Open the form, and go to the choice of a base model. */
function otherBase() {
  view.fresh.open = true;
  view.form.focus();
}

/** Which run is shown, and that it is asked for again when its job begins or ends. */
function follow(made, slug, now) {
  const run = (now.job && now.job.run) || (now.run && now.run.id) || '';
  const mark = JSON.stringify([slug, run, now.kind]);
  if (mark === made.mark) return;
  made.mark = mark;
  if (made.slug !== slug || made.run !== run) made.details = null;
  Object.assign(made, { slug, run });
  loadRun(made, true).catch(() => null);
}

/** The form is open where there is nothing else to do, and otherwise as the user has left it. */
function open(made, now) {
  const mark = `${made.slug}|${now.kind === 'nothing'}`;
  if (now.kind === 'unknown' || mark === made.open) return;
  made.open = mark;
  made.fresh.open = now.kind === 'nothing';
}

/**
 * What there is: {kind, job, run}. "running", "waiting" and "paused" have an open job; "failed", "interrupted" and
 * "stopped" can go on; "trained" has reached its last step.
 */
function situation(job, last, runs) {
  if (job) return { kind: job.state, job, run: find(runs, job.run) };
  if (!runs) return { kind: 'unknown' };
  const newest = runs[0];
  const of = last && last.run ? find(runs, last.run) : null;
  const over = of && of.saved >= of.total && last.state !== 'failed';
  const newer = newest && of !== newest && newest.created > (last ? last.created : 0);
  const useful = last && !over && !newer && ['failed', 'interrupted', 'stopped', 'paused'].includes(last.state);
  if (useful && (last.state !== 'stopped' || of)) return { kind: last.state, job: last, run: of };
  const run = runs.find((one) => one.saved || one.resumable); // others left nothing
  if (!run) return { kind: 'nothing' };
  return { kind: unfinished(run) ? 'stopped' : 'trained', job: null, run };
}

/** Whether a run has not been saved at its last step, and can go on. */
function unfinished(run) {
  return run.saved < run.total && run.resumable;
}

function find(runs, id) {
  return (runs || []).find((run) => run.id === id) || null;
}

// The first line

function words(now, character) {
  const { job, run } = now;
  if (now.kind === 'unknown') return { tone: 'none', text: runsError() || 'Loading …' };
  if (now.kind === 'nothing') return missing(character);
  if (now.kind === 'running') return running(job);
  if (now.kind === 'waiting') return waiting(job);
  if (now.kind === 'trained') return trained(run, character);
  const gone = baseGone(run) || jobsBaseGone(job);
  return now.kind === 'failed' ? failed(job, run, gone) : resting(now, gone);
}

const another = { label: 'Choose another base model', main: true, do: otherBase };
const RESTS = {
  paused: 'Training is paused{where}.',
  interrupted: 'Training was interrupted{where}.',
  stopped: 'Training stopped{where}.',
};

function resting(now, gone) {
  const { kind, job, run } = now;
  const paused = kind === 'paused';
  const again = gone ? another : { label: 'Resume', main: true, do: () => goOn(now) };
  const stop = { label: 'Stop', do: () => controlJob(job, 'stop') };
  return {
    tone: 'warn',
    text: t(RESTS[kind], { where: place(run) }),
    detail: gone || (paused ? (hasGpu() && job.lane === 'heavy' ? 'The GPU is free.' : '') : job && job.error),
    buttons: [again, paused ? stop : toTest(run)],
  };
}

function missing(character) {
  const step = character.next === 'captions' ? 'captions' : 'photos';
  const label = step === 'captions' ? 'Go to the captions' : 'Go to the photos';
  const ready = character.next !== 'photos' && character.next !== 'captions';
  if (ready) return { tone: 'none', text: 'Nothing is trained yet.' };
  return {
    tone: 'warn',
    text: say(character[step].message, character[step].text),
    detail: 'You can still train.',
    buttons: [{ label, main: true, do: () => goTo({ step }) }],
  };
}

function running(job) {
  const count =
    job.standing && job.standing.phase === 'training' ? countedText(job.standing, 'step {done} of {total}') : '';
  const asked = Boolean(job.wish);
  return {
    tone: 'busy',
    text: [phaseName(job), asked ? '' : count].filter(Boolean).join(': '),
    detail: asked ? 'This takes up to a minute or two.' : timeLeft(job.standing),
    buttons: [
      {
        label: 'Pause',
        title: hasGpu() ? 'Saves the step and frees the GPU.' : 'Saves the step; you can resume later.',
        disabled: asked,
        do: () => controlJob(job, 'pause'),
      },
      {
        label: 'Stop',
        title: 'Saves the step and ends; you can resume later.',
        disabled: asked,
        do: () => controlJob(job, 'stop'),
      },
    ],
  };
}

function waiting(job) {
  const paused = app.state.queue.paused;
  return {
    tone: 'none',
    text: 'The training is waiting.',
    detail: beginsWhen(job) || t('It begins in a moment.'),
    buttons: [
      paused && { label: 'Resume', main: true, do: () => resumeJob(job) },
      { label: 'Remove from queue', do: () => controlJob(job, 'stop') },
    ],
  };
}

function failed(job, run, gone) {
  return {
    tone: 'bad',
    text: job.error || 'The training failed.',
    detail: gone || failedWhere(run),
    buttons: [
      gone ? another : { label: 'Try again', main: true, do: () => controlJob(job, 'resume') },
      { label: 'Dismiss', do: () => controlJob(job, 'forget').then(reloadRuns) },
    ],
  };
}

function failedWhere(run) {
  if (!runsAreNew()) return '';
  const step = run ? run.saved : 0;
  if (!step) return 'It failed before anything was saved; “Try again” starts over.';
  const values = { step: format.number(step) };
  return t('The steps up to {step} are saved; “Try again” continues after step {step}.', values);
}

function trained(run, character) {
  const text = t('Run {run} is trained: {steps} steps.', {
    run: run.id,
    steps: format.number(run.saved),
  });
  const judged = run.grids.some((grid) => grid.kind);
  const { message, text: sentence } = character.test;
  const detail = judged ? say(message, sentence) : t('Now see whether the face holds.');
  return { tone: 'good', text, detail, buttons: [toTest(run)] };
}

function toTest(run) {
  if (!run || !run.checkpoints.length) return null;
  const judged = run.grids.some((grid) => grid.kind);
  const label = judged ? 'See the test' : 'Continue to the test';
  return { label, main: !unfinished(run), do: () => goTo({ step: 'test' }) };
}

/** "; it goes on after step 800 of 2,000": what is saved counts. Empty until that is known. */
function place(run) {
  if (!runsAreNew()) return '';
  const step = run ? run.saved : 0;
  if (!step) return t(' before anything was saved; it starts over');
  return t('; it can continue after step {step} of {total}', {
    step: format.number(step),
    total: format.number(run.total),
  });
}

async function goOn({ kind, job, run }) {
  if (kind === 'paused') await resumeJob(job);
  else if (job) await controlJob(job, 'resume');
  else await startJob('train', { run: run.id, then_test: await thenTest() }, 'The training continues.');
}
