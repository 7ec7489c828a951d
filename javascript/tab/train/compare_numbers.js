/** The four numbers of two runs beside each other, each of the test in which its run kept most of the face. */

import * as api from '../base/api.js';
import { app } from '../base/app.js';
import { el, fillWith } from '../base/dom.js';
import * as format from '../base/format.js';
import { asError } from '../base/page_error.js';
import { say, t } from '../base/texts.js';
import { numberBar, shownNumber } from '../widgets/number_bars.js';
import { toast, toneSign } from '../widgets/widgets.js';

const AGAIN = 3000; // milliseconds after a failure

/**
 * The test of a run that kept most of the face; of equal ones the newest, null where there is none.
 * @param {RunRecord} run
 */
export function bestTest(run) {
  const judged = run.grids.filter(
    (grid) => grid.judged && Number.isFinite(grid.retention) && !(grid.more || []).length,
  );
  /** @type {GridEntry | null} */
  let best = null;
  for (const grid of judged) if (!best || (best.retention ?? 0) < (grid.retention ?? 0)) best = grid;
  return best;
}

/** The table, in a box; `node.set(runs)` of the server, hidden while none of them was tested. */
export function numbersTable() {
  const made = /** @type {NumbersTable} */ ({ node: el('div', {}), numbers: new Map(), asked: new Set(), runs: [] });
  return Object.assign(made.node, {
    /** @param {RunRecord[]} runs the two; of the server. */
    set: (runs) => {
      made.runs = runs;
      draw(made);
    },
  });
}

const keyOf = (/** @type {RunRecord} */ run, /** @type {GridEntry} */ test) =>
  [app.slug, run.id, test.id, test.made].join('|');

/** @param {NumbersTable} made */
function draw(made) {
  const tests = made.runs.map(bestTest);
  made.node.hidden = !tests.some(Boolean);
  tests.forEach((test, place) => test && load(made, made.runs[place], test));
  const numbers = tests.map((test, place) => (test && made.numbers.get(keyOf(made.runs[place], test))) || []);
  const mark = JSON.stringify([made.runs.map((run) => run.id), tests, numbers]);
  if (made.node.dataset.mark === mark) return;
  made.node.dataset.mark = mark;
  const head = [t('Four numbers'), ...made.runs.map((run) => run.id)];
  const rows = (numbers.find((one) => one.length) || []).map(({ code, label, meaning }) =>
    el(
      'tr',
      { title: say(meaning) },
      el('th', { scope: 'row', text: say(label) }),
      numbers.map((all) => cell(all.find((one) => one.code === code))),
    ),
  );
  const tested = el('tr', {}, el('th', { scope: 'row', text: t('Test') }), tests.map(testCell));
  const columns = head.map((text) => el('th', { scope: 'col', text }));
  fillWith(
    made.node,
    el('table', { class: 'sf-table sf-even' }, el('thead', {}, el('tr', {}, columns)), el('tbody', {}, tested, rows)),
  );
}

/** @param {GridEntry | null} test */
function testCell(test) {
  if (!test) return el('td', { text: '–' });
  const values = { step: format.number(test.step), weight: format.number(test.weight, 2) };
  return el('td', { text: t('step {step}, weight {weight}', values) });
}

/** @param {QualityNumber | undefined} one */
function cell(one) {
  if (!one) return el('td', { text: '–' });
  const { percent, text } = shownNumber(one);
  if (percent === null) return el('td', { class: 'sf-quiet', text });
  const bar = numberBar();
  bar.set(one);
  const sign = one.tone === 'none' ? null : toneSign(one.tone);
  const words = el('span', { class: 'sf-number' }, sign, text);
  return el('td', { class: `sf-number-bar sf-${one.tone}` }, words, bar);
}

/**
 * Ask once for the numbers of a test; again after a while where they could not be had.
 * @param {NumbersTable} made
 * @param {RunRecord} run
 * @param {GridEntry} test
 */
async function load(made, run, test) {
  const key = keyOf(run, test);
  if (made.asked.has(key)) return;
  made.asked.add(key);
  try {
    const grid = await api.get(`/characters/${app.slug}/runs/${run.id}/grids/${test.id}`);
    made.numbers.set(key, grid.numbers || []);
    draw(made);
  } catch (error) {
    toast(asError(error).message, 'bad');
    setTimeout(() => made.asked.delete(key), AGAIN);
  }
}
