/** The models that the webui knows, as cards: the picture beside each, what it is on Civitai, and its light. */

import { url } from '../base/api.js';
import { el, fillWith, setText } from '../base/dom.js';
import { ago, bytes } from '../base/format.js';
import { plural, t } from '../base/texts.js';
import { foldSection, keyedList } from '../widgets/widgets.js';
import { lightBadge, lightList, warnings } from './licence_lights.js';

const KINDS = { base: 'Base model', lora: 'LoRA' };

/**
 * @param {(files: string[]) => void} ticked is called with the paths of the models that are ticked.
 * @returns with `set(models, purposes, purpose)`.
 */
export function modelCards(ticked) {
  const node = el('ul', { class: 'sf-cards' });
  /** @type {Map<string, HTMLInputElement>} */
  const boxes = new Map();

  const tell = () => ticked([...boxes].filter(([, box]) => box.checked && box.isConnected).map(([file]) => file));

  function card(/** @type {LibraryModel} */ model) {
    const box = el('input', { type: 'checkbox', on: { change: tell } });
    boxes.set(model.file, box);
    const name = el('label', { class: 'sf-model-name' }, box, el('b', { text: model.name }));
    const light = el('span', {});
    const head = el('div', { class: 'sf-check-head' }, name, light);
    const about = el('p', { class: 'sf-help' });
    const body = el('div', { class: 'sf-stack' });
    const made = el('li', { class: 'sf-card' }, model.preview ? previewPicture(model) : null, head, about, body);
    return Object.assign(made, { parts: { light, about, body } });
  }

  function update(
    /** @type {ModelCard} */ made,
    /** @type {LibraryModel} */ model,
    /** @type {Record<LicencePurpose, string>} */ purposes,
    /** @type {LicencePurpose} */ purpose,
  ) {
    const known = model.civitai && model.civitai.known ? model.civitai : null;
    const lights = known && known.assessment.lights;
    fillWith(made.parts.light, lightBadge(lights ? lights[purpose].light : 'unknown'));
    setText(made.parts.about, about(model));
    const key = JSON.stringify(model.civitai);
    if (made.dataset.key === key) return;
    made.dataset.key = key;
    fillWith(made.parts.body, known ? details(known, purposes) : null);
  }

  const set = (
    /** @type {LibraryModel[]} */ models,
    /** @type {Record<LicencePurpose, string>} */ purposes,
    /** @type {LicencePurpose} */ purpose,
  ) => {
    const show = (/** @type {ModelCard} */ made, /** @type {LibraryModel} */ model) =>
      update(made, model, purposes, purpose);
    keyedList(node, models, (one) => `${one.file}|${one.bytes}|${one.preview}|${isPlain(one)}`, card, show);
    for (const [file, box] of [...boxes]) if (!box.isConnected) boxes.delete(file);
  };
  return Object.assign(node, { set });
}

/** @param {LibraryModel} model */
function about(model) {
  const { civitai } = model;
  const parts = [t(KINDS[model.kind]), bytes(model.bytes)];
  if (civitai && civitai.known) parts.push(civitai.title, t('asked {ago}', { ago: ago(civitai.asked ?? 0) }));
  else if (civitai && civitai.asked) parts.push(t('unknown to Civitai'), t('asked {ago}', { ago: ago(civitai.asked) }));
  else parts.push(t('not looked up yet'));
  return `${parts.join(' · ')}${model.trouble ? `. ${model.trouble}` : ''}`;
}

/**
 * What is known of a model on Civitai.
 * @param {ModelOnCivitai} civitai
 * @param {Record<LicencePurpose, string>} purposes
 */
export function details(civitai, purposes) {
  const words = civitai.trained_words;
  const permits = civitai.permits.map((one) =>
    el('li', { text: `${one.allowed === null ? '?' : one.allowed ? '✓' : '×'} ${t(one.text)}` }),
  );
  const page = civitai.summary && civitai.summary.page;
  return [
    warnings(civitai.assessment),
    words.length ? el('p', { class: 'sf-help', text: t('Trigger words: {words}', { words: words.join(', ') }) }) : null,
    foldSection(
      'What you may do with it',
      lightList(civitai.assessment, purposes),
      el('p', { class: 'sf-help', text: t('Its page says that users are permitted to:') }),
      el('ul', { class: 'sf-permits' }, permits),
    ),
    page ? el('a', { href: page, target: '_blank', rel: 'noopener noreferrer', text: t('Its page') }) : null,
  ];
}

/**
 * Whether Civitai says that a model is for everybody; of one that it does not know nobody says so.
 * @param {LibraryModel} model
 */
function isPlain({ civitai }) {
  return Boolean(civitai && civitai.known && civitai.assessment.adult === false && !civitai.assessment.refused);
}

/**
 * The models that a text and a light let through.
 * @param {LibraryModel[]} models
 * @param {string} text
 * @param {string} light
 * @param {LicencePurpose} purpose
 */
export function filtered(models, text, light, purpose) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return models.filter((one) => {
    const known = one.civitai && one.civitai.known ? one.civitai : null;
    const named = `${one.name} ${known ? known.title : ''}`.toLowerCase();
    const shown = known ? known.assessment.lights[purpose].light : 'unknown';
    return words.every((word) => named.includes(word)) && (!light || light === shown || light === one.kind);
  });
}

/**
 * The picture beside a model; blurred until it is clicked where it may be for adults.
 * @param {LibraryModel} model
 */
function previewPicture(model) {
  const address = url(`/library/preview?file=${encodeURIComponent(model.file)}`);
  const picture = el('img', { class: 'sf-model-picture', src: address, alt: '', loading: 'lazy' });
  if (isPlain(model)) return picture;
  const label = t('Show the picture of {name}', { name: model.name });
  const cover = el('button', { class: 'sf-model-cover sf-blurred', type: 'button', aria: { label } }, picture);
  cover.append(el('span', { text: t('Click to show') }));
  cover.addEventListener('click', () => cover.classList.toggle('sf-blurred'));
  return cover;
}

/**
 * How many of the models are known, in a sentence.
 * @param {LibraryModel[]} models
 */
export function countsSentence(models) {
  const known = models.filter((one) => one.civitai && one.civitai.known).length;
  const all = plural(models.length, 'One model', '{n} models');
  return t('{all}; {known} of them are known from Civitai.', { all, known });
}
