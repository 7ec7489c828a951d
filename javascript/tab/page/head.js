/** The head, visible whatever the step: who, what runs, where I am. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { PANELS, STEPS, app, pageState } from '../base/app.js';
import { chosenCharacter, goTo, openJob, openJobAt } from '../base/choice.js';
import { el, fillWith, setText } from '../base/dom.js';
import { controlJob } from '../jobs/jobs.js';
import { jobSentence, progressShare } from '../jobs/job_text.js';
import { say, t } from '../base/texts.js';
import { refresh } from './polling.js';
import * as queueDialog from './queue_dialog.js';
import * as titleSignal from './title_signal.js';
import { undoButton } from './undo.js';
import { actionButton, keyedList, progressBar, selectBox, toast, toneSign } from '../widgets/widgets.js';

/** @type {Partial<Record<Step, string>>} */
const NAMES = {
  photos: 'Photos',
  captions: 'Captions',
  train: 'Train',
  test: 'Test',
  use: 'Use',
  produce: 'Produce',
  library: 'Library',
  doctor: 'Doctor',
};
/** @type {Record<ShownTone, string>} */
const TONES = { good: 'done', warn: 'to look at', bad: 'not yet right', none: 'not done', busy: 'running' };
/** @type {ReturnType<typeof makeParts>} what `mount` has made. */
let parts;

/** @param {HTMLElement} root */
export function mount(root) {
  parts = makeParts();
  const first = el('div', { class: 'sf-who' }, parts.who.nodes, parts.now.node);
  root.replaceChildren(first, parts.tabs.node, parts.status);
}

function makeParts() {
  const status = el('div', { class: 'sf-silent', role: 'status', aria: { live: 'polite' } });
  return { who: whoRow(), now: nowRow(), tabs: tabRow(), status };
}

function whoRow() {
  const face = el('img', { class: 'sf-face', alt: '', hidden: true, width: 36, height: 36 });
  const choice = selectBox([], '', (slug) => goTo({ slug, step: stepOf(slug) }));
  choice.setAttribute('aria-label', t('Character'));
  const add = actionButton('+ New', () => goTo({ step: 'new' }), { title: 'Create a new character' });
  const edit = actionButton('Edit', () => goTo({ step: 'edit' }), {
    title: 'Trigger word, consent, traits; delete',
  });
  const undo = undoButton();
  const queue = actionButton('Queue', () => queueDialog.open());
  return { face, choice, add, edit, undo, queue, nodes: [face, choice, edit, add, queue, undo.node] };
}

/**
 * Where a character is to go on.
 * @param {string} slug
 */
function stepOf(slug) {
  const found = pageState().characters.find((one) => one.slug === slug);
  if (PANELS.includes(app.step)) return app.step;
  return (found && found.next) || 'photos';
}

function nowRow() {
  const sign = el('span', { class: 'sf-now-sign' });
  const text = el('span', {});
  const words = el('p', { class: 'sf-now-text sf-number' }, sign, ' ', text);
  const buttons = el('div', { class: 'sf-row' });
  const bar = progressBar(null);
  return { node: el('div', { class: 'sf-now', hidden: true }, words, buttons, bar), sign, text, buttons, bar };
}

function tabRow() {
  const node = el('div', { class: 'sf-tabs', role: 'tablist', aria: { label: t('Steps') } });
  const tabs = new Map([...STEPS, ...PANELS].map((step, place) => [step, tab(step, place)]));
  node.append(...[...tabs.values()].map((one) => one.node));
  node.addEventListener('keydown', turnByKey);
  return { node, tabs };
}

/**
 * @param {Step} step
 * @param {number} place
 */
function tab(step, place) {
  const sign = el('span', { class: 'sf-tab-sign' });
  const word = el('span', { class: 'sf-silent' });
  const number = PANELS.includes(step) ? null : el('span', { class: 'sf-tab-number', text: String(place + 1) });
  const count = el('span', { class: 'sf-number' });
  const node = el(
    'button',
    { class: `sf-tab sf-tab-${step}`, role: 'tab', id: `sf-tab-${step}`, on: { click: () => goTo({ step }) } },
    number,
    el('span', { text: t(NAMES[step] || step) }),
    count,
    sign,
    word,
  );
  return { node, sign, word, count };
}

/** @param {KeyboardEvent} event */
function turnByKey(event) {
  const { tabs } = parts.tabs;
  const steps = [...STEPS, ...PANELS].filter((step) => !tabs.get(step)?.node.disabled);
  const by = new Map([
    ['ArrowRight', 1],
    ['ArrowLeft', -1],
  ]).get(event.key);
  const ends = new Map([
    ['Home', steps[0]],
    ['End', steps[steps.length - 1]],
  ]).get(event.key);
  if (!by && !ends) return;
  event.preventDefault();
  const at = Math.max(0, steps.indexOf(app.step));
  const step = ends || steps[(at + (by ?? 0) + steps.length) % steps.length];
  goTo({ step });
  tabs.get(step)?.node.focus();
}

// From the newest state

export function update() {
  if (!parts) return;
  const character = chosenCharacter();
  updateWho(character);
  updateTabs(character);
  updateNow();
  titleSignal.update();
}

/** @param {Character | null} character */
function updateWho(character) {
  const { face, choice, add, edit, queue } = parts.who;
  const all = pageState().characters.map((one) => ({ value: one.slug, text: one.name }));
  choice.setChoices(all, app.slug);
  choice.hidden = add.hidden = !all.length;
  edit.hidden = !character;
  parts.who.undo.update(character);
  queue.hidden = !all.length && !pageState().queue.jobs.length;
  const cover = character?.cover ? url(thumbnail(character)) : '';
  face.hidden = !cover;
  if (cover && face.getAttribute('src') !== cover) face.src = cover;
  const { jobs, more, paused: held } = pageState().queue;
  const open = jobs.filter((job) => job.open).length + (more || 0);
  const label = held ? t('Queue (paused, {n})', { n: open }) : open ? t('Queue ({n})', { n: open }) : t('Queue');
  setText(queue.firstElementChild, label);
}

/** @param {Character} character */
function thumbnail(character) {
  return `/characters/${character.slug}/photos/${character.cover}/thumbnail`;
}

/** @param {Character | null} character */
function updateTabs(character) {
  for (const [step, one] of parts.tabs.tabs) {
    const chosen = app.step === step || (app.step === 'invent' && step === 'photos');
    const running = Boolean(character && runs(step, character.slug));
    const status = character && statusOf(character, step);
    /** @type {ShownTone | ''} */
    const tone = running ? 'busy' : status ? status.tone : '';
    one.node.setAttribute('aria-selected', String(chosen));
    one.node.tabIndex = chosen || (app.step === 'new' && step === 'doctor') ? 0 : -1;
    if (app.step === 'edit' && step === 'photos') one.node.tabIndex = 0;
    if (chosen) one.node.setAttribute('aria-controls', `sf-panel-${app.step}`);
    else one.node.removeAttribute('aria-controls');
    one.node.disabled = !PANELS.includes(step) && !character;
    if (one.sign.dataset.tone !== tone) {
      one.sign.dataset.tone = tone;
      fillWith(one.sign, tone && tone !== 'none' ? toneSign(tone) : null);
      fillWith(one.word, tone ? t(TONES[tone]) : '');
    }
    setText(one.count, step === 'photos' && character && character.photos.count ? String(character.photos.used) : '');
    one.node.title = status && status.text ? say(status.message, status.text) : '';
  }
}

/**
 * What the state says of a step.
 * @param {Character} character
 * @param {Step} step
 * @returns {Said | null}
 */
function statusOf(character, step) {
  const { photos, captions, train, test, use, produce } = character;
  const all = new Map(Object.entries({ photos, captions, train, test, use, produce }));
  return all.get(step) || null;
}

/**
 * @param {Step} step
 * @param {string} slug
 */
function runs(step, slug) {
  const open = [openJobAt(step, slug), step === 'photos' && openJobAt('invent', slug)]; // inventing makes the photos
  return open.some((job) => job && job.state === 'running');
}

/** The job to speak of: a heavy one before a light one, a running one before one that waits. */
function spoken() {
  const jobs = pageState().queue.jobs;
  const heavy = (/** @type {Job} */ job) => job.lane === 'heavy';
  const running = jobs.filter((job) => job.state === 'running');
  return running.find(heavy) || jobs.find((job) => job.state === 'paused') || running[0] || null;
}

function updateNow() {
  const { node, sign, text, buttons, bar } = parts.now;
  const job = spoken();
  const waits = pageState().queue.paused || !pageState().supervisor.active;
  const stuck = !job && waits && pageState().queue.jobs.find((one) => one.state === 'waiting');
  node.hidden = (!job && !stuck) || shownBelow(job);
  const words = job ? jobSentence(job) : stuck ? whyStuck() : '';
  setText(text, words);
  const tone = job && job.state === 'running' ? 'busy' : 'warn';
  if (sign.dataset.tone !== tone) fillWith(sign, toneSign(tone));
  sign.dataset.tone = tone;
  bar.hidden = !job;
  if (job) bar.set(progressShare(job), job.text);
  /** @param {{id: number, label: string}} one */
  const key = (one) => `${one.label} ${one.id}`;
  keyedList(buttons, controls(job), key, (one) => actionButton(one.label, one.run, { small: true, title: one.title }));
  announce(job);
}

/**
 * Whether the shown step says all of this, with the same buttons: they are on the page once.
 * @param {Job | null} job
 */
function shownBelow(job) {
  return job !== null && job.announced && job.step === app.step && job.slug === app.slug && openJob(job.kind) === job;
}

function whyStuck() {
  const { supervisor } = pageState();
  if (!supervisor.active) return supervisor.reason || t('Another webui is using these characters.');
  return t('The queue is paused.');
}

/**
 * @param {Job | null} job
 * @returns {{id: number, label: string, run: Action, title?: string}[]}
 */
function controls(job) {
  const id = job ? job.id : 0;
  /** @param {'stop' | 'pause' | 'resume'} what */
  const act = (what) => () => controlJob({ id }, what);
  const turn = () => api.post('/queue', { paused: false }).then(() => refresh());
  const go = { id, label: 'Resume', run: job && job.lane !== 'heavy' ? act('resume') : turn };
  if (!job) return pageState().queue.paused ? [go] : [];
  const stop = { id, label: 'Stop', run: act('stop'), title: 'Saves the progress and stops' };
  if (job.state === 'paused') return [go, stop];
  if (job.wish === 'stop') return [];
  const heavy = job.lane !== 'light';
  const pause = { id, label: 'Pause', run: act('pause'), title: 'Saves, and continues later' };
  return heavy && !job.wish ? [pause, stop] : [stop];
}

let last = 0; // id of the job that was spoken of
/** @type {Map<number, Job> | null} */
let known = null; // the jobs of the state before, by id; null before the first one
let youngest = 0; // the highest id so far

/**
 * Tell a screen reader, and everybody, when a job has ended.
 * @param {Job | null} job
 */
function announce(job) {
  const { jobs } = pageState().queue;
  if (known) jobs.filter(hasEnded).reverse().forEach(announceEnd);
  known = new Map(jobs.map((one) => [one.id, one]));
  youngest = Math.max(youngest, ...known.keys());
  if (job && job.id !== last) setText(parts.status, t('{job} is running', { job: job.text }));
  last = job ? job.id : 0;
}

/**
 * Since the state before: open then, or come and gone in between; an old one that moves up in the list is no news.
 * @param {Job} job
 */
function hasEnded(job) {
  if (job.open) return false;
  const before = known?.get(job.id);
  return before ? before.open || before.ended !== job.ended : job.id > youngest;
}

/** @param {Job} job */
function announceEnd(job) {
  titleSignal.over(job);
  if (job.lane === 'light' && job.state === 'finished') return; // seen in the panel
  if (job.state === 'finished') toast(t('{job}: finished', { job: job.text }), 'good');
  if (job.state === 'interrupted') toast(t('{job}: {error}', { job: job.text, error: job.error }), 'warn');
  if (job.state === 'failed') toast(t('{job}: {error}', { job: job.text, error: job.error }), 'bad');
  if (job.state === 'stopped') toast(t('{job}: stopped', { job: job.text }), 'none');
}
