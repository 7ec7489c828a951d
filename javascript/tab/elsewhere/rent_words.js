/** What is said where a GPU is rented: to train, to go on with a run, or to paint pictures. */

import * as format from '../base/format.js';
import { t } from '../base/texts.js';
import { rentTime } from './rent_cost.js';

/** What is said where a GPU is rented to train. */
/** @type {RentWords} */
export const forTraining = {
  need:
    'These settings need about {need} GB of GPU memory. Select GPUs in order of preference; if none is selected, ' +
    'the cheapest with enough memory is used.',
  further: () => ({}),
  request: (slug, asked) => ({
    path: `/characters/${slug}/rent`,
    body: asked,
  }),
  total: (one) => (one.minutes === null ? '' : one.total),
  changed: (one, need) => (need && one.memory < need ? one.changed : ''),
  time: () => '',
  most: (one) =>
    t(
      'Starting rents a GPU ({name}) and costs {most} at most: after {hours} hours it is deleted, even if it is still working. ' +
        'These limits apply to the whole run, however often it is resumed.',
      { name: one.name, most: one.most, hours: format.number(one.hours, 1) },
    ),
};

/** What is said where one is rented to paint pictures. */
/** @type {RentWords} */
export const forPainting = {
  need:
    'To paint with this base model, GPUs with less than {need} GB of memory are left out. Select GPUs in order of ' +
    'preference; if none is selected, the cheapest is used.',
  // what the user has written counts from now on
  further: (given) => ({ anew: given.hours !== undefined || given.cap !== undefined }),
  request: (slug, { run, ...body }) => ({ path: `/characters/${slug}/runs/${run}/rent`, body }),
  total: (one) => one.paints[0].total,
  changed: () => '',
  time: (one, quote) => [...one.paints.map((what) => paintTime(one, what)), quote.left].join(' '),
  most: (one) =>
    t(
      'Starting rents a GPU ({name}) and costs {most} at most: after {hours} hours it is deleted, even if it is still working, and before that as soon as the pictures are painted and judged. These limits apply to the run: to its training ' +
        'and its pictures together.',
      { name: one.name, most: one.most, hours: format.number(one.hours, 1) },
    ),
};

/** What is said where one is rented to go on with a run, which may have had limits before. */
/** @type {RentWords} */
export const forGoingOn = {
  ...forTraining,
  own: true, // the run has limits, which what is left empty does not raise
  further: forPainting.further,
  request: (slug, { run, ...body }) => ({
    path: `/characters/${slug}/runs/${run}/rent-on`,
    body,
  }),
  time: (one, quote) => [quote.left, rentTime(quote, one)].filter(Boolean).join(' '),
  limits: 'New time and cost limits start now; earlier pods of this run do not count towards them.',
};

const PAINTED = {
  test: 'A test of {n} pictures takes about {time} there and costs about {total}.',
  choose:
    'A search for the best step and weight, of up to {n} pictures, takes about {time} there and costs about {total}.',
  produce: 'Painting each picture once takes about {time} there and costs about {total}.',
};
const UNKNOWN = {
  test: 'How long a test of {n} pictures takes on the {name} is not known: you have not painted pictures of this size on one yet.',
  choose: 'The time for a search for the best step and weight, which paints up to {n} pictures, is not known either.',
  produce:
    'How long the pictures take on the {name} is not known: you have not painted pictures of this size on one yet.',
};

/**
 * @param {RentOffer} one
 * @param {PlannedPaint} given
 */
function paintTime(one, { what, count, minutes, total }) {
  const values = { n: format.number(count), name: one.name, total };
  if (minutes === null) return t(UNKNOWN[what], values);
  return t(PAINTED[what], { ...values, time: format.duration(Math.max(1, Math.round(minutes)) * 60) });
}
