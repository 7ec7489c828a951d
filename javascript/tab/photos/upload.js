/** Sending photos: dropped, pasted or chosen files and folders, each as a request of its own, two at a time. */

import * as api from '../base/api.js';
import { app, visible } from '../base/app.js';
import { chosenCharacter } from '../base/choice.js';
import { el, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { redraw } from '../base/redraw.js';
import { plural, t } from '../base/texts.js';
import { refresh } from '../page/polling.js';
import { repeatWhileSeen } from '../widgets/form_parts.js';
import { actionButton, foldSection, formField, keyedList, progressBar, toast, toneSign } from '../widgets/widgets.js';

const BUSY = 429; // the answer where too much is on its way
const AGAIN = 3000; // milliseconds
const TRIES = 100;
const PAUSE = 1000; // milliseconds

const now = {
  slug: '',
  name: '',
  waiting: [],
  open: 0,
  total: 0,
  done: 0,
  added: 0,
  known: 0,
  sentences: [],
  imports: [],
};
const sent = new Map(); // file that is on its way: what ends its request
let changed = () => null; // draws; set by the drop zone
let beat = null; // asks how far the imports are

/** How far the sending is: {slug, busy, done, total, text}. */
export function uploadProgress() {
  const { slug, done, total } = now;
  const text = total ? t('Sending: {done} of {total}', { done, total }) : t('The photos are being copied');
  const inside = now.imports.filter((one) => one.total > 1); // a zip or a folder
  const looked = inside.map((one) => t('{source}: picture {n} of {total}', { ...one, n: one.done + 1 }));
  const words = now.stopped ? t('Stopping …') : [text, ...looked].join(' · ');
  return { slug, busy: now.open + now.waiting.length > 0, done, total, text: words };
}

/** Begin anew, for a character. */
function begin({ slug, name }) {
  Object.assign(now, { slug, name, total: 0, done: 0, added: 0, known: 0, sentences: [], imports: [], stopped: false });
}

/** Follow what the server takes in, while something is on its way. */
function follow() {
  beat = beat || repeatWhileSeen(ask, PAUSE);
  beat.set(true);
}

async function ask() {
  const { slug } = now;
  const imports = await api.get(`/characters/${slug}/imports`);
  if (slug !== now.slug) return;
  now.imports = imports;
  changed();
}

/** Send no more, and have the server stop; what it has taken in stays. */
async function cancel() {
  const path = /** @type {const} */ (`/characters/${now.slug}/imports/stop`);
  Object.assign(now, { stopped: true, waiting: [] });
  changed();
  const stopped = await api.post(path);
  const answering = stopped.map((one) => one.source); // their requests are answered now, with what came of them
  for (const [file, ending] of sent) if (!answering.includes(file.name)) ending.abort();
  setTimeout(() => api.post(path).catch(() => null), PAUSE); // for one that had just arrived
}

/** How much is done, 0 to 1; null where nobody knows. */
function share() {
  const parts = now.imports.map((one) => (one.total ? one.done / one.total : 0));
  const inside = parts.reduce((sum, one) => sum + one, 0);
  if (now.total) return Math.min(1, (now.done + inside) / now.total);
  return parts.length ? inside / parts.length : null;
}

// What was given

/**
 * Everything in a drop or a paste, folders read through.
 * @returns {Promise<Array<{file: File, chosen: boolean}>>} `chosen`: given by itself, not found in a folder.
 */
async function given(transfer) {
  const entries = [...(transfer.items || [])]
    .filter((item) => item.kind === 'file')
    .map((item) => (item.webkitGetAsEntry && item.webkitGetAsEntry()) || item.getAsFile());
  const found = entries.length ? entries : [...transfer.files];
  const all = await Promise.all(found.filter(Boolean).map((one) => within(one, true)));
  return all.flat();
}

async function within(entry, chosen) {
  if (entry instanceof File) return [{ file: entry, folder: '', chosen }];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, folder: entry.fullPath.slice(0, -entry.name.length), chosen }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at most
    if (!some.length) break;
    for (const one of some) found.push(...(await within(one, false)));
  }
  return found;
}

/** Put files in the line: pictures and archives; a .txt of a picture's name is its caption. */
function send(items, character = chosenCharacter()) {
  if (!character || !items.length) return;
  if (!uploadProgress().busy) begin(character);
  if (now.slug !== character.slug) {
    toast(t('Photos of {name} are still being sent; wait until that is done.', { name: now.name }), 'warn');
    return;
  }
  if (now.stopped) {
    toast(t('The import is being stopped; wait a moment and try again.'), 'warn');
    return;
  }
  const path = (item) => item.folder + item.file.name;
  const captions = new Map(
    items.filter((one) => /\.txt$/i.test(one.file.name)).map((one) => [path(one).replace(/\.txt$/i, ''), one.file]),
  );
  const wanted = items.filter((one) => !one.file.name.startsWith('.') && isWanted(one));
  for (const one of wanted)
    now.waiting.push({ file: one.file, caption: captions.get(path(one).replace(/\.[^.]*$/, '')) });
  now.total += wanted.length;
  if (!wanted.length) now.sentences.push(t('None of these files is a picture.'));
  while (now.open < app.state.limits.photos_at_once && now.waiting.length) work();
  if (now.open) follow();
  changed();
}

function isWanted({ file, chosen }) {
  if (/\.txt$/i.test(file.name)) return false;
  return (
    chosen ||
    app.state.limits.suffixes.some((suffix) => file.name.toLowerCase().endsWith(suffix)) ||
    file.type.startsWith('image/')
  );
}

async function work() {
  now.open += 1;
  for (let one = now.waiting.shift(); one; one = now.waiting.shift()) {
    await sendOne(one).catch((error) => now.stopped || now.sentences.push(`${one.file.name}: ${error.message}`));
    sent.delete(one.file);
    now.done += 1;
    changed();
  }
  await done();
}

/** One of those at work has done; the last one has the photos looked through. */
async function done() {
  now.open -= 1;
  if (!now.open) await finish();
}

async function sendOne({ file, caption }) {
  const most = app.state.limits.photo_bytes;
  if (file.size > most) throw new Error(t('is larger than {size}; make it smaller.', { size: format.limit(most) }));
  const { slug } = now;
  const body = { name: file.name || t('pasted.png'), data: await asBase64(file) };
  const ending = new AbortController();
  sent.set(file, ending);
  const answer = await placed(() => api.post(`/characters/${slug}/photos`, body, { signal: ending.signal }));
  take(answer);
  if (answer.added.length === 1 && caption) await keepCaption(slug, answer.added[0], caption);
}

/** Others may be sending, too: then it is tried again. */
async function placed(post, tries = TRIES) {
  try {
    return await post();
  } catch (error) {
    if (error.status !== BUSY || tries <= 1) throw error;
  }
  await new Promise((resolve) => setTimeout(resolve, AGAIN));
  return placed(post, tries - 1);
}

function take(answer) {
  now.added += answer.added.length;
  now.known += answer.known;
  now.sentences.push(...answer.skipped, ...answer.twice, ...answer.split);
}

async function keepCaption(slug, file, caption) {
  const text = (await caption.text()).trim();
  if (text)
    await api.post(`/characters/${slug}/captions`, { file, text }).catch((error) => now.sentences.push(error.message));
}

function asBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(',', 2)[1]);
    reader.onerror = () => reject(new Error(t('cannot be read; is it still there?')));
    reader.readAsDataURL(file);
  });
}

async function finish() {
  if (beat) beat.set(false);
  now.imports = [];
  const { slug, added, sentences } = now; // another sending may begin meanwhile
  if (added) await api.post(`/characters/${slug}/audit`).catch((error) => sentences.push(error.message));
  changed();
  await refresh().catch(() => null);
  redraw(); // where nothing was added, the state is the same
}

window.addEventListener('beforeunload', (event) => {
  if (uploadProgress().busy) event.preventDefault();
});

// The drop zone

/** The place to drop photos on, with its buttons, the bar, and what became of each file. */
export function dropZone() {
  const files = picker({ multiple: true });
  const folder = picker({ webkitdirectory: true });
  const stop = actionButton('Cancel', cancel, { small: true, title: 'Photos that were added stay.' });
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
  changed = () => {
    tellKinds(hint, files);
    draw(progress, parts);
  };
  changed();
  return { node: el('div', { class: 'sf-stack' }, zone, progress, fromPath()), choose: () => files.click(), zone };
}

/** What can be read here, and so may be chosen. */
function tellKinds(hint, files) {
  const kinds = (app.state && app.state.host.photos) || ['JPEG', 'PNG', 'WebP'];
  setText(hint, t('{kinds}, or a zip file of them', { kinds: kinds.join(', ') }));
  files.accept = ['image/*', ...(app.state ? app.state.limits.accept : []), '.zip'].join(','); // of HEIC an iPhone else sends a JPEG
}

function picker(props) {
  const input = el('input', { type: 'file', hidden: true, ...props });
  input.addEventListener('change', () => {
    const items = [...input.files].map((file) => {
      const path = file.webkitRelativePath || '';
      return { file, folder: path.slice(0, path.length - file.name.length), chosen: !path };
    });
    send(items);
    input.value = '';
  });
  return input;
}

function listen(zone) {
  const over = (event) => {
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
      send(await given(event.dataTransfer), character);
    } catch (error) {
      toast(t('The dropped files cannot be read; use "Choose photos".'), 'bad');
    }
  });
}

/** Take pictures from a paste while the photos are what is seen; text goes into the field that has the focus. */
export async function pastePhotos(event) {
  const { clipboardData } = event;
  if (!clipboardData || !clipboardData.files.length) return;
  if (!visible() || app.step !== 'photos' || isText(event)) return;
  event.preventDefault();
  event.stopPropagation();
  const character = chosenCharacter();
  send(await given(clipboardData), character);
}

function isText(event) {
  const [target] = event.composedPath(); // the host may keep its fields in a shadow root
  const field = target.closest && target.closest('input, textarea, [contenteditable]:not([contenteditable="false"])');
  return Boolean(field) && event.clipboardData.types.includes('text/plain');
}

function draw(progress, { bar, line, stop, list }) {
  const { busy, text: sending } = uploadProgress();
  const mine = now.slug === app.slug && (busy || now.total + now.added + now.known + now.sentences.length > 0);
  progress.hidden = !mine;
  if (!mine) return;
  bar.hidden = stop.hidden = !busy;
  stop.disabled = Boolean(now.stopped);
  bar.set(share(), t('Sending photos'));
  setText(line, busy ? sending : outcome());
  keyedList(
    list,
    [...new Set(now.sentences)],
    (text) => text,
    (text) => el('li', {}, toneSign('warn'), el('span', { text: t(text) })),
  );
}
export const drawUploads = () => changed();

function outcome() {
  const known = now.known ? plural(now.known, '{n} was there already', '{n} were there already') : '';
  const added = plural(now.added, '{n} photo added', '{n} photos added');
  const words = [now.total || now.added ? added : '', known].filter(Boolean).join(', ');
  return now.stopped ? t('Stopped: {words}', { words: words || added }) : words;
}

/** For photos that lie on the machine of the webui. */
function fromPath() {
  const input = el('input', { class: 'sf-input', type: 'text', autocomplete: 'off', spellcheck: false });
  const add = async () => {
    const path = input.value.trim();
    if (!path) return input.focus();
    if (uploadProgress().busy) throw new Error(t('Photos are still being sent; wait until that is done.'));
    const character = chosenCharacter();
    begin(character);
    now.open += 1; // nobody else's photos come between
    follow();
    redraw();
    try {
      take(await api.post(`/characters/${character.slug}/photos/from_path`, { path }));
      input.value = '';
    } finally {
      await done();
    }
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
  fold.hidden = Boolean(app.state.host && app.state.host.remote);
  return fold;
}
