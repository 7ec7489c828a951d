/** The pictures of a production: sorted, filtered, piled; kept and dropped by mouse or keys; large with a photo beside. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { appendTo, el, fillWith, setText } from '../base/dom.js';
import { asError } from '../base/page_error.js';
import { plural, t } from '../base/texts.js';
import { filterButtons } from '../widgets/filter_buttons.js';
import { checkbox, likeness } from '../widgets/form_parts.js';
import { lightbox } from '../widgets/lightbox.js';
import { actionButton, keyedList, selectBox, toast, toneBadge } from '../widgets/widgets.js';
import { FILTERS, ORDERS, arranged, counted, isKept, piles } from './gallery_order.js';

/** @type {Map<string, 'keep' | 'drop'>} */
const WISHES = new Map([
  ['k', 'keep'],
  ['d', 'drop'],
  ['Delete', 'drop'],
]);
const KEYS = 'Keys: arrows to move, K to keep, D to drop, U to undo, Enter for the large picture.';

/**
 * @param {() => void} decided is called after a decision was sent.
 * @returns the node, with `set(slug, production)`; null = nothing is shown.
 */
export function productionGallery(decided) {
  /**
   * @type {{slug: string, id: string, pictures: ProducedPicture[], bits: number, filter: GalleryFilter, order: string,
   *   cards: ProducedPicture[][]}}
   */
  const shown = { slug: '', id: '', pictures: [], bits: 0, filter: 'kept', order: 'painted', cards: [] };
  /** @type {[string, ProducedPicture['decision']][]} */
  const history = []; // decisions that can be taken back: [[file, before]]
  /** @type {Promise<unknown>} */
  let sending = Promise.resolve(); // the decisions that are on their way
  const filters = el('div', { class: 'sf-row', role: 'group', aria: { label: t('Which pictures are shown') } });
  const orders = Object.entries(ORDERS).map(([value, text]) => ({ value, text: t(text) }));
  const order = selectBox(orders, 'painted', (to) => ((shown.order = to), draw()));
  order.setAttribute('aria-label', t('Order'));
  const piled = checkbox('Stack near-duplicates', true, draw);
  const undo = actionButton('Undo', () => takeBack(), { small: true });
  const list = el('div', { class: 'sf-gallery', role: 'group', aria: { label: t('Pictures') } });
  const none = el('p', { class: 'sf-quiet', text: t('No pictures match this filter.') });
  const help = el('p', { class: 'sf-help', text: t(KEYS) });
  const node = el('div', { class: 'sf-stack', hidden: true });
  appendTo(node, [el('div', { class: 'sf-row sf-gallery-tools' }, filters, order, piled, undo), help, list, none]);
  list.addEventListener('keydown', pressed);

  function draw() {
    const { pictures } = shown;
    filterButtons(
      filters,
      FILTERS,
      counted(pictures),
      shown.filter,
      (name) => ((shown.filter = /** @type {GalleryFilter} */ (name)), draw()),
    );
    const all = arranged(pictures, shown.filter, shown.order);
    shown.cards = piled.input.checked ? piles(all, shown.bits) : all.map((one) => [one]);
    keyedList(
      list,
      shown.cards,
      ([first]) => `${shown.slug}|${shown.id}|${first.file}`,
      () => card(open, toggle),
      (made, pile) => made.set(pile),
    );
    const first = list.querySelector('.sf-thumb');
    if (first && !list.querySelector('.sf-thumb[tabindex="0"]')) first.setAttribute('tabindex', '0');
    none.hidden = Boolean(all.length);
    undo.hidden = !history.length;
    help.hidden = !all.length;
  }

  /** Take a decision on a picture, which shows at once; a decision for what was measured anyway is none. */
  async function decide(/** @type {ProducedPicture} */ picture, /** @type {'keep' | 'drop'} */ wish, back = false) {
    const before = picture.decision || null;
    const decision = (wish === 'keep') === picture.passed ? null : wish;
    if (decision === before) return;
    /** @type {[string, ProducedPicture['decision']]} */
    const entry = [picture.file, before];
    if (!back) history.push(entry);
    picture.decision = decision;
    const { slug, id } = shown;
    draw();
    const body = { decisions: { [picture.file]: decision } };
    const send = () => api.post(`/characters/${slug}/productions/${id}/decisions`, body);
    sending = sending.then(send, send); // one after the other: the last one counts
    try {
      await sending;
      decided();
    } catch (error) {
      const now = pictureOf(picture.file);
      if (now) now.decision = before;
      if (history.includes(entry)) history.splice(history.indexOf(entry), 1);
      draw();
      toast(asError(error).message, 'bad');
    }
  }

  function pictureOf(/** @type {string} */ file) {
    return shown.pictures.find((one) => one.file === file);
  }

  function toggle(/** @type {ProducedPicture} */ picture) {
    return decide(picture, isKept(picture) ? 'drop' : 'keep');
  }

  async function takeBack() {
    const [file, before] = history.pop() || ['', null];
    const picture = pictureOf(file);
    if (picture) await restore(picture, before);
  }

  async function restore(/** @type {ProducedPicture} */ picture, /** @type {'keep' | 'drop' | null} */ before) {
    const wish = before === null ? (picture.passed ? 'keep' : 'drop') : before;
    await decide(picture, wish, true);
  }

  // Keys

  /** @returns {HTMLElement[]} */
  const thumbs = () => [...list.querySelectorAll('.sf-thumb')].filter((one) => one instanceof HTMLElement);

  function pressed(/** @type {KeyboardEvent} */ event) {
    if (event.altKey || event.metaKey) return;
    const all = thumbs();
    const at = all.findIndex((one) => one === document.activeElement);
    if (at < 0) return;
    if (event.ctrlKey && event.key.toLowerCase() !== 'z') return;
    const to = movedTo(event.key, all, at);
    if (to !== null) focus(all, to);
    else if (!act(event.key, shown.cards[at][0], () => focusAgain(at))) return;
    event.preventDefault();
    event.stopPropagation(); // the host has keys of its own
  }

  /** Do what a key says to a picture; false where it says nothing. */
  function act(
    /** @type {string} */ key,
    /** @type {ProducedPicture} */ picture,
    /** @type {(wish?: 'keep' | 'drop') => void} */ then,
  ) {
    const wish = WISHES.get(key.length === 1 ? key.toLowerCase() : key);
    if (wish) decide(picture, wish);
    else if (['u', 'z'].includes(key.toLowerCase())) takeBack();
    else return false;
    then(wish);
    return true;
  }

  function focusAgain(/** @type {number} */ at) {
    const all = thumbs();
    if (all.length) focus(all, Math.min(at, all.length - 1));
  }

  // Large

  function open(/** @type {ProducedPicture} */ picture) {
    const pictures = () => files.flatMap((file) => pictureOf(file) ?? []);
    const files = shown.cards.flat().map((one) => one.file);
    const at = Math.max(0, files.indexOf(picture.file));
    const items = pictures().map(largeOf);
    const answer = (/** @type {string} */ key, /** @type {number} */ place) => {
      let next = false;
      const one = pictureOf(files[place]);
      if (!one || !act(key, one, (wish) => (next = Boolean(wish)))) return null;
      pictures().forEach((other, number) => (items[number] = largeOf(other))); // an undo may be another one's
      return { item: items[place], next };
    };
    const buttons = [
      { label: 'Keep', key: 'k' },
      { label: 'Drop', key: 'd' },
      { label: 'Undo', key: 'u' },
    ];
    lightbox(shown.slug, items, at, [], { answer, buttons });
  }

  const set = (/** @type {string} */ slug, /** @type {Production | null} */ production) => {
    node.hidden = !production || !production.pictures.length;
    if (!production || node.hidden) return;
    if (shown.slug !== slug || shown.id !== production.id) {
      history.length = 0;
      shown.filter = production.pictures.some(isKept) ? 'kept' : 'all'; // later it is the user's
    }
    Object.assign(shown, { slug, id: production.id, pictures: production.pictures, bits: production.similar_bits });
    draw();
  };
  return Object.assign(node, { set });
}

/**
 * Where a key moves to from a place; null where it moves nowhere.
 * @param {string} key
 * @param {HTMLElement[]} all
 * @param {number} at
 */
function movedTo(key, all, at) {
  const across =
    all.filter((one) => one.getBoundingClientRect().top === all[0].getBoundingClientRect().top).length || 1;
  const by = new Map(Object.entries({ ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across })).get(key);
  if (by) return at + by >= 0 && at + by < all.length ? at + by : at;
  if (key === 'Home') return 0;
  return key === 'End' ? all.length - 1 : null;
}

/**
 * @param {HTMLElement[]} all
 * @param {number} to
 */
function focus(all, to) {
  all.forEach((one, place) => (one.tabIndex = place === to ? 0 : -1));
  all[to].focus();
}

/**
 * @param {(picture: ProducedPicture) => void} open
 * @param {(picture: ProducedPicture) => unknown} toggle
 */
function card(open, toggle) {
  const image = el('img', { alt: '', loading: 'lazy', decoding: 'async' });
  const more = el('span', { class: 'sf-pile', hidden: true });
  const thumb = el('button', { class: 'sf-thumb', tabIndex: -1 }, image, more);
  const mark = el('div', { class: 'sf-row' });
  const words = el('p', { class: 'sf-photo-name' });
  const turn = actionButton('Drop', () => toggle(now[0]), { small: true });
  const node = el('div', { class: 'sf-photo sf-produced' }, thumb, mark, words, turn);
  /** @type {ProducedPicture[]} */
  let now = [];
  thumb.addEventListener('click', () => open(now[0]));
  const set = (/** @type {ProducedPicture[]} */ pile) => {
    now = pile;
    const [picture] = pile;
    const kept = isKept(picture);
    const src = url(`${picture.url}?small=1`);
    if (image.getAttribute('src') !== src) image.src = src;
    image.alt = altOf(picture);
    node.classList.toggle('sf-out', !kept);
    more.hidden = pile.length < 2;
    setText(more, `+${pile.length - 1}`);
    more.title = plural(pile.length - 1, '{n} near-duplicate', '{n} near-duplicates');
    setText(words, picture.words);
    words.title = picture.prompt;
    setText(turn.firstElementChild, t(kept ? 'Drop' : 'Keep'));
    const { tone, text } = wordOf(picture);
    if (mark.dataset.said === `${tone}${text}`) return;
    mark.dataset.said = `${tone}${text}`;
    fillWith(mark, toneBadge(tone, text), el('span', { class: 'sf-number', text: likeness(picture.likeness) }));
  };
  return Object.assign(node, { set });
}

/**
 * What is said of a picture, with its tone.
 * @param {ProducedPicture} picture
 * @returns {{tone: Tone, text: string}}
 */
function wordOf(picture) {
  if (picture.decision) return { tone: 'none', text: t(isKept(picture) ? 'kept by you' : 'dropped by you') };
  if (picture.passed) return { tone: 'good', text: t('passed') };
  return { tone: picture.reason === 'lost' ? 'bad' : 'warn', text: t(picture.reason) };
}

/** @param {ProducedPicture} picture */
function altOf(picture) {
  return `${t('AI-generated picture')}: ${picture.prompt}; ${wordOf(picture).text} ${likeness(picture.likeness)}`;
}

/**
 * A picture as the lightbox takes it.
 * @param {ProducedPicture} picture
 */
function largeOf(picture) {
  const caption = [wordOf(picture).text, likeness(picture.likeness), picture.said].filter(Boolean).join(' · ');
  const words = [picture.prompt, t('Seed {seed}', { seed: picture.seed })].join(' — ');
  const lora = { url: picture.url, alt: altOf(picture), label: picture.file, caption };
  return { name: t('Picture {n}', { n: picture.item }), words, nearest: picture.nearest, base: null, lora };
}
