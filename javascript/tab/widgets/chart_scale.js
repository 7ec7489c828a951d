/** Where the values of a chart lie in its drawing: axes, ticks, and the point under the pointer. */

import * as format from '../base/format.js';

/** Pixels of the drawing, and of the room around it for the axes' texts. */
export const HEIGHT = 220;
export const EDGE = { left: 52, right: 12, top: 12, bottom: 34 };

/**
 * From values to pixels, and the ticks of both axes.
 * @param {number[][]} points of all lines; at least one.
 * @param {Partial<ChartOptions>} options of `lineChart`.
 * @param {number} width of the drawing in pixels.
 */
export function scales(points, options, width) {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const ends = [options.xMin, options.xMax].filter(format.isNumber);
  const [x0, x1] = room(Math.min(...xs, ...ends), Math.max(...xs, ...ends), 0);
  let [y0, y1] = room(options.yMin ?? Math.min(...ys), options.yMax ?? Math.max(...ys), 0.06);
  if (options.yMin !== undefined) y0 = options.yMin;
  if (options.yMax !== undefined) y1 = options.yMax;
  const inner = { w: width - EDGE.left - EDGE.right, h: HEIGHT - EDGE.top - EDGE.bottom };
  return {
    x: (/** @type {number} */ value) => EDGE.left + ((value - x0) / (x1 - x0)) * inner.w,
    y: (/** @type {number} */ value) => EDGE.top + (1 - (value - y0) / (y1 - y0)) * inner.h,
    xTicks: ticks(x0, x1, Math.max(2, Math.floor(inner.w / 90)), options.xStep ?? 1),
    yTicks: ticks(y0, y1, 4, 0),
    xText: options.xFormat || ((value) => format.number(value)),
    yText: options.yFormat || ((value) => format.number(value, 4)),
  };
}

/**
 * A range that is not empty, with some air around it.
 * @param {number} low
 * @param {number} high
 * @param {number} air
 */
export function room(low, high, air) {
  if (low === high) return [low - (Math.abs(low) * 0.1 || 1), high + (Math.abs(high) * 0.1 || 1)];
  return [low - (high - low) * air, high + (high - low) * air];
}

/**
 * Round places on an axis, `least` apart or more.
 * @param {number} low
 * @param {number} high
 * @param {number} most
 * @param {number} least
 */
export function ticks(low, high, most, least) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(least, [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough) || 10 * power);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step)
    found.push(Number(at.toPrecision(10)));
  return found;
}

/**
 * The place among several that is nearest to a pixel.
 * @param {number[]} places
 * @param {number} x
 * @param {{x: (value: number) => number}} scale
 */
export function nearest(places, x, scale) {
  const far = places.map((one) => Math.abs(scale.x(one) - x));
  return far.indexOf(Math.min(...far));
}

/**
 * The point of a line at a place; with `near` the nearest one, where the line reaches as far.
 * @param {number[][]} points
 * @param {number} x
 * @param {boolean | undefined} near
 */
export function pointAt(points, x, near) {
  const there = points.find(([place]) => place === x);
  if (there || !near || !points.length || x < points[0][0] || x > points[points.length - 1][0]) return there;
  return points.reduce((best, one) => (Math.abs(one[0] - x) < Math.abs(best[0] - x) ? one : best));
}
