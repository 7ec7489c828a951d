/** The pictures of a test grid, with and without the LoRA, each with its word; and the photos they are held against. */

import { url } from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { el, fillWith, setText } from '../base/dom.js';
import { readStored, writeStored } from '../base/stored.js';
import { t } from '../base/texts.js';
import { likeness, radioGroup } from '../widgets/form_parts.js';
import { lightbox } from '../widgets/lightbox.js';
import { keyedList, toneBadge } from '../widgets/widgets.js';

const TO_COME = 'Still to be painted.';
const GONE = 'The picture no longer exists.';
/**
 * What a picture is called: {word, tone}; null where it is not judged yet.
 * @param {ShownRow} row
 */
function markOf(row) {
  if (!row.mark || !row.copy) return row.mark;
  return { ...row.mark, word: `${t(row.mark.word)}, ${t('copy of a photo')}` };
}

/** @param {{likeness: number | null}} row */
function likenessOf(row) {
  return likeness(row.likeness);
}

/**
 * Pictures of one prompt and seed belong together: [{name, lora, base}], in the order of the grid.
 * @param {ShownRow[]} rows
 */
function pairsOf(rows) {
  /** @type {Map<string, PicturePair>} */
  const pairs = new Map();
  for (const row of rows) {
    if (row.role === 'leak') continue;
    const key = `${row.name}|${row.seed}`;
    pairs.set(key, { key, name: row.name, ...pairs.get(key), [row.role]: row });
  }
  return [...pairs.values()];
}

/**
 * The pictures. A choice shows them side by side, or each of the two alone; a click shows the pair large.
 * @returns with `set(grid)`; grids that are still being painted have rows without a status.
 */
export function gridPictures() {
  let how = readStored('grid-view', 'both');
  const sheet = el('div', { class: 'sf-sheet' });
  const views = radioGroup(
    'Show',
    [
      { value: 'both', text: 'Side by side' },
      { value: 'base', text: 'Without the LoRA' },
      { value: 'lora', text: 'With the LoRA' },
    ],
    how,
    (to) => {
      how = to;
      writeStored('grid-view', to);
      sheet.dataset.view = to;
    },
  );
  views.classList.add('sf-inline');
  sheet.dataset.view = how;
  const legend = el(
    'div',
    { class: 'sf-legend' },
    Object.entries(pageState().words.statuses).map(([word, { tone, meaning }]) =>
      el('span', {}, toneBadge(tone, t(word)), `: ${t(meaning)}`),
    ),
  );
  const leak = el('div', { class: 'sf-sheet', data: { view: 'lora' } });
  const leakHead = el('h3', { text: t('Without the trigger word') });
  const leakHelp = el('p', {
    class: 'sf-help',
    text: t('The LoRA is on, but the prompt does not ask for the character.'),
  });
  const leaks = el('div', {}, leakHead, leakHelp, leak);
  const heading = el('h3', { text: t('The pictures') });
  const node = el('div', { class: 'sf-stack' }, heading, views, legend, sheet, leaks);
  /** @type {{slug: string, pairs: PicturePair[], photos: ReferencePhoto[]}} */
  let shown = { slug: '', pairs: [], photos: [] };
  const open = (/** @type {PicturePair} */ pair) => {
    const { slug, pairs, photos } = shown;
    const there = pairs.filter((one) => [one.base, one.lora].some((row) => row && row.url));
    const at = there.findIndex((one) => one.key === pair.key);
    lightbox(slug, there.map(largeOf), Math.max(0, at), photos);
  };
  const set = (/** @type {Grid} */ grid) => {
    const rows = grid.rows.map((/** @type {ShownRow} */ row) => ({
      ...row,
      coming: !row.url && !row.status && !grid.verdict,
    }));
    const pairs = pairsOf(rows);
    const without = pairs.some((pair) => pair.base);
    views.hidden = !without;
    sheet.classList.toggle('sf-single', !without);
    legend.hidden = !grid.rows.some((/** @type {ShownRow} */ row) => row.status);
    keyedList(
      sheet,
      pairs,
      (pair) => `${grid.run}|${grid.id}|${pair.key}`,
      () => pairNode(open),
      (made, pair) => made.set(pair),
    );
    const leaked = rows
      .filter((/** @type {ShownRow} */ row) => row.role === 'leak')
      .map((/** @type {ShownRow} */ row) => ({ key: `${row.name}|${row.seed}|${row.url}`, name: row.name, lora: row }));
    leaks.hidden = !leaked.length;
    keyedList(
      leak,
      leaked,
      (pair) => pair.key,
      () => pairNode(open),
      (made, pair) => made.set(pair),
    );
    shown = { slug: app.slug, pairs: [...pairs, ...leaked], photos: grid.photos || [] };
    node.hidden = !grid.rows.length;
  };
  return Object.assign(node, { set });
}

/**
 * A pair as the lightbox takes it.
 * @param {PicturePair} given
 */
function largeOf({ name, base, lora }) {
  const side = (/** @type {ShownRow | undefined} */ row) =>
    row && row.url ? { url: row.url, alt: altOf(row), label: t(ROLES[row.role]), caption: captionOf(row) } : null;
  const row = lora && lora.url ? lora : base;
  return { name, words: row ? wordsOf(row) : '', nearest: row?.nearest, base: side(base), lora: side(lora) };
}

/**
 * One prompt's pictures, in the order of the report: without the LoRA, then with it.
 * @param {(pair: PicturePair) => void} open
 */
function pairNode(open) {
  const name = el('h4', {});
  const ours = figure('with');
  const theirs = figure('without');
  const two = el('div', { class: 'sf-pair-two' }, theirs, ours);
  const node = el('article', { class: 'sf-pair' }, name, two);
  /** @type {PicturePair} */
  let now = { key: '', name: '' };
  const large = () => open(now);
  ours.button.addEventListener('click', large);
  theirs.button.addEventListener('click', large);
  const set = (/** @type {PicturePair} */ pair) => {
    now = pair;
    setText(name, pair.name);
    ours.set(pair.lora);
    theirs.set(pair.base);
  };
  return Object.assign(node, { set });
}

const ROLES = { lora: 'with the LoRA', base: 'without the LoRA', leak: 'with the LoRA, without the trigger' };

/** @param {ShownRow} row */
function altOf(row) {
  const mark = markOf(row);
  const said = mark ? `; ${t(mark.word)} ${likenessOf(row)}` : '';
  return `${t('AI-generated picture')}, ${t(ROLES[row.role])}: ${row.name}${said}`;
}

/** @param {ShownRow} row */
function captionOf(row) {
  const mark = markOf(row);
  const near = row.role !== 'base' && row.nearest ? t('nearest photo: {file}', { file: row.nearest }) : '';
  const words = [mark ? t(mark.word) : '', likenessOf(row), row.reason, near];
  return words.filter(Boolean).join(' · ');
}

/** @param {ShownRow} row */
function wordsOf(row) {
  const seed = row.seed === null || row.seed === undefined ? '' : t('Seed {seed}', { seed: row.seed });
  return [row.prompt, seed].filter(Boolean).join(' — ');
}

/**
 * One picture with its word; `set(row)`, undefined where there is none (yet).
 * @param {string} side
 */
function figure(side) {
  const img = el('img', { alt: '', loading: 'lazy', decoding: 'async' });
  const button = el('button', { class: 'sf-picture-button' }, img);
  const mark = el('figcaption', {});
  const label = el('span', { class: 'sf-side-label' });
  const node = el('figure', { class: `sf-cell sf-cell-${side}` }, label, button, mark);
  const set = (/** @type {ShownRow | undefined} */ row) => {
    node.classList.toggle('sf-missing', !row);
    if (!row) return;
    button.hidden = !row.url;
    setText(label, t(ROLES[row.role]));
    const address = row.url ? url(row.url) : '';
    if (row.url && img.getAttribute('src') !== address) img.src = address;
    img.alt = altOf(row);
    const said = JSON.stringify([row.status, row.likeness, row.copy, row.url, row.coming]);
    if (mark.dataset.said === said) return;
    mark.dataset.said = said;
    const word = markOf(row);
    node.dataset.tone = word ? word.tone : 'none';
    const likeness = likenessOf(row);
    fillWith(
      mark,
      word ? toneBadge(word.tone, t(word.word)) : null,
      likeness ? el('span', { class: 'sf-number', text: likeness }) : null,
      row.url ? null : el('span', { class: 'sf-quiet', text: t(row.coming ? TO_COME : GONE) }),
    );
  };
  return Object.assign(node, { button, set });
}

/** The photos that a grid was compared with, each with its likeness to the mean of the others. */
export function photoStrip() {
  const strip = el('div', {
    class: 'sf-strip',
    tabIndex: 0,
    role: 'region',
    aria: { label: t('The photos') },
  });
  const heading = el('h3', { text: t('The photos they are compared with') });
  const node = el('div', {}, heading, strip);
  const set = (/** @type {string} */ slug, /** @type {ReferencePhoto[]} */ photos) => {
    node.hidden = !photos || !photos.length;
    keyedList(
      strip,
      photos || [],
      (one) => `${slug}|${one.sha256 || one.file}`,
      (one) => photoNode(slug, one),
    );
  };
  return Object.assign(node, { set });
}

/**
 * @param {string} slug
 * @param {ReferencePhoto} one
 */
function photoNode(slug, one) {
  const likeness = likenessOf(one);
  const words = likeness ? `${one.file}: ${likeness}` : one.file;
  const src = one.sha256 ? url(`/characters/${slug}/photos/${one.sha256}/thumbnail`) : '';
  return el(
    'figure',
    { title: words },
    src ? el('img', { src, alt: one.file, loading: 'lazy' }) : null,
    el('figcaption', { text: likeness || one.file }),
  );
}
