/** Inventing a character: faces to choose from, the picked one, and more pictures of it. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { chosenCharacter, openJobAt } from '../base/choice.js';
import { el, fillWith, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { about, inventCard, updateFaceCard, updatePictureCard } from './invent_cards.js';
import { inventForm, inventMoreForm } from './invent_form.js';
import { inventWords } from './invent_words.js';
import { lastJobAt, logFold } from '../jobs/jobs.js';
import { followedView } from '../page/followed_view.js';
import { refresh } from '../page/polling.js';
import { filterButtons } from '../widgets/filter_buttons.js';
import { actionButton, keyedList, leadLine, openDialog } from '../widgets/widgets.js';

const FILTERS = { all: 'All', kept: 'Kept', out: 'Left out' };

/** @type {InventParts} what `mount` has made. */
let parts;
let filter = 'all';
let anew = false; // the user describes another face, although there are candidates
let filled = ''; // whose description stands in the form
/** @type {FollowedView<InventionView>} */
const answers = followedView('invent', () => draw());

/** @param {HTMLElement} root */
function mount(root) {
  const form = inventForm(() => draw());
  const more = inventMoreForm();
  const paint = actionButton('Paint faces', () => begin(form), { main: true });
  const start = actionButton('Paint more pictures', () => more.start(answers.slug));
  const back = actionButton('Back to the faces', () => ((anew = false), draw()));
  parts = {
    lead: leadLine(),
    form,
    more,
    paint,
    start,
    back,
    begins: el(
      'div',
      { class: 'sf-card' },
      el('h3', { text: t('The face') }),
      form.node,
      el('div', { class: 'sf-row' }, paint, back),
    ),
    goes: el(
      'div',
      { class: 'sf-card' },
      el('h3', { text: t('More pictures of this face') }),
      more.node,
      el('div', { class: 'sf-row' }, start),
    ),
    face: el('div', { class: 'sf-card' }),
    reasons: el('div', { class: 'sf-card' }),
    filters: el('div', { class: 'sf-row', role: 'group', aria: { label: t('Show') } }),
    faces: el('div', { class: 'sf-photos' }),
    pictures: el('div', { class: 'sf-photos' }),
    empty: el('p', { class: 'sf-quiet' }),
    log: logFold(),
    aside: el('aside', {}),
  };
  answers.slug = '';
  const { aside } = parts;
  aside.append(parts.face, parts.begins, parts.goes, parts.reasons);
  const main = el('div', { class: 'sf-stack' }, parts.filters, parts.empty, parts.faces, parts.pictures, parts.log);
  root.append(parts.lead, el('div', { class: 'sf-side' }, aside, main));
}

const job = () => openJobAt('invent');

function update() {
  const character = chosenCharacter();
  if (!character) return;
  const open = job();
  const mark = [
    character.invented,
    character.photos.used,
    open && open.id,
    open && open.state,
    open && open.standing && open.standing.done,
  ];
  const { slug } = character;
  if (answers.follow(slug, () => api.get(`/characters/${slug}/invention`), mark)) {
    filter = 'all';
    anew = false;
  }
  draw();
}

// Drawing

function draw() {
  const character = chosenCharacter();
  if (!parts || !character) return;
  const view = answers.view;
  const open = job();
  parts.lead.set(inventWords(character, view, open, doing()));
  const last = lastJobAt('invent');
  parts.log.set(open ? open.id : last && last.state === 'failed' ? last.id : null);
  const stage = view ? view.stage : '';
  const describing = Boolean(view) && !open && (stage === 'none' || (stage === 'candidates' && anew));
  parts.begins.hidden = !describing;
  parts.back.hidden = stage === 'none';
  setText(parts.paint.firstElementChild, t(parts.form.way() === 'words' ? 'Paint faces' : 'Take this picture'));
  parts.goes.hidden = stage !== 'picked' || Boolean(open);
  if (view) drawView(view, open, describing);
  else parts.face.hidden = parts.reasons.hidden = true;
  parts.aside.hidden = [parts.face, parts.begins, parts.goes, parts.reasons].every((one) => one.hidden);
}

/**
 * @param {InventionView} view
 * @param {Job | null} open
 * @param {boolean} describing
 */
function drawView(view, open, describing) {
  if (describing && filled !== answers.slug) {
    filled = answers.slug;
    parts.form.set(view);
  }
  parts.more.set(view);
  drawFace(view);
  drawReasons(view);
  const picked = view.stage === 'picked';
  const faces = picked || describing ? [] : view.candidates;
  keyedList(
    parts.faces,
    faces,
    (one) => one.url,
    (one) => inventCard(one, false, (shown) => large(shown, false)),
    (node, one) => updateFaceCard(node, one, open),
  );
  const newest = picked ? [...view.more].reverse() : [];
  drawFilters(newest);
  const shown = newest.filter((one) => filter === 'all' || (filter === 'kept') === one.kept);
  keyedList(
    parts.pictures,
    shown,
    (one) => one.url,
    (one) => inventCard(one, true, (shown) => large(shown, true)),
    updatePictureCard,
  );
  const nothing = picked ? !newest.length : !faces.length && !describing;
  parts.empty.hidden = !nothing;
  setText(
    parts.empty,
    t(
      open
        ? 'The first picture will appear soon.'
        : picked
          ? 'No further picture has been painted yet.'
          : 'No face has been painted yet.',
    ),
  );
}

/** @param {InventedPicture[]} all */
function drawFilters(all) {
  const kept = all.filter((one) => one.kept).length;
  const counted = { all: all.length, kept, out: all.length - kept };
  filterButtons(parts.filters, FILTERS, counted, filter, (name) => ((filter = name), draw()));
}

/** @param {InventionView} view */
function drawFace(view) {
  const { picked } = view;
  parts.face.hidden = !picked;
  const mark = JSON.stringify([picked, view.describe]);
  if (!picked || parts.face.dataset.mark === mark) return;
  parts.face.dataset.mark = mark;
  const image = el('img', { class: 'sf-invent-own', alt: t('The picked face'), src: url(picked.url) });
  fillWith(parts.face, el('h3', { text: t('The face') }), image, el('p', { class: 'sf-quiet', text: view.describe }));
}

/** @param {InventionView} view */
function drawReasons(view) {
  const all = view.reasons;
  parts.reasons.hidden = view.stage !== 'picked' || !all.length;
  const mark = JSON.stringify(all);
  if (parts.reasons.dataset.mark === mark) return;
  parts.reasons.dataset.mark = mark;
  const items = all.map(({ said, count }) => el('li', { text: `${count} × ${t(said)}` }));
  fillWith(
    parts.reasons,
    el('h3', { text: t('Why pictures were left out') }),
    el('ul', { class: 'sf-bullets' }, items),
  );
}

/**
 * A picture in full size; a candidate can be taken from there.
 * @param {InventedPicture} one
 * @param {boolean} further
 */
function large(one, further) {
  const said = [one.kept ? t('kept') : '', about(one)].filter(Boolean).join(', ');
  const buttons = el('div', { class: 'sf-row sf-end' });
  const takes = !further && !one.why;
  if (takes) buttons.append(actionButton('Take this face', () => take(one).then(() => shown.close()), { main: true }));
  const body = el(
    'div',
    { class: 'sf-dialog-body' },
    el('img', { class: 'sf-large sf-invent-large', src: url(one.url), alt: said }),
    said ? el('p', { text: said }) : null,
    el('p', { class: 'sf-quiet', text: takes ? t('All further pictures are painted from this face.') : one.prompt }),
    buttons,
  );
  const shown = openDialog(t(further ? 'Picture {number}' : 'Face {number}', one), body, { wide: true });
}

// What is done

/** What the buttons of the first line do. */
function doing() {
  return {
    anew,
    describe: () => ((anew = true), (filled = ''), draw()),
    paint: sayAgain,
    more: () => parts.more.start(answers.slug),
  };
}

/** @param {InventForm} form */
async function begin(form) {
  form.check();
  await form.begin(answers.slug);
  anew = false;
  answers.forget();
  await refresh();
  update();
}

/**
 * @param {InventionView} view
 * @param {number} candidates
 */
async function sayAgain(view, candidates) {
  const values = { describe: view.describe, base: view.base, seed: view.seed, candidates };
  await api.post('/jobs', { kind: 'invent', character: answers.slug, arguments: values });
  await refresh();
}

/** @param {InventedPicture} one */
async function take(one) {
  const { slug } = answers;
  const open = job();
  if (open) await stopped(open);
  answers.take(slug, await api.post(`/characters/${slug}/invented/pick`, { number: one.number }));
  await refresh();
}

/**
 * Stop what paints, and wait until it has.
 * @param {Job} open
 */
async function stopped(open) {
  await api.post(`/jobs/${open.id}/stop`);
  for (let tries = 0; tries < 120; tries += 1) {
    await refresh();
    if (!job()) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error(t('Painting has not stopped yet; wait until it has, then take the face.'));
}

function shown() {
  answers.forget();
  parts.form.shown();
}

export const panel = { mount, update, shown, hidden: () => answers.away() };
