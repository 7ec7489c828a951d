/** Making a character, changing it, forgetting its face, deleting it. */

import * as api from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { chosenCharacter, goTo } from '../base/choice.js';
import { el, fillWith, setText } from '../base/dom.js';
import { redraw } from '../base/redraw.js';
import { plural, t } from '../base/texts.js';
import { characterForm } from './character_form.js';
import { inventForm, photoOrInvent } from './invent_form.js';
import { refresh } from '../page/polling.js';
import { bringBack, deletedList, toastWith } from '../page/undo.js';
import { refuseForm } from '../widgets/faults.js';
import { actionButton, askConfirm, toast } from '../widgets/widgets.js';

/** @returns {[string, string][]} */
const way = () => [
  [
    'Photos',
    t(
      'Give {least} to {most} photos of one face; each one is checked, and you are told which to leave out.',
      pageState().limits.photos_best,
    ),
  ],
  ['Captions', 'Each photo gets a line that says what changes from photo to photo; it can be written for you.'],
  ['Train', 'A small LoRA file is trained on your base model, on this machine.'],
  [
    'Test',
    t('{n} pictures are painted and measured: is it the same face, and in which situations?', {
      n: pageState().limits.test_pictures,
    }),
  ],
  ['Use', 'The best step and weight go to your LoRA folder, with a prompt that is ready to use.'],
];

/** @type {[string, string]} */
const FACES = [
  'Faces',
  'You pick one of the painted faces; then more pictures of it are painted, and those that show it become the photos.',
];
/** @type {[string, string]} */
const PICTURE = [
  'Pictures',
  'More pictures are painted from yours, and those that show the same face become the photos.',
];

// A new one

/**
 * What `mountNew` has made.
 * @type {{form: ReturnType<typeof characterForm>, invent: ReturnType<typeof inventForm>,
 *   ways: ReturnType<typeof photoOrInvent>, welcome: ReturnType<typeof welcome>, cancel: HTMLElement,
 *   create: HTMLElement, gone: ReturnType<typeof deletedList>, title: HTMLElement}}
 */
let fresh;

/** @param {HTMLElement} root */
function mountNew(root) {
  const create = actionButton('Create the character', make, { main: true });
  fresh = {
    form: characterForm(true),
    title: el('h2', {}),
    invent: inventForm(() => turn()),
    ways: photoOrInvent(turn),
    welcome: welcome(),
    gone: deletedList(),
    cancel: actionButton('Cancel', () => goTo({ step: 'photos' })),
    create,
  };
  fresh.form.fill({});
  const form = el(
    'form',
    { class: 'sf-stack', noValidate: true },
    fresh.invent.node,
    fresh.form.node,
    el('div', { class: 'sf-row' }, create, fresh.cancel),
  );
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.target instanceof HTMLInputElement)) return;
    event.preventDefault();
    create.click();
  });
  turn();
  root.append(
    fresh.title,
    fresh.ways.node,
    el(
      'div',
      { class: 'sf-columns sf-columns-form' },
      form,
      el('div', { class: 'sf-stack' }, fresh.welcome.node, fresh.gone),
    ),
  );
}

function welcome() {
  const next = el('ol', { class: 'sf-stack' });
  const promise = t('Photos stay on this machine. Nothing is sent anywhere.');
  const heading = el('h3', { text: t('What comes next') });
  const node = el('aside', { class: 'sf-card' }, heading, next, el('p', { class: 'sf-quiet', text: promise }));
  const set = (/** @type {[string, string] | null} */ first) => {
    const [photos, ...rest] = way();
    fillWith(next, steps([first || photos, ...rest]));
  };
  return { node, set };
}

/** @param {[string, string][]} all */
function steps(all) {
  return all.map(([name, text], place) =>
    el(
      'li',
      { class: 'sf-way' },
      el('span', { class: 'sf-tab-number', text: String(place + 1), aria: { hidden: 'true' } }),
      el('div', {}, el('strong', { text: t(name) }), el('p', { class: 'sf-quiet', text: t(text) })),
    ),
  );
}

/** Photos, or a face that is invented. */
function turn() {
  const invents = fresh.ways.chosen() === 'invent';
  const paints = invents && fresh.invent.way() === 'words';
  fresh.invent.node.hidden = !invents;
  fresh.welcome.set(invents ? (paints ? FACES : PICTURE) : null);
  setText(fresh.create.firstElementChild, t(paints ? 'Create and paint faces' : 'Create the character'));
  if (invents) fresh.invent.shown();
}

function updateNew() {
  const first = !pageState().characters.length;
  const words = first ? 'Welcome. Who do you want to train?' : 'A new character';
  setText(fresh.title, t(words));
  fresh.cancel.hidden = first;
}

async function make() {
  const invents = fresh.ways.chosen() === 'invent';
  refuseForm([...fresh.form.faults(), ...(invents ? fresh.invent.faults() : [])]); // of both at once
  const values = { consent: null, ...fresh.form.values() };
  const made = await fresh.form.send(() => api.post('/characters', values));
  const refused = invents
    ? await fresh.invent.begin(made.slug).then(
        () => null,
        (error) => error,
      )
    : null;
  fresh.form.fill({});
  await refresh();
  goTo({ slug: made.slug, step: invents ? 'invent' : 'photos' });
  if (refused) throw refused; // the character is there, and it can be begun again
}

export const newPanel = { mount: mountNew, update: updateNew, shown: () => (fresh.form.focus(), fresh.gone.shown()) };

// One that is there

/**
 * What `mountEdit` has made; `slug`: whose values the form shows.
 * @type {{form: ReturnType<typeof characterForm>, title: HTMLElement, slug: string}}
 */
let known;

/** @param {HTMLElement} root */
function mountEdit(root) {
  known = { form: characterForm(false), title: el('h2', {}), slug: '' };
  const save = actionButton('Save', change, { main: true });
  const back = actionButton('Back without saving', () => leave());
  const form = el('div', { class: 'sf-stack' }, known.form.node, el('div', { class: 'sf-row' }, save, back));
  root.append(known.title, el('div', { class: 'sf-columns sf-columns-form' }, form, dangers()));
}

function dangers() {
  const forget = actionButton('Forget face data', forgetFaces);
  const remove = actionButton('Delete the character', erase, { danger: true });
  const about = (/** @type {string} */ title, /** @type {string} */ text, /** @type {HTMLElement} */ button) =>
    el(
      'div',
      { class: 'sf-card' },
      el('h3', { text: t(title) }),
      el('p', { class: 'sf-quiet', text: t(text) }),
      el('div', { class: 'sf-row' }, button),
    );
  const faces =
    'Deletes what was measured of the face: embeddings, templates and thumbnails. Photos, captions and LoRAs stay.';
  const whole = 'Moves the folder with photos, captions and runs to "deleted" in the data folder. Nothing is erased.';
  return el('aside', { class: 'sf-stack' }, about('Face data', faces, forget), about('Delete', whole, remove));
}

function updateEdit() {
  const character = chosenCharacter();
  if (!character || known.slug === character.slug) return; // what is being typed stays
  known.slug = character.slug;
  setText(known.title, character.name);
  known.form.fill(character);
}

function leave() {
  const character = chosenCharacter();
  goTo({ step: (character && character.next) || 'photos' });
}

async function change() {
  const values = known.form.values();
  await known.form.send(() => api.post(`/characters/${known.slug}`, values));
  toast('Saved.', 'good');
  await refresh();
  leave();
}

async function forgetFaces() {
  const text = 'Delete the measurements of this face? The photos must be checked again before the next test.';
  if (!(await askConfirm(text, 'Forget face data', { danger: true }))) return;
  const { deleted } = await api.post(`/characters/${known.slug}/forget_faces`);
  toast(plural(deleted, '{n} file deleted', '{n} files deleted'), 'good');
}

async function erase() {
  const character = chosenCharacter();
  if (!character) return;
  const text = t(
    'Delete {name}, with all its photos, captions and runs? The folder is moved to "deleted" and can be restored on the page of a new character.',
    {
      name: character.name,
    },
  );
  if (!(await askConfirm(text, 'Delete the character', { danger: true }))) return;
  const { moved_to: place } = await api.post(`/characters/${character.slug}/delete`, { name: character.name });
  app.step = 'photos';
  await refresh();
  redraw();
  const folder = place.split(/[\\/]/).pop();
  toastWith(t('Moved to {place}', { place }), 'Undo', () => bringBack(folder || ''));
}

export const editPanel = { mount: mountEdit, update: updateEdit, shown: () => (known.slug = '') };
