/** A line chart as a drawing: axes, lines, the value under the pointer or the arrow keys, and the same as a table. */

import { el, fillWith, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { EDGE, HEIGHT, nearest, pointAt, scales } from './chart_scale.js';
import { foldSection } from './widgets.js';

const ROWS = 12; // of the table that stands for the drawing

/**
 * @param {{title: string, series: Array<{name: string, points: number[][], tone?: string, dots?: boolean,
 *     bars?: number[][], hint?: string}>,
 *   xLabel?: string, yLabel?: string, xStep?: number, xFormat?: (a: number) => string, yFormat?: (a: number) => string,
 *   xMin?: number, xMax?: number, yMin?: number, yMax?: number, near?: boolean, empty?: string}} options
 *   `xStep`: the least distance of two marks of the axis, 1 where it is left out; `xMax`: the axis reaches as far at least; `near`: lines that have no value at a place say their nearest one;
 *   `tone`: "1" to "4", "good", "warn", "bad" or "none"; `dots`: the points are drawn, too; `bars`: upright lines, each
 *   [x, low, high]; `hint`: what the line means, said where the pointer rests on its name.
 * @returns a figure; `figure.update(options)` draws it anew.
 */
export function lineChart(options) {
  const figure = el('figure', { class: 'sf-chart' });
  let now = { ...options };
  let width = 0;
  const redraw = () => draw(figure, now, width || 560);
  const update = (/** @type {Partial<ChartOptions>} */ changed) => {
    const next = { ...now, ...changed };
    const same = JSON.stringify(next) === JSON.stringify(now) && figure.childNodes.length;
    now = next;
    if (!same) redraw();
  };
  new ResizeObserver(([entry]) => {
    const wide = Math.round(entry.contentRect.width);
    if (!wide || wide === width) return;
    width = wide;
    redraw();
  }).observe(figure);
  redraw();
  return Object.assign(figure, { update });
}

/**
 * @param {HTMLElement} figure
 * @param {ChartOptions} options
 * @param {number} width
 */
function draw(figure, options, width) {
  const series = options.series.map((one) => ({
    ...one,
    points: one.points.filter(([, y]) => Number.isFinite(y)),
  }));
  const points = series.flatMap((one) => one.points);
  const ends = series.flatMap((one) =>
    (one.bars || []).flatMap(([x, low, high]) => [
      [x, low],
      [x, high],
    ]),
  );
  const title = el('figcaption', { text: t(options.title || '') });
  if (!points.length) {
    const words = t(options.empty || 'Nothing to show yet.');
    fillWith(figure, title, el('p', { class: 'sf-quiet', text: words }));
    return;
  }
  const scale = scales([...points, ...ends], options, width);
  const picture = el('svg:svg', { class: 'sf-chart-svg', width, height: HEIGHT, role: 'img', tabindex: '0' });
  picture.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
  picture.setAttribute('aria-label', spoken(options, series, scale));
  axes(picture, scale, options, width);
  series.forEach((one, place) => line(picture, one, scale, toneOf(one, place)));
  const value = el('p', { class: 'sf-chart-value', aria: { live: 'polite' } });
  pointer(picture, series, scale, value, options.near);
  const before = figure.querySelector('svg');
  const held = before !== null && before === document.activeElement; // drawn anew, it is where the reader has left it
  const rows = table(series, scale, options);
  rows.open = figure.querySelector('details[open]') !== null;
  fillWith(figure, title, legend(series), picture, value, rows);
  if (held) picture.focus({ preventScroll: true });
}

/**
 * @param {ChartLine} one
 * @param {number} place
 */
function toneOf(one, place) {
  return one.tone || String((place % 4) + 1);
}

/**
 * @param {SVGSVGElement} picture
 * @param {ChartScale} scale
 * @param {ChartOptions} options
 * @param {number} width
 */
function axes(picture, scale, options, width) {
  const bottom = HEIGHT - EDGE.bottom;

  for (const at of scale.yTicks) {
    const y = scale.y(at);
    picture.append(el('svg:line', { class: 'sf-rule', x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y }));
    picture.append(
      el('svg:text', { class: 'sf-tick', x: EDGE.left - 6, y: y + 4, 'text-anchor': 'end' }, scale.yText(at)),
    );
  }
  for (const at of scale.xTicks) {
    const x = scale.x(at);
    const anchor = x > width - EDGE.right - 12 ? 'end' : 'middle'; // the last one would be cut off
    picture.append(
      el(
        'svg:text',
        { class: 'sf-tick', x: anchor === 'end' ? width : x, y: bottom + 16, 'text-anchor': anchor },
        scale.xText(at),
      ),
    );
  }
  picture.append(el('svg:line', { class: 'sf-axis', x1: EDGE.left, x2: width - EDGE.right, y1: bottom, y2: bottom }));
  const words = [options.yLabel, options.xLabel].flatMap((text) => (text ? [t(text)] : []));
  if (words.length) {
    const place = { class: 'sf-tick', x: width - EDGE.right, y: HEIGHT - 4, 'text-anchor': 'end' };
    picture.append(el('svg:text', place, words.join(' / ')));
  }
}

/**
 * @param {SVGSVGElement} picture
 * @param {ChartLine} one
 * @param {ChartScale} scale
 * @param {string} tone
 */
function line(picture, one, scale, tone) {
  const path = one.points.map(([x, y]) => `${scale.x(x).toFixed(1)},${scale.y(y).toFixed(1)}`).join(' ');
  const shown = { class: `sf-line sf-line-${tone}`, points: path, fill: 'none' };
  if (one.points.length > 1) picture.append(el('svg:polyline', shown));
  for (const [x, low, high] of one.bars || []) {
    const place = { x1: scale.x(x), x2: scale.x(x), y1: scale.y(low), y2: scale.y(high) };
    picture.append(el('svg:line', { class: `sf-line sf-line-${tone}`, ...place }));
  }
  if (one.points.length > 1 && !one.dots) return;
  for (const [x, y] of one.points) {
    const dot = { class: `sf-dot sf-line-${tone}`, cx: scale.x(x), cy: scale.y(y), r: 3.5 };
    picture.append(el('svg:circle', dot));
  }
}

/** @param {ChartLine[]} series */
function legend(series) {
  if (series.length < 2) return null;
  const entry = (/** @type {ChartLine} */ one, /** @type {number} */ place) =>
    el(
      'span',
      { class: 'sf-legend-entry', title: one.hint ? t(one.hint) : null },
      el('span', { class: `sf-swatch sf-line-${toneOf(one, place)}`, aria: { hidden: 'true' } }),
      el('span', { text: t(one.name) }),
    );
  return el('div', { class: 'sf-legend' }, series.map(entry));
}

/**
 * Say the values at the pointer, or at the place that the arrow keys have reached.
 * @param {SVGSVGElement} picture
 * @param {ChartLine[]} series
 * @param {ChartScale} scale
 * @param {HTMLElement} value
 * @param {boolean | undefined} near
 */
function pointer(picture, series, scale, value, near) {
  const places = [...new Set(series.flatMap((one) => one.points.map(([x]) => x)))].sort((a, b) => a - b);
  const mark = el('svg:line', { class: 'sf-cursor', y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: 'hidden' });
  picture.append(mark);
  let chosen = places.length - 1;
  const show = (/** @type {number} */ place) => {
    chosen = Math.max(0, Math.min(places.length - 1, place));
    const x = places[chosen];
    for (const [name, at] of Object.entries({ x1: scale.x(x), x2: scale.x(x), visibility: 'visible' }))
      mark.setAttribute(name, String(at));
    setText(value, at(series, x, scale, near));
  };
  picture.addEventListener('pointermove', (event) => {
    const x = event.clientX - picture.getBoundingClientRect().left;
    show(nearest(places, x, scale));
  });
  picture.addEventListener('focus', () => show(chosen));
  picture.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    show(chosen + by);
  });
  for (const away of ['pointerleave', 'blur']) {
    picture.addEventListener(away, () => mark.setAttribute('visibility', 'hidden'));
  }
}

/**
 * @param {ChartLine[]} series
 * @param {number} x
 * @param {ChartScale} scale
 * @param {boolean | undefined} near
 */
function at(series, x, scale, near) {
  const found = series.flatMap((one) => {
    const point = pointAt(one.points, x, near);
    return point ? [`${t(one.name)} ${scale.yText(point[1])}`] : [];
  });
  return `${scale.xText(x)}: ${found.join(', ')}`;
}

/**
 * @param {ChartOptions} options
 * @param {ChartLine[]} series
 * @param {ChartScale} scale
 */
function spoken(options, series, scale) {
  const each = series
    .filter((one) => one.points.length)
    .map((one) => {
      const [first, last] = [one.points[0], one.points[one.points.length - 1]];
      const values = { name: t(one.name), a: scale.yText(first[1]), b: scale.yText(last[1]), x: scale.xText(last[0]) };
      return t('{name}: from {a} to {b} at {x}', values);
    });
  return `${t(options.title || '')}. ${each.join('. ')}`;
}

/**
 * @param {ChartLine[]} series
 * @param {ChartScale} scale
 * @param {ChartOptions} options
 */
function table(series, scale, options) {
  const head = [options.xLabel || '', ...series.map((one) => one.name)].map((text) => el('th', { text: t(text) }));
  const places = [...new Set(series.flatMap((one) => one.points.map(([x]) => x)))].sort((a, b) => a - b);
  const some = places.filter(
    (_, place) => place % Math.ceil(places.length / ROWS) === 0 || place === places.length - 1,
  );
  const rows = some.map((x) => {
    const cells = series.map((one) => {
      const point = pointAt(one.points, x, options.near);
      const bar = (one.bars || []).find(([place]) => place === x);
      const ends = bar ? ` (${scale.yText(bar[1])} – ${scale.yText(bar[2])})` : '';
      return el('td', { text: point ? scale.yText(point[1]) + ends : '–' });
    });
    return el('tr', {}, el('th', { scope: 'row', text: scale.xText(x) }), cells);
  });
  const whole = el('table', { class: 'sf-table' }, el('thead', {}, el('tr', {}, head)), el('tbody', {}, rows));
  return foldSection('As a table', el('div', { class: 'sf-scroll' }, whole));
}
