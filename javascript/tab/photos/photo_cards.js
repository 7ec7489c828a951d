/** One photo: its thumbnail, what is said of it, keep or leave out; and the large picture. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { openJob } from '../base/choice.js';
import { el, fillWith, setText } from '../base/dom.js';
import { say, t } from '../base/texts.js';
import { actionButton, openDialog, toast, toneBadge } from '../widgets/widgets.js';

const GATHER = 500; // milliseconds in which decisions are gathered to one request

let slug = '';
/** @type {Map<string, Wish>} */
let wishes = new Map(); // by file: "keep", "drop" or "undecided", until the answer shows them
/** @type {Map<string, Wish>} */
let unsent = new Map();
let timer = 0;

/** Forget wishes that an answer must show by now: no audit is open any more. */
export function settlePhotos() {
  if (!unsent.size && !openJob('audit')) wishes = new Map();
}

/**
 * Take the decision on some photos: it shows at once, and is sent in a moment.
 * @param {string[]} files
 * @param {Wish} wish
 * @param {Action} redraw
 */
function decide(files, wish, redraw) {
  if (slug !== app.slug) {
    flush();
    wishes = new Map(); // another one's photos may have the same names
  }
  slug = app.slug;
  for (const file of files) {
    wishes.set(file, wish);
    unsent.set(file, wish);
  }
  clearTimeout(timer);
  timer = setTimeout(flush, GATHER);
  redraw();
}

function flush() {
  clearTimeout(timer);
  if (!unsent.size) return;
  /** @type {Record<Wish, string[]>} */
  const body = { keep: [], drop: [], undecided: [] };
  for (const [file, wish] of unsent) body[wish].push(file);
  unsent = new Map();
  const whose = slug;
  api.post(`/characters/${whose}/audit`, body).catch((error) => {
    if (whose === slug) wishes = new Map();
    toast(error.message, 'bad');
  });
}

/**
 * What is decided on a photo: "keep", "drop", or "" for nothing.
 * @param {Photo} photo
 */
function decision(photo) {
  const wish = slug === app.slug ? wishes.get(photo.file) : undefined;
  if (wish !== undefined) return wish === 'undecided' ? '' : wish;
  return photo.decision || '';
}

/**
 * "good", "look", "out", or "new" where it is not looked at yet: where a photo is found by the filter.
 * @param {Photo} photo
 */
export function photoGroup(photo) {
  const decided = decision(photo);
  if (decided === 'drop' || (!photo.used && decided !== 'keep')) return 'out';
  if (photo.tone === 'good' || decided === 'keep') return 'good';
  return photo.tone === 'none' ? 'new' : 'look';
}

/**
 * @param {Photo} photo
 * @param {Action} redraw
 */
export function photoCard(photo, redraw) {
  const image = el('img', { alt: photo.file, loading: 'lazy', src: thumbnail(photo) });
  const open = el(
    'button',
    { class: 'sf-thumb', aria: { label: t('Show {file} large', { file: photo.file }) } },
    image,
  );
  /** @type {PhotoCard['parts']} */
  const parts = {
    photo,
    word: el('span', {}),
    name: el('p', { class: 'sf-photo-name', text: photo.file, title: photo.file }),
    words: el('p', { class: 'sf-quiet' }),
    keep: choice('Keep', () => toggle('keep')),
    drop: choice('Leave out', () => toggle('drop')),
  };
  const toggle = (/** @type {Wish} */ wish) =>
    decide([parts.photo.file], decision(parts.photo) === wish ? 'undecided' : wish, redraw);
  open.addEventListener('click', () => large(parts.photo, redraw));
  const row = el('div', { class: 'sf-row' }, parts.keep, parts.drop);
  const card = el('div', { class: 'sf-photo' }, open, parts.word, parts.words, parts.name, row);
  return Object.assign(card, { parts });
}

/**
 * @param {string} label
 * @param {Action} run
 */
function choice(label, run) {
  return actionButton(label, () => void run(), { small: true });
}

/**
 * @param {PhotoCard} card
 * @param {Photo} photo
 */
export function updatePhotoCard(card, photo) {
  const { parts } = card;
  parts.photo = photo;
  const decided = decision(photo);
  const waits = decided !== (photo.decision || '');
  const tone = waits && photo.tones ? photo.tones[decided || 'undecided'] : photo.tone || 'none';
  card.className = `sf-photo sf-${tone}${photoGroup(photo) === 'out' ? ' sf-out' : ''}`;
  const word = waits ? t(pageState().words.decisions[decided || 'undecided']) : t(photo.word || 'not checked yet');
  const mark = `${tone} ${word}`;
  if (parts.word.dataset.mark !== mark) fillWith(parts.word, toneBadge(tone, word));
  parts.word.dataset.mark = mark;
  const [first] = photo.messages || [];
  setText(parts.words, say(first, photo.sentence || ''));
  parts.words.hidden = !photo.sentence;
  parts.keep.setAttribute('aria-pressed', String(decided === 'keep'));
  parts.drop.setAttribute('aria-pressed', String(decided === 'drop'));
  parts.keep.setAttribute('aria-label', t('Keep {file}', { file: photo.file }));
  parts.drop.setAttribute('aria-label', t('Leave out {file}', { file: photo.file }));
}

/** @param {Photo} photo */
function thumbnail(photo) {
  return url(`/characters/${app.slug}/photos/${photo.sha256}/thumbnail`);
}

/**
 * A photo in full size, with all that is said of it.
 * @param {Photo} photo
 * @param {Action} redraw
 */
function large(photo, redraw) {
  const src = url(`/characters/${app.slug}/photos/${photo.sha256}/picture`);
  const { findings: sentences = [], messages = [] } = photo;
  const findings = sentences.map((text, place) => el('li', { text: say(messages[place], text) }));
  const size = t('{width} × {height} pixels', photo);
  const take = (/** @type {Wish} */ wish) => () => {
    decide([photo.file], wish, redraw);
    shown.close();
  };
  const body = el(
    'div',
    { class: 'sf-dialog-body' },
    el('img', { class: 'sf-large', src, alt: photo.file }),
    el('p', { class: 'sf-quiet', text: photo.width ? size : '' }),
    findings.length ? el('ul', { class: 'sf-bullets' }, findings) : null,
    photo.caption ? el('p', { text: photo.caption }) : null,
    el('div', { class: 'sf-row sf-end' }, actionButton('Keep', take('keep')), actionButton('Leave out', take('drop'))),
  );
  const shown = openDialog(photo.file, body, { wide: true });
}
export const largePhoto = large;
