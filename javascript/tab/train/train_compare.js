/** Two runs of a character laid over each other: their losses, how much of the identity each kept, their four
 * numbers, and what differs. */

import * as api from '../base/api.js';
import { app } from '../base/app.js';
import { el, fillWith, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { asError } from '../base/page_error.js';
import { t } from '../base/texts.js';
import { numbersTable } from './compare_numbers.js';
import { lineChart } from '../widgets/line_chart.js';
import { foldSection, formField, selectBox, toast } from '../widgets/widgets.js';

const AGAIN = 3000; // milliseconds after a failure

/**
 * A fold that compares two runs.
 * @returns `set(runs)`, the newest first;
 *   `show(first, second)` opens it with these two.
 */
export function compareRuns() {
  /** @type {Partial<RunComparison>} */
  const begunMade = {
    slug: '',
    runs: [],
    details: new Map(),
    asked: new Set(),
    picked: false,
  };
  const made = /** @type {RunComparison} */ (begunMade);
  const select = () => selectBox([], '', () => ((made.picked = true), draw(made)));
  made.selects = [select(), select()];
  made.charts = { loss: chart('Average loss'), probe: chart('Check loss'), kept: chart('Identity kept') };
  made.numbers = numbersTable();
  made.differs = el('div', { class: 'sf-scroll' });
  made.said = el('p', { class: 'sf-help' });
  const choice = el(
    'div',
    { class: 'sf-three' },
    formField('Run', made.selects[0]),
    formField('Compared with', made.selects[1]),
  );
  const fold = foldSection(
    'Compare two trainings',
    choice,
    made.said,
    ...Object.values(made.charts),
    made.numbers,
    made.differs,
  );
  fold.addEventListener('toggle', () => draw(made));
  made.node = fold;
  return {
    node: fold,
    set: (/** @type {RunRecord[]} */ runs) => set(made, runs),
    show: (/** @type {string} */ first, /** @type {string} */ second) => {
      made.picked = true;
      [first, second].forEach((id, place) => (made.selects[place].value = id));
      fold.open = true;
      draw(made);
      fold.scrollIntoView({ block: 'nearest' });
    },
  };
}

/** @param {string} title */
function chart(title) {
  return lineChart({ title, xLabel: 'step', series: [], empty: 'Loading …' });
}

/**
 * @param {RunComparison} made
 * @param {RunRecord[]} runs
 */
function set(made, runs) {
  if (made.slug !== app.slug)
    Object.assign(made, { slug: app.slug, details: new Map(), asked: new Set(), picked: false });
  made.runs = runs.filter((run) => run.steps > 0);
  made.node.hidden = made.runs.length < 2;
  if (made.node.hidden) return;
  const choices = made.runs.map((run) => ({ value: run.id, text: nameOf(run) }));
  const ids = made.runs.map((run) => run.id);
  made.selects.forEach((one, place) => {
    const kept = made.picked && ids.includes(one.value);
    one.setChoices(choices, kept ? one.value : ids[place]);
  });
  draw(made);
}

/**
 * "Run 002: 2,000 steps, sd15-face".
 * @param {RunRecord} run
 */
function nameOf(run) {
  const values = { run: run.id, steps: format.number(run.steps), preset: run.preset };
  return t(run.preset ? 'Run {run}: {steps} steps, {preset}' : 'Run {run}: {steps} steps', values);
}

/** @param {RunComparison} made */
function draw(made) {
  if (!made.node.open || made.node.hidden) return;
  const two = made.selects.flatMap((one) => made.runs.find((run) => run.id === one.value) ?? []);
  const same = two.length < 2 || two[0] === two[1];
  setText(made.said, same ? t('Choose two different runs.') : '');
  made.said.hidden = !same;
  for (const one of [...Object.values(made.charts), made.numbers, made.differs]) one.hidden = same;
  if (same) return;
  two.forEach((run) => load(made, run));
  const known = two.map((run) => made.details.get(run.id));
  const empty = known.every(Boolean) ? 'Neither run has this.' : 'Loading …';
  const xMax = Math.max(...two.map((run) => run.steps));
  const series = (/** @type {(run: RunRecord, details: RunDetails | undefined) => number[][]} */ points) =>
    two.map((run, place) => ({
      name: nameOf(run),
      points: points(run, known[place]),
      tone: String(place + 1),
      dots: true,
    }));
  const curve = (/** @type {'loss' | 'probe'} */ key) => series((_, details) => (details ? details[key] : []));
  const usual = { xMin: 0, xMax, near: true, empty };
  made.charts.loss.update({ ...usual, series: curve('loss').map((one) => ({ ...one, dots: false })) });
  made.charts.probe.update({ ...usual, series: curve('probe') });
  const kept = series(keptOf);
  const shares = kept.flatMap((one) => one.points.map(([, share]) => share));
  const range = { yMin: Math.min(0, ...shares), yMax: Math.max(1, ...shares), yFormat: format.percent };
  made.charts.kept.update({ ...usual, ...range, empty: 'Neither run was tested.', series: kept });
  made.numbers.set(two);
  showDiffering(made, two, known);
}

/**
 * Of each tested step the most that was kept, whatever the weight.
 * @param {RunRecord} run
 */
function keptOf(run) {
  /** @type {Map<number, number>} */
  const best = new Map();
  for (const { step, retention, judged } of run.grids)
    if (judged && step !== null && format.isNumber(retention))
      best.set(step, Math.max(best.get(step) ?? -Infinity, retention));
  return [...best].sort((a, b) => a[0] - b[0]);
}

/**
 * Ask once for a run; again where it has gone on since.
 * @param {RunComparison} made
 * @param {RunRecord} run
 */
async function load(made, run) {
  const { slug } = made;
  const mark = `${run.id}|${run.steps}|${run.grids.length}`;
  if (made.asked.has(mark)) return;
  made.asked.add(mark);
  try {
    const details = await api.get(`/characters/${slug}/runs/${run.id}`);
    if (slug !== made.slug) return;
    made.details.set(run.id, details);
    draw(made);
  } catch (error) {
    toast(asError(error).message, 'bad');
    setTimeout(() => made.asked.delete(mark), AGAIN);
  }
}

/**
 * A table of the settings, and of what else was trained on, in which the two are not the same.
 * @param {RunComparison} made
 * @param {RunRecord[]} two
 * @param {(RunDetails | undefined)[]} known
 */
function showDiffering(made, two, known) {
  const both = known.flatMap((one) => one ?? []);
  if (both.length < known.length) return;
  const values = both.map((one) => ({
    [t('base model')]: one.base,
    [t('photos')]: one.photos,
    [t('steps done')]: one.steps,
    ...one.settings,
  }));
  const keys = [...new Set(values.flatMap(Object.keys))];
  const differ = keys.filter((key) => JSON.stringify(values[0][key]) !== JSON.stringify(values[1][key]));
  const mark = JSON.stringify([two.map((run) => run.id), differ.map((key) => values.map((one) => one[key]))]);
  if (made.differs.dataset.mark === mark) return;
  made.differs.dataset.mark = mark;

  const head = ['What differs', ...two.map((run) => run.id)].map((text) => el('th', { scope: 'col', text: t(text) }));
  const row = (/** @type {string} */ key) =>
    el(
      'tr',
      {},
      el('th', { scope: 'row', text: key }),
      values.map((one) => el('td', { text: worded(one[key]) })),
    );
  const table = el(
    'table',
    { class: 'sf-table' },
    el('thead', {}, el('tr', {}, head)),
    el('tbody', {}, differ.map(row)),
  );
  fillWith(
    made.differs,
    differ.length ? table : el('p', { class: 'sf-quiet', text: t('Both were trained with the same settings.') }),
  );
}

/** @param {SettingValue | undefined} value */
function worded(value) {
  if (value === null || value === undefined || value === '') return '–';
  return typeof value === 'number' ? String(value) : t(String(value));
}
