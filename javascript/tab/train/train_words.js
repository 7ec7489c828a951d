/** What the first line says of a training, with its buttons: how it goes, why it ended, and what comes next. */

import { pageState } from '../base/app.js';
import { goTo } from '../base/choice.js';
import * as format from '../base/format.js';
import { say, t } from '../base/texts.js';
import { beginsWhen, controlJob, resumeJob, startJob } from '../jobs/jobs.js';
import { baseGone, jobsBaseGone, reloadRuns, runsAreNew, runsError, thenTest } from '../jobs/runs.js';
import { countedText, hasGpu, phaseName, timeLeft } from './train_live.js';

/**
 * Whether a run has not been saved at its last step, and can go on.
 * @param {RunRecord} run
 */
export function unfinished(run) {
  return run.saved < run.total && run.resumable;
}

/**
 * @param {TrainSituation} now what there is: {kind, job, run}.
 * @param {Character} character the state's entry.
 * @param {() => void} otherBase goes to the choice of a base model.
 * @returns {Lead}
 */
export function trainWords(now, character, otherBase) {
  const { job, run } = now;
  if (now.kind === 'unknown') return { tone: 'none', text: runsError() || 'Loading …' };
  if (now.kind === 'nothing') return missing(character);
  if (job && now.kind === 'running') return running(job);
  if (job && now.kind === 'waiting') return waiting(job);
  if (run && now.kind === 'trained') return trained(run, character);
  const gone = baseGone(run) || jobsBaseGone(job);
  return job && now.kind === 'failed'
    ? failed(job, run, gone && another(otherBase), gone)
    : resting(now, gone && another(otherBase), gone);
}

const another = (/** @type {Action} */ otherBase) => ({
  label: 'Choose another base model',
  main: true,
  do: otherBase,
});
/** @type {Record<string, string>} */
const RESTS = {
  paused: 'Training is paused{where}.',
  interrupted: 'Training was interrupted{where}.',
  stopped: 'Training stopped{where}.',
};

/**
 * @param {TrainSituation} now
 * @param {LeadButton | '' | false} other
 * @param {string} gone
 * @returns {Lead}
 */
function resting(now, other, gone) {
  const { kind, job, run } = now;
  const paused = kind === 'paused';
  const again = other || { label: 'Resume', main: true, do: () => goOn(now) };
  const stop = job && { label: 'Stop', do: () => controlJob(job, 'stop') };
  return {
    tone: 'warn',
    text: t(RESTS[kind], { where: place(run) }),
    detail: gone || (paused ? (hasGpu() && job?.lane === 'heavy' ? 'The GPU is free.' : '') : job?.error),
    buttons: [again, paused ? stop : toTest(run)],
  };
}

/**
 * @param {Character} character
 * @returns {Lead}
 */
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

/**
 * @param {Job} job
 * @returns {Lead}
 */
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

/**
 * @param {Job} job
 * @returns {Lead}
 */
function waiting(job) {
  const paused = pageState().queue.paused;
  return {
    tone: 'none',
    text: 'The training is waiting.',
    detail: beginsWhen(job) || t('Starting soon.'),
    buttons: [
      paused && { label: 'Resume', main: true, do: () => resumeJob(job) },
      { label: 'Remove from queue', do: () => controlJob(job, 'stop') },
    ],
  };
}

/**
 * @param {Job} job
 * @param {RunRecord | null} run
 * @param {LeadButton | '' | false} other
 * @param {string} gone
 * @returns {Lead}
 */
function failed(job, run, other, gone) {
  return {
    tone: 'bad',
    text: job.error || 'The training failed.',
    detail: gone || failedWhere(run),
    buttons: [
      other || { label: 'Try again', main: true, do: () => controlJob(job, 'resume') },
      { label: 'Dismiss', do: () => controlJob(job, 'forget').then(reloadRuns) },
    ],
  };
}

/** @param {RunRecord | null} run */
function failedWhere(run) {
  if (!runsAreNew()) return '';
  const step = run ? run.saved : 0;
  if (!step) return 'It failed before anything was saved; “Try again” starts from the beginning.';
  const values = { step: format.number(step) };
  return t('The steps up to {step} are saved; “Try again” continues after step {step}.', values);
}

/**
 * @param {RunRecord} run
 * @param {Character} character
 * @returns {Lead}
 */
function trained(run, character) {
  const earlier = run.step_to_use < run.saved;
  const words = earlier
    ? 'Run {run} is trained: {steps} steps. Likeness did not rise after step {best}, so that LoRA is used.'
    : 'Run {run} is trained: {steps} steps.';
  const text = t(words, {
    run: run.id,
    steps: format.number(run.saved),
    best: format.number(run.step_to_use),
  });
  const judged = run.grids.some((grid) => grid.kind);
  const { message, text: sentence } = character.test;
  const detail = judged ? say(message, sentence) : t('Now see whether the face holds.');
  return { tone: 'good', text, detail, buttons: [toTest(run)] };
}

/**
 * @param {RunRecord | null} run
 * @returns {LeadButton | null}
 */
function toTest(run) {
  if (!run || !run.checkpoints.length) return null;
  const judged = run.grids.some((grid) => grid.kind);
  const label = judged ? 'See the test' : 'Continue to the test';
  return { label, main: !unfinished(run), do: () => goTo({ step: 'test' }) };
}

/**
 * "; it goes on after step 800 of 2,000": what is saved counts. Empty until that is known.
 * @param {RunRecord | null} run
 */
function place(run) {
  if (!runsAreNew()) return '';
  const step = run ? run.saved : 0;
  if (!run || !step) return t(' before anything was saved; it will start from the beginning');
  return t('; it can continue after step {step} of {total}', {
    step: format.number(step),
    total: format.number(run.total),
  });
}

/** @param {TrainSituation} given */
async function goOn({ kind, job, run }) {
  if (job && kind === 'paused') await resumeJob(job);
  else if (job) await controlJob(job, 'resume');
  else if (run) await startJob('train', { run: run.id, then_test: await thenTest() }, 'The training continues.');
}
