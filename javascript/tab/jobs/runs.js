/** The runs of the chosen character, kept for the panels that show them, and what can be said about a run. */

import * as api from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { chosenCharacter } from '../base/choice.js';
import { el } from '../base/dom.js';
import * as format from '../base/format.js';
import { asError } from '../base/page_error.js';
import { redraw } from '../base/redraw.js';
import { growing } from '../base/state_changes.js';
import { t } from '../base/texts.js';
import { numberField } from '../widgets/form_parts.js';
import { formField, selectBox } from '../widgets/widgets.js';

/** @type {{slug: string, mark: string, loaded: string, runs: RunRecord[] | null, error: string}} */
const store = { slug: '', mark: '', loaded: '', runs: null, error: '' };

/**
 * What must have changed before runs are asked for again.
 * @param {Character} character
 */
function markOf(character) {
  const jobs = pageState().queue.jobs.filter((job) => job.slug === character.slug && job.kind !== 'audit');
  const states = jobs.map((job) => [job.id, job.state, job.run]);
  return JSON.stringify([character.slug, character.train.run, character.test.run, character.test.grid, states]);
}

/** The runs of the chosen character, the newest first; null until they are known. Asks anew after a change. */
export function knownRuns() {
  const character = chosenCharacter();
  if (!character) return null;
  if (store.slug !== character.slug) Object.assign(store, { slug: character.slug, loaded: '', runs: null, error: '' });
  const mark = markOf(character);
  if (store.mark !== mark) {
    store.mark = mark;
    load(character.slug);
  }
  return store.runs;
}

/** Why the runs are not known; empty where they are, or are on their way. */
export const runsError = () => store.error;

/** Whether the runs are those of the newest state, and not from before the last change. */
export const runsAreNew = () => Boolean(store.runs) && store.loaded === store.mark;

/**
 * That a run's base model is gone, in one sentence: it can neither be trained on nor tested. Empty where it is there.
 * @param {RunRecord | null | undefined} run
 */
export function baseGone(run) {
  if (!run || run.base_there !== false) return '';
  const values = { run: run.id, file: run.base_path || run.base };
  return t('The base model of run {run} is gone: {file}. Put it back there to train it on or to test it.', values);
}

/**
 * That the base model which a job needs is gone, in one sentence; empty where it is there, or none is needed.
 * @param {Job | null | undefined} job
 */
export function jobsBaseGone(job) {
  if (!job || !job.base_gone) return '';
  return t('The base model is gone: {file}. Put it back there, or choose another one.', { file: job.base_gone });
}

/** The setting whether a training is followed by a test; asked for where it is not known yet. */
export async function thenTest() {
  if (app.usualTest === undefined) app.usualTest = (await api.get('/settings')).then_test !== false;
  return app.usualTest;
}

/** Ask what has changed of a run, by its character and number. */
export const askRun = growing((mark, slug, run) => api.get(`/characters/${slug}/runs/${run}?since=${mark}`));

/** Ask for the runs anew, whatever has changed. */
export function reloadRuns() {
  store.mark = '';
  return knownRuns();
}

/** @param {string} slug */
async function load(slug) {
  const mark = store.mark;
  try {
    const runs = await api.get(`/characters/${slug}/runs`);
    if (slug !== store.slug || mark !== store.mark) return;
    Object.assign(store, { runs, loaded: mark, error: '' });
  } catch (error) {
    if (slug !== store.slug || mark !== store.mark) return;
    store.error = asError(error).message;
    setTimeout(() => store.mark === mark && reloadRuns(), 5000);
  }
  redraw();
}

/**
 * "Run 003, step 2,000, weight 0.8".
 * @param {string} run
 * @param {number | null} step
 * @param {number} weight
 */
export function cellName(run, step, weight) {
  const words = weight === undefined ? 'Run {run}, step {step}' : 'Run {run}, step {step}, weight {weight}';
  return t(words, { run, step: format.number(step), weight: format.number(weight, 2) });
}

/**
 * Every judged grid of some runs: [{run, grid}], the newest first.
 * @param {RunRecord[] | null} runs
 */
export function gridsOf(runs) {
  const all = (runs || []).flatMap((run) => run.grids.map((grid) => ({ run, grid })));
  return all.sort((a, b) => (b.grid.made || 0) - (a.grid.made || 0));
}

/**
 * The step and weight that the tests speak for, as {run, grid}; null where nothing is judged.
 * @param {RunRecord[]} runs
 */
export function bestGrid(runs) {
  const run = runs.find((one) => one.best);
  const grid = run && run.grids.find((one) => one.id === run.best);
  return run && grid ? { run, grid } : null;
}

/**
 * The choice of run, step and weight, as three fields in a row. What the user has not picked is the suggestion's, else
 * the step to use of the newest run.
 * @param {{least: number, most: number, usual: number | null}} range of the weight.
 * @param {Action} changed is called when the user has chosen.
 * @returns `weight`: its field; `setRuns(runs, best)`: best is a cell to suggest, or null; `choose(cell)` counts as picked;
 *   `reset()` forgets what was picked.
 */
export function cellChoice(range, changed) {
  /** @type {RunRecord[]} */
  let runs = [];
  /** @type {Cell | null} */
  let best = null;
  /** @type {Cell} */
  const value = { run: '', step: 0, weight: Number(range.usual) };
  const picked = { run: false, step: false, weight: false };
  const run = selectBox([], '', (to) => pick({ run: to }));
  const step = selectBox([], '', (to) => pick({ step: Number(to) }));
  const weight = numberField(range, 'any');
  weight.addEventListener(
    'input',
    () => weight.value !== '' && weight.validity.valid && pick({ weight: Number(weight.value) }),
  );

  function pick(/** @type {Partial<Cell>} */ to) {
    choose(to);
    changed();
  }

  function choose(/** @type {Partial<Cell>} */ to) {
    if ('run' in to) Object.assign(picked, { run: true, step: false });
    if ('step' in to) Object.assign(picked, { run: true, step: true });
    if ('weight' in to) picked.weight = true;
    Object.assign(value, to);
    settle();
  }

  const find = (/** @type {string} */ id) => runs.find((one) => one.id === id);

  /**
   * The run, and the step and weight where none are picked; step 0 is the one to use.
   * @returns {{known: RunRecord | undefined, step: number, weight: number}}
   */
  function wanted() {
    const mine = picked.run && find(value.run);
    if (mine) return { known: mine, step: picked.step ? value.step : 0, weight: value.weight };
    if (runs.length) Object.assign(picked, { run: false, step: false });
    if (best && find(best.run)) return { ...best, known: find(best.run) };
    return { known: runs[0], step: 0, weight: Number(range.usual) };
  }

  function settle() {
    const to = wanted();
    const { known } = to;
    if (!known) return show([]);
    const steps = [...known.checkpoints].sort((a, b) => b - a);
    value.run = known.id;
    value.step = steps.includes(to.step) ? to.step : known.step_to_use;
    if (!picked.weight) value.weight = to.weight;
    show(steps.map((one) => ({ value: one, text: stepText(known, one) })));
  }

  function show(/** @type {Choice[]} */ steps) {
    run.setChoices(
      runs.map((one) => ({ value: one.id, text: runText(one) })),
      value.run,
    );
    step.setChoices(steps, value.step);
    if (document.activeElement !== weight) weight.value = String(value.weight);
  }

  return {
    node: el('div', { class: 'sf-three' }, formField('Run', run), formField('Step', step), formField('Weight', weight)),
    value,
    weight,
    setRuns: (/** @type {RunRecord[]} */ all, /** @type {Cell | null} */ suggested = null) => {
      runs = all.filter((one) => one.checkpoints.length);
      best = suggested;
      settle();
    },
    choose,
    reset: () => {
      Object.assign(picked, { run: false, step: false, weight: false });
      Object.assign(value, { run: '', step: 0, weight: Number(range.usual) });
      runs = [];
      best = null;
      settle();
    },
  };
}

/** @param {RunRecord} run */
function runText(run) {
  return t('{id}: {steps} steps, {base}', {
    id: run.id,
    steps: format.number(run.saved),
    base: run.base,
  });
}

/**
 * A checkpoint's step, with what is known of it.
 * @param {RunRecord} run
 * @param {number} step
 */
function stepText(run, step) {
  const judged = run.grids.filter((grid) => grid.step === step && grid.judged && grid.retention !== null);
  const best = judged.sort((a, b) => (b.retention ?? 0) - (a.retention ?? 0))[0];
  const curve = step === run.step_to_use && step < run.saved ? 'step {step}, best by the curve' : 'step {step}';
  const words = best ? 'step {step} ({kept} kept at weight {weight})' : curve;
  const values = {
    step: format.number(step),
    kept: best && format.percent(best.retention),
    weight: best && best.weight,
  };
  return t(words, values);
}

/**
 * The cell that the tests speak for; null where nothing is judged.
 * @param {RunRecord[]} runs
 * @returns {Cell | null}
 */
export function bestCell(runs) {
  const best = bestGrid(runs);
  if (!best || best.grid.step === null) return null;
  return { run: best.run.id, step: best.grid.step, weight: best.grid.weight };
}
