/** The panel "Train": what is to be done next, the training as it goes, a new training, and earlier ones. */

import { app } from '../base/app.js';
import { chosenCharacter, openJob } from '../base/choice.js';
import { appendTo } from '../base/dom.js';
import { lastJob } from '../jobs/jobs.js';
import { askRun, knownRuns } from '../jobs/runs.js';
import { compareRuns } from './train_compare.js';
import { goOnElsewhere } from './train_elsewhere.js';
import { trainForm } from './train_form.js';
import { trainingView } from './train_live.js';
import { earlierRuns, moreSteps } from './train_runs.js';
import { trainWords, unfinished } from './train_words.js';
import { repeatWhileSeen } from '../widgets/form_parts.js';
import { foldSection, leadLine } from '../widgets/widgets.js';

const SLOWLY = 5000; // milliseconds between two questions for the whole run

/** @type {TrainPanel} what `mount` has made. */
let view;

export const panel = {
  mount: (/** @type {HTMLElement} */ root) => (view = make(root)),
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

/** @param {HTMLElement} root */
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
  const made = /** @type {TrainPanel} */ ({
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
  });
  fresh.addEventListener('toggle', () => update(made)); // which button comes next is another one then
  made.beat = repeatWhileSeen(() => loadRun(made, false), SLOWLY);
  return made;
}

/**
 * Ask what has changed of the shown run: always while it is being trained, else once.
 * @param {TrainPanel} made
 * @param {boolean} anyway
 */
async function loadRun(made, anyway) {
  const { slug, run } = made;
  if (!run) return;
  const goes = openJob('train') && openJob('train').state === 'running';
  if (made.details && !goes && !anyway) return;
  const details = await askRun(slug, run);
  if (slug !== made.slug || run !== made.run) return;
  made.details = details;
  update(made);
}

/** @param {TrainPanel} made */
function update(made) {
  const character = chosenCharacter();
  if (!character) return;
  const runs = knownRuns();
  const job = openJob('train');
  const last = lastJob('train');
  const now = situation(job, last, runs);
  follow(made, character.slug, now);
  open(made, now);
  showLead(made, trainWords(now, character, otherBase), now);
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

/**
 * One button is coloured: that of the first line, or where the user has opened the form, that of the form.
 * @param {TrainPanel} made
 * @param {Lead} to
 * @param {TrainSituation} now
 */
function showLead(made, to, now) {
  const buttons = (to.buttons || []).filter((one) => !!one);
  const form = made.fresh.open && (now.kind !== 'nothing' || !buttons.some((one) => one.main));
  made.lead.set({ ...to, buttons: form ? buttons.map((one) => ({ ...one, main: false })) : buttons });
  made.form.setMain(form);
}

/**
 * Show the training that another panel has laid out.
 * @param {TrainPanel} made
 * @param {string} slug
 */
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

/**
 * Which run is shown, and that it is asked for again when its job begins or ends.
 * @param {TrainPanel} made
 * @param {string} slug
 * @param {TrainSituation} now
 */
function follow(made, slug, now) {
  const run = (now.job && now.job.run) || (now.run && now.run.id) || '';
  const mark = JSON.stringify([slug, run, now.kind]);
  if (mark === made.mark) return;
  made.mark = mark;
  if (made.slug !== slug || made.run !== run) made.details = null;
  Object.assign(made, { slug, run });
  loadRun(made, true).catch(() => null);
}

/**
 * The form is open where there is nothing else to do, and otherwise as the user has left it.
 * @param {TrainPanel} made
 * @param {TrainSituation} now
 */
function open(made, now) {
  const mark = `${made.slug}|${now.kind === 'nothing'}`;
  if (now.kind === 'unknown' || mark === made.open) return;
  made.open = mark;
  made.fresh.open = now.kind === 'nothing';
}

/**
 * What there is: {kind, job, run}. "running", "waiting" and "paused" have an open job; "failed", "interrupted" and
 * "stopped" can go on; "trained" has reached its last step.
 * @param {Job | null} job
 * @param {Job | null} last
 * @param {RunRecord[] | null} runs
 * @returns {TrainSituation}
 */
function situation(job, last, runs) {
  if (job) return { kind: job.state, job, run: find(runs, job.run) };
  if (!runs) return { kind: 'unknown', job: null, run: null };
  const newest = runs[0];
  const of = last && last.run ? find(runs, last.run) : null;
  const over = of && of.saved >= of.total && last?.state !== 'failed';
  const newer = newest && of !== newest && newest.created > (last?.created ?? 0);
  const useful = last && !over && !newer && (last.unfinished || last.state === 'paused') ? last : null;
  if (useful && (useful.state !== 'stopped' || of)) return { kind: useful.state, job: useful, run: of };
  const run = runs.find((one) => one.saved || one.resumable); // others left nothing
  if (!run) return { kind: 'nothing', job: null, run: null };
  return { kind: unfinished(run) ? 'stopped' : 'trained', job: null, run };
}

/**
 * @param {RunRecord[] | null} runs
 * @param {string} id
 */
function find(runs, id) {
  return (runs || []).find((run) => run.id === id) || null;
}
