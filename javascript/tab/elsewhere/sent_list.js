/** The list of what a training sends to another machine, made by what sends it; asked for when it is unfolded. */

import * as api from '../base/api.js';
import { el, fillWith, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { asError } from '../base/page_error.js';
import { plural, t } from '../base/texts.js';
import { foldSection } from '../widgets/widgets.js';

const BASE = '{file}, {size}; sent once, and kept there for the next training';
const THERE = '{file}, {size}; it is already there, so it is not sent';
const FETCHED = '{file}, {size}; the other machine downloads it from {address}';
const NEVER =
  'Never sent: the original files, their names and metadata, notes, templates of the face, and paths of this computer.';

/**
 * @param {() => {slug: string, asked: Posts['/characters/{slug}/sent']['body'] | null, rented: boolean}} wanted whose training, the body of the request, and whether it
 *   goes to a machine that is deleted at the end.
 * @returns a fold, with `update()`: something else may be sent now.
 */
export function sentList(wanted) {
  const said = el('p', { class: 'sf-help', role: 'status' });
  const body = el('div', { class: 'sf-stack' });
  const fold = foldSection('The list of what is sent', said, body);
  let shown = '';
  let failed = false;

  async function load() {
    const { slug, asked, rented } = wanted();
    const key = JSON.stringify([slug, asked, rented]);
    if (key === shown || !asked) return;
    shown = key;
    failed = false;
    setText(said, t('Reading the photos …'));
    try {
      const list = await api.post(`/characters/${slug}/sent`, asked);
      if (key !== shown) return;
      fillWith(body, parts(list, rented));
      setText(said, t(NEVER));
    } catch (error) {
      if (key !== shown) return;
      failed = true; // it is asked again when the fold is opened again
      fillWith(body);
      setText(said, asError(error).message);
    }
  }

  fold.addEventListener('toggle', () => {
    if (failed) shown = '';
    if (fold.open) load();
  });
  const update = () => fold.open && load();
  return Object.assign(fold, { update });
}

/**
 * @param {SentList} list
 * @param {boolean} rented
 */
function parts(list, rented) {
  const sum = plural(list.photos.length, '{n} photo without metadata', '{n} photos without metadata');
  const row = (/** @type {SentList['photos'][number]} */ photo) =>
    el(
      'tr',
      {},
      el('td', { text: photo.name }),
      el('td', { text: format.bytes(photo.bytes) }),
      el('td', { text: photo.faces ? format.number(photo.faces) : '' }),
      el('td', { text: photo.caption }),
      el('td', { class: 'sf-quiet', text: photo.original }),
    );
  const heads = ['Name there', 'Size', 'Faces marked', 'Caption', 'Your file (not sent)'];
  const head = el(
    'tr',
    {},
    heads.map((one) => el('th', { text: t(one) })),
  );
  const table = el('table', { class: 'sf-table' }, el('thead', {}, head), el('tbody', {}, list.photos.map(row)));
  const { characters, files, settings } = list;
  const facts = [
    ['Base model', baseWords(list, rented)],
    [characters.length > 1 ? 'Characters' : 'Character', characters.map(words).join('; ')],
    ['Files with captions, settings and consent', named(files)],
    ['States of the run so far', named(list.run_files)],
    [
      'Settings',
      Object.entries(settings)
        .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
        .join(', '),
    ],
  ];
  const rows = facts
    .filter(([, text]) => text)
    .map(([name, text]) => [el('dt', { text: t(name) }), el('dd', { text })]);
  return [
    el('p', { text: `${sum} (${format.bytes(list.photo_bytes)})` }),
    el('div', { class: 'sf-scroll sf-sent-photos' }, table),
    el('dl', { class: 'sf-sent' }, rows),
  ];
}

/** @param {SentList['characters'][number]} character */
function words({ name, trigger, class_word: classWord, traits, consent }) {
  const declared = consent ? `${consent.kind}, ${consent.date}` : '';
  return [name, trigger, classWord, (traits || []).join(', '), declared].filter(Boolean).join(' · ');
}

/**
 * @param {SentList} list
 * @param {boolean} rented
 */
function baseWords(list, rented) {
  const words = list.base_there ? THERE : list.base_address ? FETCHED : rented ? '{file}, {size}' : BASE;
  return t(words, { file: list.base, size: format.bytes(list.base_bytes), address: list.base_address });
}

/** @param {Record<string, number>} files */
function named(files) {
  return Object.entries(files || {})
    .map(([name, size]) => `${name.split('/').pop()} (${format.bytes(size)})`)
    .join(', ');
}
