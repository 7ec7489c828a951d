/** Sending photos: each as a request of its own, a few at a time, and what became of them. */

import * as api from '../base/api.js';
import { pageState } from '../base/app.js';
import { chosenCharacter } from '../base/choice.js';
import * as format from '../base/format.js';
import { asError } from '../base/page_error.js';
import { redraw } from '../base/redraw.js';
import { plural, t } from '../base/texts.js';
import { refresh } from '../page/polling.js';
import { repeatWhileSeen } from '../widgets/form_parts.js';
import { toast } from '../widgets/widgets.js';
import { asBase64, withCaptions } from './given_files.js';

const BUSY = 429; // the answer where too much is on its way
const AGAIN = 3000; // milliseconds
const TRIES = 100;
const PAUSE = 1000; // milliseconds

/**
 * How far the sending is.
 * @type {{slug: string, name: string, waiting: WaitingFile[], open: number, total: number, done: number, added: number,
 *   known: number, sentences: string[], imports: PhotoImport[], stopped: boolean}}
 */
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
  stopped: false,
};
/** @type {Map<File, AbortController>} */
const sent = new Map(); // file that is on its way: what ends its request
/** @type {Action} */
let changed = () => null; // draws; set by the drop zone
/** @type {Beat | null} */
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

/**
 * Begin anew, for a character.
 * @param {Character} given
 */
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
export async function cancelUploads() {
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

/**
 * Put files in the line: pictures and archives; a .txt of a picture's name is its caption.
 * @param {GivenFile[]} items
 * @param {Character | null} [character]
 */
export function sendPhotos(items, character = chosenCharacter()) {
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
  const wanted = withCaptions(items, pageState().limits.suffixes);
  now.waiting.push(...wanted);
  now.total += wanted.length;
  if (!wanted.length) now.sentences.push(t('None of these files is a picture.'));
  while (now.open < pageState().limits.photos_at_once && now.waiting.length) work();
  if (now.open) follow();
  changed();
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

/** @param {WaitingFile} given */
async function sendOne({ file, caption }) {
  const most = pageState().limits.photo_bytes;
  if (file.size > most) throw new Error(t('is larger than {size}; make it smaller.', { size: format.limit(most) }));
  const { slug } = now;
  const body = {
    name: file.name || t('pasted.png'),
    data: await asBase64(file, t('cannot be read; is it still there?')),
  };
  const ending = new AbortController();
  sent.set(file, ending);
  const answer = await placed(() => api.post(`/characters/${slug}/photos`, body, { signal: ending.signal }));
  take(answer);
  if (answer.added.length === 1 && caption) await keepCaption(slug, answer.added[0], caption);
}

/**
 * Others may be sending, too: then it is tried again.
 * @param {() => Promise<PhotosTaken>} post
 * @param {number} [tries]
 */
async function placed(post, tries = TRIES) {
  try {
    return await post();
  } catch (error) {
    if (asError(error).status !== BUSY || tries <= 1) throw error;
  }
  await new Promise((resolve) => setTimeout(resolve, AGAIN));
  return placed(post, tries - 1);
}

/** @param {PhotosTaken} answer */
function take(answer) {
  now.added += answer.added.length;
  now.known += answer.known;
  now.sentences.push(...answer.skipped, ...answer.twice, ...answer.split);
}

/**
 * @param {string} slug
 * @param {string} file
 * @param {File} caption
 */
async function keepCaption(slug, file, caption) {
  const text = (await caption.text()).trim();
  if (text)
    await api.post(`/characters/${slug}/captions`, { file, text }).catch((error) => now.sentences.push(error.message));
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

export const drawUploads = () => changed();

/**
 * What draws whenever something has changed; there is one drop zone.
 * @param {Action} draw
 */
export function drawUploadsWith(draw) {
  changed = draw;
}

/**
 * How the sending of a character's photos stands: {busy, stopped, share, text, sentences}; null where there is none.
 * @param {string} slug
 */
export function uploadsOf(slug) {
  const { busy, text } = uploadProgress();
  const any = busy || now.total + now.added + now.known + now.sentences.length > 0;
  if (now.slug !== slug || !any) return null;
  const { stopped, sentences } = now;
  return { busy, stopped, share: share(), text: busy ? text : outcome(), sentences };
}

function outcome() {
  const known = now.known ? plural(now.known, '{n} was there already', '{n} were there already') : '';
  const added = plural(now.added, '{n} photo added', '{n} photos added');
  const words = [now.total || now.added ? added : '', known].filter(Boolean).join(', ');
  return now.stopped ? t('Stopped: {words}', { words: words || added }) : words;
}

/**
 * Copy what lies on the machine of the webui: a folder, a picture or a zip file.
 * @param {string} path
 */
export async function copyFrom(path) {
  if (uploadProgress().busy) throw new Error(t('Photos are still being sent; wait until that is done.'));
  const character = chosenCharacter();
  if (!character) return;
  begin(character);
  now.open += 1; // nobody else's photos come between
  follow();
  redraw();
  try {
    take(await api.post(`/characters/${character.slug}/photos/from_path`, { path }));
  } finally {
    await done();
  }
}
