/** Step 1: which photos are used, what is said of them, and what is missing. */

import * as api from '../base/api.js';
import { pageState } from '../base/app.js';
import { chosenCharacter, failedJob, goTo, openJob } from '../base/choice.js';
import { el, fillWith, setText } from '../base/dom.js';
import { say, t } from '../base/texts.js';
import { controlJob } from '../jobs/jobs.js';
import { followedView } from '../page/followed_view.js';
import { refresh } from '../page/polling.js';
import { photoCard, photoGroup, settlePhotos, updatePhotoCard } from './photo_cards.js';
import { dropZone, pastePhotos } from './drop_zone.js';
import { drawUploads, uploadProgress } from './upload.js';
import { filterButtons } from '../widgets/filter_buttons.js';
import { actionButton, keyedList, leadLine, notice, toneSign } from '../widgets/widgets.js';

const FILTERS = { all: 'All', good: 'Good', look: 'Look at', out: 'Left out' };
const WANTED = [
  'from the front, from both sides, and in profile',
  'close-ups, some of the upper body, a few of the whole body',
  'different clothes, places, light and expressions: what is always the same is learned with the face',
];

/** @type {ReturnType<typeof makeParts>} what `mount` has made. */
let parts;
let filter = 'all';
/** @type {FollowedView<PhotosView>} */
const answers = followedView('photos', () => {
  settlePhotos();
  draw();
});

function makeParts() {
  const drop = dropZone();
  return {
    drop,
    lead: leadLine(),
    filters: el('div', { class: 'sf-row', role: 'group', aria: { label: t('Show') } }),
    remove: actionButton('Remove these photos from the folder', remove, {
      title: 'They are moved, not deleted; Undo brings them back',
    }),
    grid: el('div', { class: 'sf-photos' }),
    empty: wanted(),
    invented: actionButton('Continue inventing the face', () => goTo({ step: 'invent' })),
    map: el('div', { class: 'sf-card' }),
    findings: el('div', { class: 'sf-stack' }),
    people: el('div', { class: 'sf-stack' }),
  };
}

/** @param {HTMLElement} root */
function mount(root) {
  parts = makeParts();
  answers.slug = '';
  const aside = el('aside', {}, parts.drop.node, parts.invented, parts.map, parts.findings, parts.people);
  const main = el(
    'div',
    { class: 'sf-stack' },
    parts.filters,
    el('div', { class: 'sf-row' }, parts.remove),
    parts.empty,
    parts.grid,
  );
  root.append(parts.lead, el('div', { class: 'sf-side' }, aside, main));
}

function wanted() {
  const { photos_best: best, face_pixels: n } = pageState().limits;
  const items = [
    t('{least} to {most} photos of this one face, alone in the picture', best),
    t('sharp, well lit, the face at least {n} pixels high', { n }),
    ...WANTED.map((text) => t(text)),
  ].map((text) => el('li', { text }));
  const heading = el('h3', { text: t('Which photos work well') });
  const invent = actionButton('Invent the face instead', () => goTo({ step: 'invent' }));
  const none = el('p', { class: 'sf-quiet', text: t('No photos? A face can be invented: your base model paints it.') });
  return el(
    'div',
    { class: 'sf-card' },
    heading,
    el('ul', { class: 'sf-bullets' }, items),
    none,
    el('div', { class: 'sf-row' }, invent),
  );
}

// Data

function update() {
  const character = chosenCharacter();
  if (!character) return;
  const audit = openJob('audit');
  const mark = [character.photos, audit && audit.id, audit && audit.state];
  const { slug } = character;
  if (answers.follow(slug, () => api.get(`/characters/${slug}/photos`), mark)) filter = 'all';
  draw();
}

// Drawing

function draw() {
  const character = chosenCharacter();
  if (!parts || !character) return;
  drawUploads();
  drawLead(character);
  const photos = answers.view ? answers.view.photos : [];
  parts.empty.hidden = !answers.view || photos.length > 0;
  parts.invented.hidden = !character.invented;
  const picked = character.invented && character.invented.stage === 'picked';
  setText(
    parts.invented.firstElementChild,
    t(picked ? 'More pictures of this invented face' : 'Continue inventing the face'),
  );
  drawFilters(photos);
  const shown = photos.filter((photo) => filter === 'all' || photoGroup(photo) === filter);
  parts.remove.hidden = filter !== 'out' || !shown.length || Boolean(openJob('audit'));
  keyedList(
    parts.grid,
    shown,
    (photo) => photo.sha256 + photo.file,
    (photo) => photoCard(photo, draw),
    updatePhotoCard,
  );
  drawMap();
  drawFindings();
}

/** @param {Character} character */
function drawLead(character) {
  const { photos } = character;
  const text = say(photos.message, photos.text);
  const audit = openJob('audit');
  const failed = failedJob('audit');
  const sending = uploadProgress();
  const go = { label: 'Continue to captions', do: () => goTo({ step: 'captions' }) };
  const add = { label: 'Add photos', do: () => parts.drop.choose() };
  const look = { label: 'Check the photos', do: () => ask({}) };
  if (sending.busy && sending.slug === answers.slug) {
    parts.lead.set({ tone: 'busy', text: sending.text, buttons: [] });
  } else if (!photos.count) {
    parts.lead.set({ tone: 'none', text: text || 'No photo yet', buttons: [{ ...add, main: true }] });
  } else if (audit) {
    parts.lead.set({ tone: 'busy', text: looking(audit), detail: text, buttons: [go] });
  } else if (failed) {
    const again = { label: 'Try again', main: true, do: () => controlJob(failed, 'resume') };
    const why = t('The photos could not be checked: {error}', failed);
    parts.lead.set({ tone: 'bad', text: why, detail: text, buttons: [again, go] });
  } else if (!photos.audited) {
    parts.lead.set({ tone: 'warn', text, buttons: [{ ...look, main: true }, go] });
  } else if (photos.proposed) {
    const label = photos.proposed === 1 ? 'Accept the proposal' : 'Accept all proposals';
    const title = 'Leaves out the photos that are marked so; each can be undone';
    const accept = { label, title, main: true, do: () => ask({ accept: true }) };
    parts.lead.set({ tone: photos.tone, text, detail: counts(), buttons: [accept, go] });
  } else if (photos.tone === 'bad') {
    parts.lead.set({ tone: 'bad', text, detail: counts(), buttons: [{ ...add, main: true }, go] });
  } else {
    parts.lead.set({ tone: photos.tone, text, detail: counts(), buttons: [{ ...go, main: true }, add] });
  }
}

/** The counts in words, where the state's text does not say the same. */
function counts() {
  const { counts = '', messages = {} } = answers.view ?? { counts: '', messages: {} };
  return chosenCharacter()?.photos.text.includes(counts) ? '' : say(messages.counts, counts);
}

/** @param {Job} audit */
function looking(audit) {
  const progress = audit.standing;
  if (audit.state === 'waiting') return t('The photos will be checked in a moment');
  if (!progress || !progress.total) return t('The photos are being checked');
  return t('The photos are being checked: {done} of {total}', progress);
}

/** @param {Partial<Posts['/characters/{slug}/audit']['body']>} body */
async function ask(body) {
  await api.post(`/characters/${answers.slug}/audit`, body);
  await refresh();
}

/** Move the photos that are left out away. */
async function remove() {
  const files = (answers.view?.photos ?? []).filter((photo) => photoGroup(photo) === 'out').map((photo) => photo.file);
  filter = 'all';
  await api.post(`/characters/${answers.slug}/photos/remove`, { files });
  answers.forget();
  await refresh();
  update();
}

/** @param {Photo[]} photos */
function drawFilters(photos) {
  const counted = { all: photos.length, good: 0, look: 0, out: 0, new: 0 };
  for (const photo of photos) counted[photoGroup(photo)] += 1;
  filterButtons(parts.filters, FILTERS, counted, filter, (name) => ((filter = name), draw()));
}

/** The small table: framing against angle. */
function drawMap() {
  const table = (answers.view && answers.view.coverage) || {};
  const rows = Object.entries(table);
  const text = JSON.stringify([table, answers.view && answers.view.missing]);
  const { view } = answers;
  parts.map.hidden = !rows.length || !view?.photos.length;
  if (parts.map.dataset.text === text || !rows.length) return;
  parts.map.dataset.text = text;
  const angles = Object.keys(rows[0][1]);
  const names = new Map(Object.entries(pageState().words.angles));
  const head = el(
    'tr',
    {},
    el('td', {}),
    angles.map((one) => el('th', { scope: 'col', text: t(names.get(one) ?? one) })),
  );
  const body = rows.map(([framing, row]) =>
    el(
      'tr',
      {},
      el('th', { scope: 'row', text: t(framing) }),
      angles.map((one) => cell(row[one])),
    ),
  );
  const missing = (view?.missing ?? []).map((sentence) =>
    el('li', {}, toneSign('warn'), el('span', { text: t(sentence) })),
  );
  fillWith(
    parts.map,
    el('h3', { text: t('What the photos show') }),
    el(
      'div',
      { class: 'sf-scroll' },
      el('table', { class: 'sf-table sf-map' }, el('thead', {}, head), el('tbody', {}, body)),
    ),
    missing.length ? el('p', { text: t('The LoRA makes up what no photo shows:') }) : null,
    missing.length
      ? el('ul', { class: 'sf-problems' }, missing)
      : el('p', {}, toneSign('good'), el('span', { text: t('All angles and framings are covered') })),
  );
}

/** @param {number} count */
function cell(count) {
  return count
    ? el('td', { text: String(count) })
    : el('td', { class: 'sf-empty', text: '–', aria: { label: t('none') } });
}

function drawFindings() {
  const missing = answers.view ? answers.view.missing.join(', ') : '';
  const said = (/** @type {PhotoFinding} */ one) => missing && one.code === 'missing-views'; // the map says it already
  const findings = answers.view && answers.view.photos.length ? answers.view.findings.filter((one) => !said(one)) : [];
  keyedList(
    parts.findings,
    findings,
    (one) => one.text,
    (one) => notice(one.tone || 'warn', say(one.message, one.text)),
  );
  const others =
    answers.view && answers.view.people && answers.view.people.length > 1 ? answers.view.people.slice(1) : [];
  keyedList(
    parts.people,
    others,
    (files) => files.join('/'),
    (files) => {
      const words = el('p', { text: t('Another person: {n} photos like {file}', { n: files.length, file: files[0] }) });
      return notice(
        'warn',
        words,
        actionButton('Leave all of these out', () => ask({ drop: files }), { small: true }),
      );
    },
  );
}

// While it is shown

function shown() {
  answers.forget(); // another program may have changed the folder meanwhile
  document.addEventListener('paste', pastePhotos);
}

function hidden() {
  answers.away();
  document.removeEventListener('paste', pastePhotos);
}

export const panel = { mount, update, shown, hidden };
