/** What was found of the face with another LoRA: the sentence, the curve over its weight, and what to do next. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { appendTo, el, fillWith, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { say, t } from '../base/texts.js';
import { cellName } from '../jobs/runs.js';
import { lineChart } from '../widgets/line_chart.js';
import { toneSign } from '../widgets/widgets.js';

/**
 * @returns `load(slug)` shows the newest of a character; hidden where
 *   there is none.
 */
export function combinedCard() {
  const sign = el('span', {});
  const headline = el('span', {});
  const of = el('p', { class: 'sf-help' });
  const because = el('p', {});
  const advice = el('p', { class: 'sf-verdict-advice' });
  const chart = lineChart(options([]));
  const link = el('a', { target: '_blank', rel: 'noopener', text: t('The whole report') });
  const heading = el('h3', { class: 'sf-verdict-headline' }, sign, headline);
  const node = el('div', { role: 'group', aria: { label: t('With another LoRA') }, hidden: true });
  appendTo(node, [of, heading, because, advice, chart, el('p', { class: 'sf-row' }, link)]);
  let asked = '';

  function show(/** @type {Combined | null} */ found) {
    node.hidden = !found;
    if (!found) return;
    const { verdict } = found;
    const messages = verdict.messages || {};
    node.className = `sf-verdict sf-${verdict.tone}`;
    fillWith(sign, toneSign(verdict.tone));
    const cell = cellName(found.run, found.step, found.weight);
    setText(of, t('{cell} with {lora} · {n} pictures at each weight', { cell, lora: found.lora, n: found.pictures }));
    setText(headline, say(messages.headline, verdict.headline));
    setText(because, say(messages.because, verdict.because));
    fillWith(advice, el('b', { text: t('Do next:') }), ' ', say(messages.advice, verdict.advice));
    const measured = found.points.filter((one) => Number.isFinite(one.retention));
    chart.hidden = measured.length < 2;
    if (!chart.hidden) chart.update(options(measured));
    link.href = url(found.html);
  }

  return {
    node,
    load: async (/** @type {string} */ slug) => {
      asked = slug;
      const found = await api.get(`/characters/${slug}/combined`).catch(() => []);
      if (asked === slug) show(found[0] || null);
    },
  };
}

/** @param {CombinedPoint[]} points */
function options(points) {
  const bars = points.map((one) => [one.weight, one.low ?? NaN, one.high ?? NaN]);
  return {
    title: 'Identity kept, by the weight of the other LoRA',
    xLabel: 'weight',
    xStep: 0.05,
    yMin: Math.min(0, ...points.map((one) => one.low ?? 0)),
    yMax: Math.max(1, ...points.map((one) => one.high ?? 1)),
    xFormat: (/** @type {number} */ value) => format.number(value, 2),
    yFormat: format.percent,
    series: [
      {
        name: 'Identity kept, with its 95 % interval',
        points: points.map((one) => [one.weight, one.retention ?? NaN]),
        bars,
        dots: true,
      },
    ],
  };
}
