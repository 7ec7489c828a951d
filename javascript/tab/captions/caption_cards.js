/** One caption: typed beside its photo, saved when it is left, and never lost on the way. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { app } from '../base/app.js';
import { el, fillWith } from '../base/dom.js';
import { asError } from '../base/page_error.js';
import { say, t } from '../base/texts.js';
import { actionButton, focusedIn, openDialog, toneBadge } from '../widgets/widgets.js';

/** @type {Record<string, string>} */
const WORDS = { dirty: 'not saved yet', saving: 'saving …', saved: 'saved' };
/** @type {Map<string, Draft>} */
const drafts = new Map(); // by "slug/file": {slug, file, text, state, error}; what the server does not have yet

/** @type {Set<string>} */
const selected = new Set(); // by "slug/sha256"

const keyOf = (/** @type {string} */ slug, /** @type {string} */ which) => `${slug}/${which}`;

/**
 * Those whose boxes are ticked, shown or not.
 * @param {string} slug
 * @param {Caption[]} captions
 */
export const selectedOf = (slug, captions) => captions.filter((item) => selected.has(keyOf(slug, item.sha256)));

export function clearSelection(/** @type {string} */ slug) {
  for (const key of selected) if (key.startsWith(`${slug}/`)) selected.delete(key);
}

/** @type {() => void} */
let tellSelection = () => {};
export const onSelection = (/** @type {() => void} */ run) => (tellSelection = run);

/** How many captions are typed and not saved. */
export const unsavedCaptions = () => [...drafts.values()].filter((one) => one.state !== 'saved').length;

/**
 * Save what is typed and not saved; on the way out of the page, too.
 * @param {RequestInit} [options]
 */
export function saveCaptions(options) {
  const open = [...drafts.values()].filter((one) => one.state === 'dirty' || one.state === 'failed');
  return Promise.all(open.map((one) => save(one, options)));
}

/** @type {(slug: string, view: CaptionsView) => void} takes the view that comes back. */
let took = () => {};
export const onCaptionSaved = (/** @type {(slug: string, view: CaptionsView) => void} */ run) => (took = run);

/**
 * @param {Draft} draft
 * @param {RequestInit} [options]
 */
async function save(draft, options) {
  if (draft.state === 'saving' || draft.state === 'saved') return;
  const text = draft.text;
  draft.state = 'saving';
  show(draft);
  try {
    const view = await api.post(`/characters/${draft.slug}/captions`, { file: draft.file, text }, options);
    draft.state = draft.text === text ? 'saved' : 'dirty'; // typed on meanwhile
    took(draft.slug, view);
  } catch (error) {
    draft.state = 'failed';
    draft.error = asError(error).message;
  }
  show(draft);
}

/** @param {Draft} draft */
function show(draft) {
  if (draft.card && draft.card.isConnected) state(draft.card, draft);
}

/** @param {Caption} item */
export function captionCard(item) {
  const slug = app.slug;
  const src = url(`/characters/${slug}/photos/${item.sha256}/thumbnail`);
  const image = el('img', { alt: '', loading: 'lazy', src });
  const thumb = el(
    'button',
    { class: 'sf-thumb', aria: { label: t('Show {file} large', { file: item.file }) } },
    image,
  );
  const input = el('textarea', {
    class: 'sf-input',
    rows: 3,
    aria: { label: t('Caption of {file}', { file: item.file }) },
  });
  const saving = el('p', { class: 'sf-caption-state', role: 'status' });
  const problems = el('div', { class: 'sf-problems' });
  const words = el('div', { class: 'sf-stack' }, input, saving, problems);
  const tick = el('input', { type: 'checkbox', aria: { label: t('Select {file}', { file: item.file }) } });
  const picture = el('div', { class: 'sf-stack' }, thumb, el('label', { class: 'sf-tick' }, tick, t('Select')));
  const parts = { slug, item, input, saving, problems, tick };
  /** @type {CaptionCard} */
  const card = Object.assign(el('div', { class: 'sf-caption' }, picture, words), { parts });
  tick.addEventListener('change', () => {
    if (tick.checked) selected.add(keyOf(slug, item.sha256));
    else selected.delete(keyOf(slug, item.sha256));
    tellSelection();
  });
  thumb.addEventListener('click', () => large(card.parts.item, src));
  input.addEventListener('input', () => typed(card));
  input.addEventListener('blur', () => leave(card));
  input.addEventListener('keydown', (event) => {
    event.stopPropagation(); // the host has keys of its own in text fields
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      leave(card);
    } else if (event.key === 'Escape') {
      back(card);
    }
  });
  return card;
}

/** @param {CaptionCard} card */
function typed(card) {
  const { slug, item, input } = card.parts;
  /** @type {Draft} */
  const draft = { slug, file: item.file, text: input.value, state: 'dirty', card };
  const before = drafts.get(keyOf(slug, item.file));
  if (before && before.state === 'saving') Object.assign(before, { text: input.value, card });
  else drafts.set(keyOf(slug, item.file), draft);
  state(card, drafts.get(keyOf(slug, item.file)));
}

/** @param {CaptionCard} card */
function leave(card) {
  const { slug, item } = card.parts;
  const draft = drafts.get(keyOf(slug, item.file));
  if (draft && draft.state !== 'saved') save(draft);
}

/** @param {CaptionCard} card */
function back(card) {
  const { slug, item, input } = card.parts;
  const draft = drafts.get(keyOf(slug, item.file));
  if (!draft || draft.state === 'saving') return;
  drafts.delete(keyOf(slug, item.file));
  input.value = item.text;
  state(card, null);
}

/**
 * @param {CaptionCard} card
 * @param {Draft | null | undefined} draft
 */
function state(card, draft) {
  const { saving } = card.parts;
  const now = draft ? draft.state : '';
  const mark = `${now} ${draft && draft.error}`;
  if (saving.dataset.mark === mark) return;
  saving.dataset.mark = mark;
  if (draft && draft.state === 'failed') {
    const again = actionButton('Save again', () => save(draft), { small: true });
    fillWith(saving, toneBadge('bad', t('Not saved: {error}', { error: draft.error })), ' ', again);
  } else if (now === 'saved') fillWith(saving, toneBadge('good', t('saved')));
  else fillWith(saving, now ? el('span', { text: t(WORDS[now] || now) }) : null);
}

/**
 * @param {CaptionCard} card
 * @param {Caption} item
 */
export function updateCaptionCard(card, item) {
  const { slug, input, problems } = card.parts;
  card.parts.item = item;
  card.parts.tick.checked = selected.has(keyOf(slug, item.sha256));
  const draft = drafts.get(keyOf(slug, item.file));
  if (draft) draft.card = card;
  if (draft && draft.state === 'saved' && item.text !== normal(draft.text)) drafts.delete(keyOf(slug, item.file)); // changed since
  const open = draft && draft.state !== 'saved';
  const writing = input === focusedIn(input) && draft && normal(input.value) === item.text;
  if (open) {
    if (draft && input.value !== draft.text) input.value = draft.text;
  } else if (!writing && input.value !== item.text) input.value = item.text;
  state(card, drafts.get(keyOf(slug, item.file)));
  card.classList.toggle('sf-out', !item.used);
  const found = item.problems.map((text, place) => say((item.messages || [])[place], text));
  const sentences = item.used ? found : [t('Left out: this photo is not used for training.')];
  if (problems.dataset.text !== sentences.join('\n'))
    fillWith(
      problems,
      sentences.map((text) => el('p', { text })),
    );
  problems.dataset.text = sentences.join('\n');
  problems.classList.toggle('sf-calm', !item.used);
}

/**
 * As the server keeps a caption.
 * @param {string} text
 */
function normal(text) {
  return text.split(/\s+/).filter(Boolean).join(' ');
}

/**
 * @param {Caption} item
 * @param {string} small
 */
function large(item, small) {
  const src = small.replace('/thumbnail', '/picture');
  const body = el(
    'div',
    { class: 'sf-dialog-body' },
    el('img', { class: 'sf-large', src, alt: item.file }),
    el('p', { text: item.text }),
  );
  openDialog(item.file, body, { wide: true });
}

const away = () => document.hidden && saveCaptions({ keepalive: true });
document.addEventListener('visibilitychange', away);
window.addEventListener('beforeunload', (event) => {
  if (!unsavedCaptions()) return;
  saveCaptions({ keepalive: true });
  event.preventDefault();
});
