/** A painted picture large: a photo beside it, and a slider between without and with the LoRA. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { actionButton, openDialog } from './widgets.js';

/**
 * Open pictures large, one pair at a time; the arrow keys go to the next pair, Escape closes.
 * @param {string} slug of the character.
 * @param {LargeItem[]} items
 * @param {number} at which item is shown first.
 * @param {PhotoFile[]} photos of the person; none = those in use are asked for.
 * @param {{answer?: (key: string, place: number) => {item: LargeItem, next: boolean} | null,
 *   buttons?: Array<{label: string, key: string}>}} [more] `answer` is asked what a further key does to the shown item:
 *   null = nothing, else the item as it is then, and whether the next one is shown; `buttons` press such keys.
 */
export function lightbox(slug, items, at, photos, more = {}) {
  const photo = photoSide(slug);
  const compare = comparison();
  const words = el('p', { class: 'sf-help' });
  const place = el('span', { class: 'sf-number', role: 'status' });
  const several = items.length > 1;
  const before = actionButton('‹ Previous', () => go(-1), { small: true });
  const after = actionButton('Next ›', () => go(1), { small: true });
  const further = (more.buttons || []).map(({ label, key }) =>
    actionButton(label, () => void press(key), { small: true }),
  );
  const row = el('div', { class: 'sf-row sf-between' }, before, place, further, after);
  row.hidden = !several && !further.length;
  before.hidden = after.hidden = place.hidden = !several;
  const two = el('div', { class: 'sf-lightbox' }, photo.node, compare.node);
  const shown = openDialog('', el('div', { class: 'sf-dialog-body' }, row, two, words), { wide: true });
  const title = shown.node.querySelector('.sf-dialog-title');
  let now = at;

  function draw() {
    const item = items[now];
    setText(title, item.name);
    shown.node.setAttribute('aria-label', item.name);
    setText(place, t('{n} of {all}', { n: now + 1, all: items.length }));
    setText(words, item.words);
    words.hidden = !item.words;
    compare.set(item);
    photo.nearest(item.nearest);
  }

  function go(/** @type {number} */ by) {
    now = (now + by + items.length) % items.length;
    draw();
  }

  function press(/** @type {string} */ key) {
    const answer = more.answer ? more.answer(key, now) : null;
    if (!answer) return false;
    items[now] = answer.item;
    if (answer.next && now + 1 < items.length) go(1);
    else draw();
    return true;
  }

  const keys = new Map([
    ['ArrowLeft', -1],
    ['ArrowRight', 1],
  ]);
  shown.node.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const by = several ? keys.get(event.key) : undefined;
    if (by) go(by);
    else if (event.key.toLowerCase() === 'z') compare.zoom();
    else if (!press(event.key)) return;
    event.preventDefault(); // the slider goes by the keys up and down
  });
  draw();
  if (photos.some((one) => one.sha256)) photo.set(photos);
  else inUse(slug).then(photo.set, () => photo.set([]));
}

/** @param {string} slug */
async function inUse(slug) {
  const answer = await api.get(`/characters/${slug}/photos`);
  return answer.photos.filter((one) => one.used);
}

/**
 * A photo of the person, with buttons to the others.
 * @param {string} slug
 */
function photoSide(slug) {
  const image = el('img', { class: 'sf-lightbox-image', alt: '' });
  const label = el('figcaption', { class: 'sf-side-label' });
  const name = el('span', { class: 'sf-photo-name' });
  const step = (/** @type {string} */ text, /** @type {number} */ by, /** @type {string} */ label) =>
    actionButton(text, () => show(at + by), { small: true, label: t(label), title: label });
  const turn = el('div', { class: 'sf-row' }, step('‹', -1, 'Previous photo'), name, step('›', 1, 'Next photo'));
  const node = el('figure', { class: 'sf-lightbox-side' }, label, image, turn);
  /** @type {PhotoFile[]} */
  let photos = [];
  let wanted = '';
  let at = 0;

  function show(/** @type {number} */ place) {
    if (!photos.length) return;
    at = (place + photos.length) % photos.length;
    const one = photos[at];
    const src = url(`/characters/${slug}/photos/${one.sha256}/picture`);
    if (image.getAttribute('src') !== src) image.src = src;
    image.alt = t('Photo {file}', { file: one.file });
    setText(label, t(one.file === wanted ? 'Photo: the most similar one' : 'Photo'));
    setText(name, one.file);
    name.title = one.file;
    turn.hidden = photos.length < 2;
  }

  node.hidden = true;
  return {
    node,
    set: (/** @type {PhotoFile[]} */ all) => {
      photos = all.filter((one) => one.sha256);
      node.hidden = !photos.length;
      show(
        Math.max(
          0,
          photos.findIndex((one) => one.file === wanted),
        ),
      );
    },
    nearest: (/** @type {string | null | undefined} */ file) => {
      wanted = file || '';
      const place = photos.findIndex((one) => one.file === wanted);
      show(place < 0 ? at : place);
    },
  };
}

/** The two pictures over each other: left of the line without, right of it with the LoRA. */
function comparison() {
  const theirs = el('img', { class: 'sf-compare-base', alt: '', draggable: false });
  const ours = el('img', { class: 'sf-compare-lora', alt: '', draggable: false });
  const line = el('span', { class: 'sf-compare-line', aria: { hidden: 'true' } });
  const box = el('div', { class: 'sf-compare' }, theirs, ours, line);
  const labels = [el('strong', { class: 'sf-side-label' }), el('strong', { class: 'sf-side-label' })];
  const captions = [el('span', {}), el('span', {})];
  const slider = el('input', { class: 'sf-compare-slider', type: 'range', min: 0, max: 100, step: 1, value: 50 });
  slider.setAttribute('aria-label', t('How much is shown without the LoRA'));
  const above = el('div', { class: 'sf-compare-words' }, labels);
  const below = el('div', { class: 'sf-compare-words' }, captions);
  const node = el('div', { class: 'sf-lightbox-side' }, above, box, slider, below);

  const slide = () => {
    box.style.setProperty('--sf-at', `${slider.value}%`);
    slider.setAttribute('aria-valuetext', `${slider.value} %`);
  };
  slider.addEventListener('input', slide);
  const drag = (/** @type {PointerEvent} */ event) => {
    const { left: start, width } = box.getBoundingClientRect();
    slider.value = String(Math.round(((event.clientX - start) / width) * 100));
    slide();
  };
  /** Two and a half times as large, around the pointer; or as before. */
  const zoom = () => {
    if (slider.hidden) box.classList.toggle('sf-zoomed');
  };
  /** @param {MouseEvent} event */
  const look = ({ clientX, clientY }) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    box.style.setProperty('--sf-x', `${((clientX - left) / width) * 100}%`);
    box.style.setProperty('--sf-y', `${((clientY - top) / height) * 100}%`);
  };
  box.addEventListener('pointermove', look);
  box.addEventListener('click', (event) => {
    look(event);
    zoom();
  });
  box.addEventListener('pointerdown', (event) => {
    if (slider.hidden || event.button) return;
    box.setPointerCapture(event.pointerId);
    drag(event);
  });
  box.addEventListener('pointermove', (event) => box.hasPointerCapture(event.pointerId) && drag(event));

  /** @param {HTMLImageElement} image */
  const fit = ({ naturalWidth: width, naturalHeight: height }) => {
    if (!width || !height) return;
    box.style.aspectRatio = `${width} / ${height}`;
    box.style.width = `min(100%, calc(62vh * ${width / height}))`;
  };
  for (const image of [theirs, ours]) image.addEventListener('load', () => fit(image));

  const put = (/** @type {HTMLImageElement} */ image, /** @type {LargeSide | null} */ side) => {
    image.hidden = !side;
    if (!side) return;
    const src = url(side.url);
    if (image.getAttribute('src') !== src) image.src = src;
    image.alt = side.alt;
  };
  const said = (/** @type {number} */ place, /** @type {LargeSide | null} */ side) => {
    setText(labels[place], side ? side.label : '');
    setText(captions[place], side ? side.caption : '');
  };
  /** @param {LargeItem} item */
  const set = ({ base, lora }) => {
    const both = Boolean(base && lora);
    put(theirs, base);
    put(ours, lora);
    said(0, base);
    said(1, lora);
    slider.hidden = line.hidden = !both;
    box.classList.toggle('sf-both', both);
    box.classList.remove('sf-zoomed');
    box.title = both ? '' : t('Click, or press Z, to zoom in');
    slide();
  };
  return { node, set, zoom };
}
