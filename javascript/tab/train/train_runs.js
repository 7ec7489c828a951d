/** What can be done with runs that are there: train one on, and look at earlier ones. */

import * as api from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { asError } from '../base/page_error.js';
import { t } from '../base/texts.js';
import { placeChoice } from '../elsewhere/place_choice.js';
import { startJob } from '../jobs/jobs.js';
import { baseGone } from '../jobs/runs.js';
import { trainingView } from './train_live.js';
import { refuseForm } from '../widgets/faults.js';
import { checkbox, factList } from '../widgets/form_parts.js';
import { actionButton, foldSection, formField, keyedList, toast } from '../widgets/widgets.js';

const PATIENCE = 500; // milliseconds after the last key until it is asked what the steps cost

/** A fold that trains a finished run on: {node, set(situation)}. */
export function moreSteps() {
  const { least, share, round_to: whole } = pageState().limits.further_steps;
  const steps = el('input', { class: 'sf-input', type: 'number', min: least, step: whole });
  const after = checkbox('Paint and judge the test grid afterwards', true);
  /** @type {RunRecord | null} */
  let run = null;
  let typed = false;
  let ticked = false;
  let shown = '';
  let timer = 0;
  after.input.addEventListener('change', () => (ticked = true));
  steps.addEventListener('input', () => {
    typed = true;
    clearTimeout(timer);
    timer = setTimeout(() => run && where.update(run, total()), PATIENCE);
  });
  const where = placeChoice(() => showReady());
  const few = () => !(Number(steps.value) >= least); // a step between two tens is as good
  const proposed = (/** @type {RunRecord} */ to) => Math.max(1, Math.round((to.total * share) / whole)) * whole;
  const total = () => (few() || !run ? null : run.saved + Math.round(Number(steps.value)));
  const train = async () => {
    refuseForm(few() ? [{ target: steps, text: 'How many more steps?' }] : []);
    const gone = baseGone(run);
    if (gone) throw new Error(gone);
    where.check();
    const asked = { run: run?.id, steps: total(), then_test: after.input.checked, ...where.by() };
    await startJob('train', asked, 'The training continues.');
    typed = ticked = false;
    where.reset();
  };
  const button = actionButton('Train more steps', train);
  const help = el('p', { class: 'sf-help' });
  const row = el('div', { class: 'sf-row' }, formField('More steps', steps), button);
  const node = foldSection('Train more steps', row, where.node, after, help);
  const showReady = () => (button.disabled = !run || Boolean(baseGone(run)) || !where.ready());
  node.addEventListener('toggle', () => node.open && !pageState().host.remote && where.load().then(showReady));
  const set = (/** @type {TrainSituation} */ now) => {
    const which = now.run ? `${app.slug}|${now.run.id}` : '';
    const other = which !== shown;
    shown = which;
    run = now.kind === 'trained' && now.run && !now.run.lent ? now.run : null;
    node.hidden = !run;
    if (!run) return;
    if (other) typed = ticked = false;
    if (!ticked) after.input.checked = app.usualTest !== false;
    const gone = baseGone(run);
    if (!typed && document.activeElement !== steps) steps.value = String(proposed(run));
    where.update(run, total());
    showReady();
    setText(
      help,
      gone ||
        t('Run {run} continues after step {step}; its steps so far are kept.', {
          run: run.id,
          step: format.number(run.saved),
        }),
    );
  };
  return { node, set };
}

/**
 * The other runs, each in a fold with its numbers and its loss: {node, set(runs, shown)}.
 * @param {(a: string, b: string) => void} compare lays two runs over each other.
 */
export function earlierRuns(compare) {
  const list = el('div', { class: 'sf-runs' });
  const node = foldSection('Earlier trainings', list);
  const set = (/** @type {RunRecord[]} */ runs, /** @type {string} */ shown) => {
    const others = runs.filter((/** @type {RunRecord} */ run) => run.id !== shown);
    node.hidden = !others.length;
    keyedList(
      list,
      others,
      (run) => `${app.slug}|${run.id}`, // every character has a run 001
      () => runFold(compare),
      (made, run) => made.set(run, shown),
    );
  };
  return { node, set };
}

/** @param {(first: string, second: string) => void} compare */
function runFold(compare) {
  const line = el('span', {});
  const chart = trainingView();
  const facts = factList();
  const over = actionButton('', () => run && compare(other, run.id), { small: true });
  const fold = foldSection('', facts, el('div', { class: 'sf-row' }, over), chart);
  fold.querySelector('summary')?.replaceChildren(line);
  const slug = app.slug;
  /** @type {RunRecord | null} */
  let run = null;
  let other = '';
  let asked = false;
  fold.addEventListener('toggle', async () => {
    if (!fold.open || asked || !run) return;
    asked = true;
    try {
      chart.set({ job: null, details: await api.get(`/characters/${slug}/runs/${run.id}`) });
    } catch (error) {
      asked = false;
      toast(asError(error).message, 'bad');
    }
  });
  const setTo = (/** @type {RunRecord} */ to, /** @type {string} */ shown) => {
    run = to;
    other = shown;
    over.hidden = !other || !run.steps;
    setText(over.firstChild, t('Compare with run {run}', { run: other }));
    setText(
      line,
      t('Run {run}: {steps} steps, {ago}', {
        run: to.id,
        steps: format.number(to.saved),
        ago: format.ago(to.created),
      }),
    );
    const judged = to.grids.filter((grid) => grid.kind);
    facts.set([
      { name: 'Base model', text: to.base },
      { name: 'Preset', text: to.preset },
      { name: 'Saved steps', text: to.checkpoints.map((/** @type {number} */ step) => format.number(step)).join(', ') },
      {
        name: 'Tests',
        text: judged.map((grid) => `${format.number(grid.step)}: ${t(grid.headline)}`).join('; '),
      },
    ]);
  };
  return Object.assign(fold, { set: setTo });
}
