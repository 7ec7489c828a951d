/** Which pictures of a production are shown, in which order, and which of them are nearly the same. Pure functions. */

/** The filters of the gallery, with their labels. */
export const FILTERS = { kept: 'Kept', failed: 'Failed', byHand: 'Decided by me', all: 'All' };

/** The orders of the gallery, with their labels. */
export const ORDERS = {
  painted: 'As painted',
  best: 'Best likeness first',
  worst: 'Weakest likeness first',
  prompt: 'By prompt',
};

const WORD = 32; // bits that a number of JavaScript can compare

/**
 * Whether a picture counts: it passed, unless the user has decided otherwise.
 * @param {ProducedPicture} picture
 */
export function isKept(picture) {
  return picture.decision ? picture.decision === 'keep' : picture.passed;
}

/** @type {Record<GalleryFilter, (picture: ProducedPicture) => boolean>} */
const SHOWS = {
  kept: isKept,
  failed: (picture) => !isKept(picture),
  byHand: (picture) => Boolean(picture.decision),
  all: () => true,
};

/**
 * How many pictures each filter shows, by its name.
 * @param {ProducedPicture[]} pictures
 */
export function counted(pictures) {
  return Object.fromEntries(Object.entries(SHOWS).map(([name, fits]) => [name, pictures.filter(fits).length]));
}

/**
 * The pictures that a filter shows, in an order.
 * @param {ProducedPicture[]} pictures
 * @param {GalleryFilter} filter
 * @param {string} order
 */
export function arranged(pictures, filter, order) {
  const shown = pictures.filter(SHOWS[filter]);
  const by = (/** @type {(picture: ProducedPicture) => number} */ value) =>
    shown.sort((a, b) => value(a) - value(b) || a.item - b.item || a.attempt - b.attempt);
  const alike = (/** @type {ProducedPicture} */ picture, /** @type {number} */ none) =>
    picture.likeness === null ? none : picture.likeness;
  if (order === 'best') return by((/** @type {ProducedPicture} */ picture) => -alike(picture, -2));
  if (order === 'worst') return by((/** @type {ProducedPicture} */ picture) => alike(picture, 2));
  if (order === 'prompt') return by((/** @type {ProducedPicture} */ picture) => picture.row);
  return by(() => 0);
}

/**
 * Pictures that are nearly the same, together: a list for each, in the order of their first ones.
 * @param {ProducedPicture[]} pictures each with `hash`, 16 hex digits, or empty.
 * @param {number} bits of 64 in which the hashes of a pile may differ from that of its first picture.
 * @returns {ProducedPicture[][]}
 */
export function piles(pictures, bits) {
  /** @type {ProducedPicture[][]} */
  const found = [];
  /** @type {{value: number[], pile: ProducedPicture[]}[]} */
  const marks = [];
  for (const picture of pictures) {
    const value = halves(picture.hash);
    const near = value && marks.find((mark) => distance(mark.value, value) <= bits);
    if (near) {
      near.pile.push(picture);
      continue;
    }
    const pile = [picture];
    found.push(pile);
    if (value) marks.push({ value, pile });
  }
  return found;
}

/** @param {string} hash */
function halves(hash) {
  const digits = WORD / 4;
  return hash ? [parseInt(hash.slice(0, -digits), 16), parseInt(hash.slice(-digits), 16)] : null;
}

/**
 * @param {number[]} one
 * @param {number[]} other
 */
function distance(one, other) {
  return ones(one[0] ^ other[0]) + ones(one[1] ^ other[1]);
}

/**
 * How many of 32 bits are set (Hacker's Delight, 5-1).
 * @param {number} value
 */
function ones(value) {
  let sum = value - ((value >>> 1) & 0x55555555);
  sum = (sum & 0x33333333) + ((sum >>> 2) & 0x33333333);
  return Math.imul((sum + (sum >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
