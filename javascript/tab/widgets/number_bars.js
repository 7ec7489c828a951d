/** The four numbers of a test (`likeness.report.four_numbers`) as bars, in all of which longer is better. */

import { el, fillWith, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { say, t } from '../base/texts.js';
import { keyedList, toneSign } from './widgets.js';

/**
 * What is shown of a number.
 * @param {{value: number | null, why_not: Message | null}} number of the server: a share, or why there is none.
 * @returns how long the bar is; what stands beside or below it.
 */
export function shownNumber({ value, why_not: why }) {
  if (format.isNumber(value)) {
    const percent = Math.round(100 * Math.min(1, Math.max(0, value)));
    return { percent, text: format.percent(percent / 100) };
  }
  return { percent: null, text: why ? t('not measured: {why}', { why: say(why) }) : t('not measured') };
}

/** The four bars, and below them a fold that says what they mean; `node.set(numbers)` of the server. */
export function numberBars() {
  const list = el('div', { class: 'sf-numbers', role: 'group', aria: { label: t('Four numbers') } });
  const words = el('dl', { class: 'sf-facts' });
  const summary = el('summary', { text: t('What the four numbers mean') });
  const fold = el('details', { class: 'sf-meanings sf-quiet' }, summary, words);
  const node = el('div', { class: 'sf-stack' }, list, fold);
  const set = (/** @type {QualityNumber[]} */ numbers) => {
    node.hidden = !(numbers || []).length;
    keyedList(list, numbers || [], (one) => one.code, entry, drawEntry);
    fillWith(
      words,
      (numbers || []).map((/** @type {QualityNumber} */ one) => [
        el('dt', { text: say(one.label) }),
        el('dd', { text: say(one.meaning) }),
      ]),
    );
  };
  return Object.assign(node, { set });
}

function entry() {
  const sign = el('span', {});
  const label = el('span', {});
  const value = el('span', { class: 'sf-number' });
  const bar = numberBar();
  const why = el('p', { class: 'sf-quiet' });
  const node = el('div', {}, el('p', { class: 'sf-number-head' }, el('span', {}, sign, label), value), bar, why);
  return Object.assign(node, { parts: { sign, label, value, bar, why } });
}

/**
 * @param {NumberNode} node
 * @param {QualityNumber} one
 */
function drawEntry(node, one) {
  const { sign, label, value, bar, why } = node.parts;
  const { percent, text } = shownNumber(one);
  const known = percent !== null;
  node.className = `sf-number-bar sf-${one.tone}`;
  node.title = say(one.meaning);
  fillWith(sign, one.tone === 'none' ? null : toneSign(one.tone));
  setText(label, say(one.label));
  setText(value, known ? text : '');
  setText(why, known ? '' : text);
  why.hidden = known;
  bar.hidden = !known;
  bar.set(one);
}

/** One bar alone, without words for the eye; `bar.set(number)`, whose value is known. */
export function numberBar() {
  const inner = el('div', { class: 'sf-number-inner' });
  const bar = el('div', { class: 'sf-number-track', role: 'meter' }, inner);
  bar.setAttribute('aria-valuemin', '0');
  bar.setAttribute('aria-valuemax', '100');
  const set = (/** @type {QualityNumber} */ one) => {
    const { percent, text } = shownNumber(one);
    inner.style.width = `${percent || 0}%`;
    bar.setAttribute('aria-label', say(one.label));
    bar.setAttribute('aria-valuenow', String(percent || 0));
    bar.setAttribute('aria-valuetext', `${text}. ${say(one.meaning)}`);
  };
  return Object.assign(bar, { set });
}
