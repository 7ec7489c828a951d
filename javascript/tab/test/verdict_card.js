/** A judged grid in words: the verdict, what to do next, and the numbers behind it. */

import { pageState } from '../base/app.js';
import { appendTo, el, fillWith, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { say, t } from '../base/texts.js';
import { cellName } from '../jobs/runs.js';
import { besideText } from './earlier_grids.js';
import { factList, likeness, lineList } from '../widgets/form_parts.js';
import { lineChart } from '../widgets/line_chart.js';
import { numberBars } from '../widgets/number_bars.js';
import { actionButton, foldSection, keyedList, toneSign } from '../widgets/widgets.js';

/**
 * The verdict as a card: headline, why, the advice and its buttons, the four numbers, notes.
 * @param {(action: AdviceAction) => void} act does what a button says.
 * @returns with `set(grid, plain)`: the answer of runs/R/grids/G; whether the button that comes next is
 *   elsewhere.
 */
export function verdictCard(act) {
  const sign = el('span', {});
  const headline = el('span', {});
  const of = el('p', { class: 'sf-help' });
  const kept = el('p', { class: 'sf-verdict-kept' });
  const because = el('p', {});
  const advice = el('p', { class: 'sf-verdict-advice' });
  const row = el('div', { class: 'sf-row' });
  const numbers = numberBars();
  const notes = lineList('sf-verdict-notes');
  const missed = lineList('sf-verdict-notes');
  const missing = el('div', { hidden: true });
  appendTo(missing, [el('b', { text: t('Not as prompted:') }), missed]);
  const heading = el('h3', { class: 'sf-verdict-headline', tabIndex: -1 }, sign, headline);
  const node = el('div', { class: 'sf-verdict', role: 'group', aria: { label: t('Verdict') } });
  appendTo(node, [of, heading, kept, because, advice, row, numbers, notes, missing]);
  const set = (/** @type {ShownGrid} */ grid, /** @type {boolean} */ plain) => {
    const { verdict } = grid;
    const messages = verdict.messages || {};
    const tone = verdict.tone;
    node.className = `sf-verdict sf-${tone}`;
    fillWith(sign, toneSign(tone));
    setText(of, ofWhat(grid));
    setText(headline, say(messages.headline, verdict.headline));
    setText(kept, say(grid.kept));
    kept.hidden = !kept.textContent;
    setText(because, say(messages.because, verdict.because));
    fillWith(advice, el('b', { text: t('Do next:') }), ' ', say(messages.advice, verdict.advice));
    keyedList(
      row,
      grid.buttons,
      (one) => JSON.stringify(one),
      (one) => actionButton(say(one.message, one.label), () => act(one), { main: one.main }),
      (button, one) => button.setMain(one.main && !plain),
    );
    row.hidden = !grid.buttons.length;
    numbers.set(grid.numbers);
    notes.set(allSaid(verdict.notes, messages.notes));
    missed.set(allSaid(grid.missed, grid.missed_messages));
    missing.hidden = !(grid.missed || []).length;
  };
  return Object.assign(node, { set });
}

/** Sentences in the user's language, each where there is its message. */
const allSaid = (
  /** @type {string[] | undefined} */ sentences,
  /** @type {(Message | null)[] | undefined} */ messages,
) => (sentences || []).map((one, place) => say((messages || [])[place], one));

/**
 * Which LoRA was tested, and on how many pictures: a few make a first look, no sure verdict.
 * @param {ShownGrid} grid
 */
function ofWhat(grid) {
  const cell = [cellName(grid.run, grid.step, grid.weight), besideText(grid.more)].filter(Boolean).join(' ');
  const n = grid.rows.filter((row) => row.role === 'lora').length;
  return n < pageState().limits.test_pictures
    ? t('{cell} · {n} pictures, a first look', { cell, n })
    : t('{cell} · {n} pictures', { cell, n });
}

/** The curve of what is kept, by step, one line for each weight; hidden with fewer than two points. */
export function keptChart() {
  const options = (/** @type {TestedCell[]} */ tested) => {
    const weights = [...new Set(tested.map((one) => one.weight))].sort((a, b) => b - a);
    const points = (/** @type {number} */ weight) =>
      tested
        .filter((one) => one.weight === weight)
        .map((one) => [one.step, one.retention])
        .sort((a, b) => a[0] - b[0]);
    return {
      title: 'Identity kept, by step and weight',
      xLabel: 'step',
      yMin: Math.min(0, ...tested.map((one) => one.retention)),
      yMax: Math.max(1, ...tested.map((one) => one.retention)),
      yFormat: format.percent,
      series: weights.map((weight, place) => ({
        name: t('weight {weight}', { weight }),
        points: points(weight),
        tone: String((place % 4) + 1),
        dots: true,
      })),
    };
  };
  const chart = lineChart(options([]));
  const set = (/** @type {TestedCell[]} */ tested) => {
    chart.hidden = !tested || tested.length < 2;
    if (!chart.hidden) chart.update(options(tested));
  };
  return Object.assign(chart, { set });
}

/** The numbers of a grid, each with its words; only those that were measured. */
export function gridFacts() {
  const list = factList();
  const small = lineList();
  const node = foldSection('The numbers', list, small);
  const set = (/** @type {ShownGrid} */ grid) => {
    const { facts } = grid;
    list.set([...shares(grid.shares), ...grid.measured.map(measured), ...numbers(facts)]);
    small.set([grid.about_likeness]);
  };
  return Object.assign(node, { set });
}

/** @param {ShareOfPictures[]} all */
function shares(all) {
  const percent = format.percent;
  return (all || []).map((one) => ({
    name: one.name[0].toUpperCase() + one.name.slice(1),
    text: t('{hits} of {of} (most likely {low} to {high})', {
      hits: one.hits,
      of: one.of,
      low: percent(one.low),
      high: percent(one.high),
    }),
  }));
}

/**
 * A fact that is shown as it is.
 * @param {Grid['measured'][number]} given
 */
function measured({ name, kind, value }) {
  return { name, text: kind === 'share' ? format.percent(value) : likeness(value) };
}

/** @param {Grid['facts']} facts */
function numbers(facts) {
  const leak =
    facts.leak === null || facts.leak === undefined ? '' : t('{n} of {of}', { n: facts.leak, of: facts.leak_cells });
  return [
    { name: 'Change in how well prompts are followed (CLIP)', text: format.number(facts.adherence, 3) },
    { name: 'Pictures without the trigger that show the person', text: leak },
  ];
}
