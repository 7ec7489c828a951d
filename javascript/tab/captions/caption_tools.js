/** Many captions at once: written by a captioner, a phrase added, removed, replaced or moved, the last change undone. */

import * as api from '../base/api.js';
import { app } from '../base/app.js';
import { el, fillWith, setText } from '../base/dom.js';
import { plural, t } from '../base/texts.js';
import { saveCaptions } from './caption_cards.js';
import { defaultName } from './default_captioner.js';
import { refresh } from '../page/polling.js';
import { refuseForm, showFault } from '../widgets/faults.js';
import { actionButton, askConfirm, foldSection, formField, keyedList, selectBox, toast } from '../widgets/widgets.js';

const DOINGS = { add: 'Add a phrase', remove: 'Remove a phrase', replace: 'Replace a phrase', move: 'Move a phrase' };
/** @type {Record<string, string>} */
const PLACES = { 1: 'right after the trigger word', '-1': 'at the end', 0: 'at the very beginning' };
const OUTFITS =
  'Several outfits, hairstyles or ages: select the photos of each and add a phrase of its own, in words that the base ' +
  'model knows; new words are learned late, if at all. Use that phrase in a prompt to get that one.';
const FREQUENT = 24; // phrases that are offered

/** The name of the captioner that is used where nobody has chosen one; the server says which it is. */
export async function defaultCaptioner() {
  return defaultName(await api.get('/captioners'));
}

/**
 * Write captions automatically.
 * @param {string} captioner
 * @param {boolean} rewrite
 * @param {string[]} [only]
 */
export async function fillCaptions(captioner, rewrite, only = []) {
  await saveCaptions();
  await api.post(`/characters/${app.slug}/captions/fill`, { captioner, rewrite, only });
  await refresh();
}

/** The card that fills captions. */
export function fillCard() {
  const lacking = el('ul', { class: 'sf-lines' });
  const ways = foldSection('How to make the others ready', lacking);
  const choice = selectBox([], '', () => tell());
  /** @type {Captioner[]} */
  let all = [];
  const tell = () => {
    const one = all.find((other) => other.name === choice.value);
    showFault(choice, one && !one.ready ? `${t('Not ready yet.')} ${t(one.why)}` : '');
    run.disabled = !one || !one.ready;
  };
  const rewrite = el('input', { type: 'checkbox' });
  const run = actionButton('Write captions', async () => {
    const text = 'Captions written by hand are replaced too. This can be undone.';
    if (rewrite.checked && !(await askConfirm(text, 'Rewrite all'))) return;
    await fillCaptions(choice.value, rewrite.checked);
  });
  const box = el(
    'label',
    { class: 'sf-choice' },
    rewrite,
    el('span', { text: t('Overwrite captions written by hand') }),
  );
  const card = el(
    'div',
    { class: 'sf-card' },
    el('h3', { text: t('Write captions automatically') }),
    formField('Captioner', choice),
    box,
    el('div', { class: 'sf-row' }, run),
    ways,
  );
  const ask = async () => {
    all = await api.get('/captioners');
    const chosen = choice.value || defaultName(all);
    choice.setChoices(
      all.map((one) => ({ value: one.name, text: t(one.text) + (one.ready ? '' : ` (${t('not ready')})`) })),
      chosen,
    );
    const others = all.filter((one) => !one.ready);
    ways.hidden = !others.length;
    fillWith(
      lacking,
      others.map((one) => el('li', { text: `${t(one.text)}: ${t(one.why)}` })),
    );
    tell();
  };
  return Object.assign(card, { ask });
}

/**
 * @param {EditScope['kind']} kind
 * @param {number} n
 */
function scopeText(kind, n) {
  if (kind === 'selected') return plural(n, 'In the {n} selected caption', 'In the {n} selected captions');
  return kind === 'shown' ? plural(n, 'In the {n} shown caption', 'In the {n} shown captions') : t('In all captions');
}

/**
 * The card that edits many.
 * @param {() => EditScope} scopeOf which captions are changed.
 * @param {() => void} clear deselects all.
 * @param {(slug: string, view: CaptionsView) => void} took takes a character's slug and the view that comes back.
 */
export function editCard(scopeOf, clear, took) {
  const phrase = text('Phrase');
  const by = text('By');
  const doing = selectBox(options(DOINGS), 'add', () => turn());
  const place = selectBox(
    ['1', '-1', '0'].map((value) => ({ value, text: t(PLACES[value]) })),
    '1',
  );
  const fields = { by: formField('By', by), place: formField('Where', place) };
  const scope = el('p', { class: 'sf-quiet', role: 'status' });
  const offers = el('div', {
    class: 'sf-phrases',
    role: 'group',
    aria: { label: t('Phrases, the most frequent first') },
  });
  const run = actionButton('Change captions', change);
  const deselect = actionButton('Deselect all', clear, { small: true });
  const undo = actionButton('Undo', takeBack);
  const turn = () => {
    fields.by.hidden = doing.value !== 'replace';
    fields.place.hidden = !['add', 'move'].includes(doing.value);
  };
  turn();
  for (const input of [phrase, by]) input.addEventListener('keydown', (event) => event.key === 'Enter' && run.click());

  async function change() {
    /** @type {Posts['/characters/{slug}/captions/edit']['body']} */
    const body = { do: doing.value, phrase: phrase.value.trim() };
    refuseForm(body.phrase ? [] : [{ target: phrase, text: 'Write the phrase, or choose one below.' }]);
    if (body.do === 'replace') body.by = by.value.trim();
    if (['add', 'move'].includes(body.do)) body.place = Number(place.value);
    const { kind, files } = scopeOf();
    if (kind !== 'all') body.only = files;
    const { slug } = app; // another may be chosen before the answer is there
    await saveCaptions();
    took(slug, await api.post(`/characters/${slug}/captions/edit`, body));
    toast('Changed.', 'good');
  }

  async function takeBack() {
    const { slug } = app;
    await saveCaptions();
    took(slug, await api.post(`/characters/${slug}/captions/undo`));
    toast('Undone.', 'good');
  }

  const card = el(
    'div',
    { class: 'sf-card sf-later' },
    el('h3', { text: t('Edit several captions') }),
    el('p', { class: 'sf-quiet', text: t(OUTFITS) }),
    formField('What', doing),
    formField('Phrase', phrase, 'The text between two commas'),
    fields.by,
    fields.place,
    el('div', { class: 'sf-row' }, scope, deselect),
    el('div', { class: 'sf-row' }, run, undo),
    el('p', { class: 'sf-quiet', text: t('Most frequent phrases') }),
    offers,
  );
  const set = (/** @type {CaptionsView} */ view) => {
    undo.disabled = !view.can_undo;
    undo.title = view.undo_text ? t('Undo: {what}', { what: view.undo_text }) : '';
    const { kind, files } = scopeOf();
    setText(scope, scopeText(kind, files.length));
    run.disabled = kind !== 'all' && !files.length;
    deselect.hidden = kind !== 'selected';
    const choose = (/** @type {CaptionsView['phrases'][number]} */ one) => () => {
      phrase.value = one.phrase;
      showFault(phrase, '');
      if (doing.value === 'add') {
        doing.value = 'remove';
        turn();
      }
      phrase.focus();
    };
    const make = (/** @type {CaptionsView['phrases'][number]} */ one) =>
      el(
        'button',
        { class: 'sf-phrase', on: { click: choose(one) } },
        el('span', { text: one.phrase }),
        ' ',
        el('span', { class: 'sf-number' }),
      );
    keyedList(
      offers,
      view.phrases.slice(0, FREQUENT),
      (one) => one.phrase,
      make,
      (node, one) => setText(node.lastChild, `× ${one.captions}`),
    );
  };
  return Object.assign(card, { set });
}

/** @param {Record<string, string>} names */
function options(names) {
  return Object.entries(names).map(([value, name]) => ({ value, text: t(name) }));
}

/** @param {string} label */
function text(label) {
  return el('input', { class: 'sf-input', type: 'text', autocomplete: 'off', aria: { label: t(label) } });
}
