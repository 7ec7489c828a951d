/** Ways back: the Undo of a character's changes, as a button in the head and in a toast; and characters put away. */

import * as api from '../base/api.js';
import { app, pageRoot, pageState } from '../base/app.js';
import { goTo, openJob } from '../base/choice.js';
import { el, fillWith } from '../base/dom.js';
import { capital, t } from '../base/texts.js';
import { refresh } from './polling.js';
import { actionButton, toast } from '../widgets/widgets.js';

const PATIENCE = 60; // tries, half a second each: decisions are on their way until the photos are looked through
const seen = new Map(); // by slug: when the newest change was made, as far as it was told

/**
 * A toast with a button in it.
 * @param {string} text
 * @param {string} label
 * @param {Action} run
 */
export function toastWith(text, label, run) {
  toast(text, 'good');
  const shown = [...pageRoot().querySelectorAll('.sf-toast')].pop();
  const press = async () => {
    shown?.remove();
    await run();
  };
  shown?.insertBefore(actionButton(label, press, { small: true }), shown?.lastChild ?? null);
}

/** @returns the button in the head; `update(character)` with each state. */
export function undoButton() {
  const node = actionButton('Undo', () => takeBack());
  node.hidden = true;
  return {
    node,
    update: (/** @type {Character | null} */ character) => {
      const last = character && character.undo;
      node.hidden = !last;
      node.title = last ? t('Undo: {what}', last) : '';
      if (character) offer(character);
    },
  };
}

/**
 * Offer to take a change back when it has just been made.
 * @param {Character} given
 */
function offer({ slug, undo: last }) {
  const before = seen.get(slug);
  const now = last ? last.t : 0;
  seen.set(slug, now);
  if (!last || before === undefined || now <= before) return; // it was there already, or something was taken back
  toastWith(capital(last.what), 'Undo', () => takeBack(slug, last));
}

/**
 * @param {string} [slug]
 * @param {Character['undo']} [last]
 */
async function takeBack(slug = app.slug, last = null) {
  await settled(slug);
  const found = pageState().characters.find((one) => one.slug === slug);
  const change = last || (found && found.undo);
  if (!change) return;
  const { undone } = await api.post(`/characters/${slug}/undo`, { t: change.t });
  await refresh();
  const panel = app.panels[app.step];
  if (panel?.shown) panel.shown(); // what it shows may have changed without a mark
  if (panel?.update) panel.update();
  toast(t('Undone: {what}', { what: undone }), 'good');
}

/**
 * Wait until decisions that were just made are in the history.
 * @param {string} slug
 */
async function settled(slug) {
  for (let tries = 0; tries < PATIENCE && openJob('audit', slug); tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    await refresh();
  }
}

/** Deleted characters, each with a button that restores it; `made.shown()` asks for them. */
export function deletedList() {
  const list = el('ul', { class: 'sf-stack' });
  const made = el('div', { class: 'sf-card', hidden: true }, el('h3', { text: t('Deleted characters') }), list);
  const wasShown = async () => {
    const all = await api.get('/deleted').catch(() => []);
    made.hidden = !all.length;
    const entry = (/** @type {DeletedCharacter} */ one) =>
      el(
        'li',
        { class: 'sf-row sf-between' },
        el('span', {
          text: [one.name, one.when && `(${one.when.slice(0, 4)}-${one.when.slice(4, 6)}-${one.when.slice(6, 8)})`]
            .filter(Boolean)
            .join(' '),
        }),
        actionButton('Restore', () => bringBack(one.folder), { small: true }),
      );
    fillWith(list, all.slice(0, 20).map(entry));
  };
  return Object.assign(made, { shown: wasShown });
}

/**
 * Restore a character by its folder's name.
 * @param {string} folder
 */
export async function bringBack(folder) {
  const made = await api.post('/deleted/bring_back', { folder });
  await refresh();
  goTo({ slug: made.slug, step: made.next });
}
