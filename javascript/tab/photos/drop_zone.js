/** The place to give photos: dropped, pasted, chosen, or named by a path; and how far their sending is. */

import { app, pageState, visible } from '../base/app.js';
import { chosenCharacter } from '../base/choice.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { actionButton, foldSection, formField, keyedList, progressBar, toast, toneSign } from '../widgets/widgets.js';
import { chosenFiles, given } from './given_files.js';
import { cancelUploads, copyFrom, drawUploadsWith, sendPhotos, uploadsOf } from './upload.js';

/** The place to drop photos on, with its buttons, the bar, and what became of each file. */
export function dropZone() {
  const files = picker({ multiple: true });
  const folder = picker({ webkitdirectory: true });
  const stop = actionButton('Cancel', cancelUploads, { small: true, title: 'Photos that were added stay.' });
  const line = el('p', { class: 'sf-grow', role: 'status' });
  const parts = { bar: progressBar(0), line, stop, list: el('ul', { class: 'sf-problems' }) };
  const choose = actionButton('Choose photos', () => files.click());
  const whole = actionButton('Choose a folder', () => folder.click());
  const hint = el('p', { class: 'sf-quiet' });
  const words = el('p', {}, el('strong', { text: t('Drop photos or folders here, or paste a picture') }));
  const zone = el(
    'div',
    { class: 'sf-drop' },
    words,
    el('div', { class: 'sf-row' }, choose, whole),
    hint,
    files,
    folder,
  );
  listen(zone);
  const progress = el('div', { class: 'sf-upload' }, parts.bar, el('div', { class: 'sf-row' }, line, stop), parts.list);
  const redraw = () => {
    tellKinds(hint, files);
    draw(progress, parts);
  };
  drawUploadsWith(redraw);
  redraw();
  return { node: el('div', { class: 'sf-stack' }, zone, progress, fromPath()), choose: () => files.click(), zone };
}

/**
 * What can be read here, and so may be chosen.
 * @param {HTMLElement} hint
 * @param {HTMLInputElement} files
 */
function tellKinds(hint, files) {
  const { host, limits } = pageState();
  setText(hint, t('{kinds}, or a zip file of them', { kinds: host.photos.join(', ') }));
  files.accept = ['image/*', ...limits.accept, '.zip'].join(','); // of HEIC an iPhone else sends a JPEG
}

/** @param {ElementProps} props */
function picker(props) {
  const input = el('input', { type: 'file', hidden: true, ...props });
  input.addEventListener('change', () => {
    sendPhotos(chosenFiles(input));
    input.value = '';
  });
  return input;
}

/** @param {HTMLElement} zone */
function listen(zone) {
  const over = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    event.stopPropagation(); // the host takes dropped pictures for prompts
    zone.classList.add('sf-over');
  };
  zone.addEventListener('dragenter', over);
  zone.addEventListener('dragover', over);
  zone.addEventListener('dragleave', () => zone.classList.remove('sf-over'));
  zone.addEventListener('drop', async (event) => {
    over(event);
    zone.classList.remove('sf-over');
    try {
      const character = chosenCharacter(); // another one may be shown once all is read
      if (event.dataTransfer) sendPhotos(await given(event.dataTransfer), character);
    } catch (error) {
      toast(t('The dropped files cannot be read; use "Choose photos".'), 'bad');
    }
  });
}

/**
 * Take pictures from a paste while the photos are what is seen; text goes into the field that has the focus.
 * @param {ClipboardEvent} event
 */
export async function pastePhotos(event) {
  const { clipboardData } = event;
  if (!clipboardData || !clipboardData.files.length) return;
  if (!visible() || app.step !== 'photos' || isText(event)) return;
  event.preventDefault();
  event.stopPropagation();
  const character = chosenCharacter();
  sendPhotos(await given(clipboardData), character);
}

/** @param {ClipboardEvent} event */
function isText(event) {
  const [target] = event.composedPath(); // the host may keep its fields in a shadow root
  const field =
    target instanceof Element && target.closest('input, textarea, [contenteditable]:not([contenteditable="false"])');
  return Boolean(field) && Boolean(event.clipboardData?.types.includes('text/plain'));
}

/**
 * @param {HTMLElement} progress
 * @param {UploadParts} given
 */
function draw(progress, { bar, line, stop, list }) {
  const found = uploadsOf(app.slug);
  progress.hidden = !found;
  if (!found) return;
  bar.hidden = stop.hidden = !found.busy;
  stop.disabled = found.stopped;
  bar.set(found.share, t('Sending photos'));
  setText(line, found.text);
  keyedList(
    list,
    [...new Set(found.sentences)],
    (text) => text,
    (text) => el('li', {}, toneSign('warn'), el('span', { text: t(text) })),
  );
}
/** For photos that lie on the machine of the webui. */
function fromPath() {
  const input = el('input', { class: 'sf-input', type: 'text', autocomplete: 'off', spellcheck: false });
  const add = async () => {
    const path = input.value.trim();
    if (!path) return input.focus();
    await copyFrom(path);
    input.value = '';
    return null;
  };
  const field = formField(
    'Folder, picture or zip file',
    input,
    'Its photos are copied; the originals stay as they are.',
  );
  const fold = foldSection(
    'From a folder of this machine',
    field,
    el('div', { class: 'sf-row' }, actionButton('Add', add)),
  );
  fold.hidden = Boolean(pageState().host && pageState().host.remote);
  return fold;
}
