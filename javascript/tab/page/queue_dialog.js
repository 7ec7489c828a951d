/** The queue: what runs, what waits, and what has ended, with everything that can be done with it. */

import * as api from '../base/api.js';
import { pageState } from '../base/app.js';
import { el, fillWith, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { plural, t } from '../base/texts.js';
import { controlJob } from '../jobs/jobs.js';
import { costText, jobSentence, progressShare } from '../jobs/job_text.js';
import { refresh } from './polling.js';
import { draggedJobs } from './queue_drag.js';
import * as titleSignal from './title_signal.js';
import { actionButton, keyedList, notice, openDialog, progressBar, toast, toneBadge } from '../widgets/widgets.js';

const FREQUENT = 1000; // milliseconds between two drawings while it is open

let moving = 0; // moves whose result the page's state does not know yet
/** @type {Promise<unknown> | null} */
let latest = null; // of these

export function open() {
  const list = el('div', { class: 'sf-jobs' });
  const none = notice('none', 'The queue is empty, and nothing has run yet.');
  const hold = actionButton('Pause the queue', turnQueue, { small: true });
  const rest = el('p', { class: 'sf-quiet' });
  const order = el('p', { class: 'sf-quiet', text: t('Drag a waiting job to another place, or use its buttons.') });
  const announcement = el('p', { class: 'sf-silent', role: 'status', aria: { live: 'polite' } });
  const notify = titleSignal.tick();
  const body = el(
    'div',
    { class: 'sf-dialog-body' },
    el('div', { class: 'sf-row' }, hold),
    none,
    order,
    list,
    rest,
    notify,
    announcement,
  );
  const say = (/** @type {string} */ text) => setText(announcement, text);
  draggedJobs(list, (id, before) => moved(id, before, say));
  const draw = () => {
    if (timer && !body.isConnected) clearInterval(timer); // the host has drawn its page anew
    if (moving || list.querySelector('.sf-dragged')) return; // what is held or was just dropped must not move by itself
    const { jobs, paused, more } = pageState().queue;
    rest.hidden = !more;
    setText(rest, more ? plural(more, '{n} more job waits.', '{n} more jobs wait.') : '');
    order.hidden = queued().length < 2;
    notify.update();
    none.hidden = jobs.length > 0;
    hold.hidden = !paused && !jobs.some((job) => job.open);
    setText(hold.firstElementChild, t(paused ? 'Resume the queue' : 'Pause the queue'));
    keyedList(
      list,
      sorted(jobs),
      (job) => job.id,
      make,
      (node, job) => update(node, job, say),
    );
  };
  let timer = 0;
  draw();
  timer = setInterval(draw, FREQUENT);
  openDialog('Queue', body, { closed: () => clearInterval(timer) });
}

async function turnQueue() {
  await api.post('/queue', { paused: !pageState().queue.paused });
  await refresh();
}

/**
 * A paused job of this computer goes on together with the queue.
 * @param {Job} job
 */
async function goOn(job) {
  if (job.lane !== 'heavy') return controlJob(job, 'resume');
  await api.post('/queue', { paused: false });
  await refresh();
}

/**
 * Running ones, paused ones, waiting ones in their order, then what has ended, the newest first.
 * @param {Job[]} jobs
 */
function sorted(jobs) {
  const places = new Map(jobs.map((job, place) => [job.id, place])); // the server's order is that of the queue
  return [...jobs].sort((a, b) => a.order - b.order || (places.get(a.id) ?? 0) - (places.get(b.id) ?? 0));
}

/** @param {Job} job */
function make(job) {
  const badge = el('span', {});
  const line = el('p', { class: 'sf-quiet sf-number' });
  const error = el('div', {});
  const bar = progressBar(null);
  const row = el('div', { class: 'sf-row' });
  const node = el(
    'div',
    { class: 'sf-job', data: { job: job.id } },
    el('p', {}, el('strong', { text: job.text })),
    badge,
    line,
    bar,
    error,
    row,
  );
  /** @type {QueueAction[]} */
  const actions = [];
  return Object.assign(node, { parts: { badge, line, error, bar, row, actions } });
}

/**
 * @param {QueueRow} node
 * @param {Job} job
 * @param {(text: string) => void} say
 */
function update(node, job, say) {
  node.draggable = job.state === 'waiting' && queued().length > 1;
  const { badge, line, error, bar, row } = node.parts;
  const key = `${job.state} ${job.wish}`;
  if (node.dataset.state !== key) fillWith(badge, toneBadge(job.tone, t(job.state)));
  node.dataset.state = key;
  setText(line, about(job));
  line.hidden = !line.textContent;
  bar.hidden = job.state !== 'running';
  bar.set(progressShare(job), job.text);
  if (error.dataset.text !== job.error) fillWith(error, job.error ? notice('bad', job.error) : null);
  error.dataset.text = job.error;
  error.hidden = !job.error;
  const labelled = (/** @type {QueueAction} */ one) => ({ small: true, label: `${t(one.label)}: ${job.text}` });
  const button = (/** @type {QueueAction} */ one) =>
    actionButton(one.label, () => node.parts.actions.find((other) => other.label === one.label)?.run(), labelled(one));
  node.parts.actions = actions(job, say);
  keyedList(row, node.parts.actions, (one) => one.label, button);
}

/** @param {Job} job */
function about(job) {
  if (job.state === 'running') return jobSentence(job);
  if (job.state === 'waiting')
    return [wanted(job), t('since {time}', { time: format.ago(job.created) })].filter(Boolean).join(' · ');
  const took = job.started && job.ended ? format.duration(job.ended - job.started) : '';
  const ended = job.ended ? format.ago(job.ended) : '';
  return [ended, took && t('took {time}', { time: took }), costText(job)].filter(Boolean).join(' · ');
}

/**
 * What tells a waiting training from another one of the same character.
 * @param {Job} job
 */
function wanted(job) {
  const { run, steps, settings } = job.arguments || {};
  const number = steps || (settings || {}).steps;
  const said = number ? plural(number, '{n} step', '{n} steps') : '';
  return [run && t('run {run}', { run }), said].filter(Boolean).join(', ');
}

/**
 * @param {Job} job
 * @param {(text: string) => void} say
 */
function actions(job, say) {
  /** @param {'stop' | 'pause' | 'resume' | 'forget'} what */
  const act = (what) => () => controlJob(job, what);
  const found = [];
  if (job.state === 'waiting') {
    const ids = queued().map((one) => one.id);
    const at = ids.indexOf(job.id);
    if (at > 0) found.push({ label: 'Move up', run: () => step(job.id, -1, say) });
    if (at < ids.length - 1) found.push({ label: 'Move down', run: () => step(job.id, 1, say) });
    found.push({ label: 'Remove', run: () => remove(job) });
  } else if (job.open && job.wish !== 'stop') {
    found.push({ label: 'Stop', run: act('stop') });
  }
  if (job.state === 'paused') found.push({ label: 'Resume', run: () => goOn(job) });
  if (job.unfinished && !job.base_gone) found.push({ label: 'Resume', run: act('resume') }); // it would fail again at once
  if (job.state !== 'waiting') found.push({ label: 'Log', run: () => log(job) });
  if (!job.open) found.push({ label: 'Remove from this list', run: act('forget') });
  return found;
}

/** The jobs that wait, in their order. */
function queued() {
  return pageState().queue.jobs.filter((one) => one.state === 'waiting');
}

/**
 * Give a waiting job another place: before the job `before`, or at the end where that is null.
 * @param {number} id
 * @param {number | null} before
 * @param {(text: string) => void} say
 */
async function moved(id, before, say) {
  moving += 1;
  latest = api
    .post(`/jobs/${String(id)}/move`, { before })
    .then(refresh)
    .finally(() => (moving -= 1));
  await latest;
  const now = queued();
  const place = now.findIndex((one) => one.id === id);
  if (place >= 0) say(t('{job}: place {n} of {of}', { job: now[place].text, n: place + 1, of: now.length }));
}

/**
 * Move a waiting job up or down by one place.
 * @param {number} id
 * @param {-1 | 1} by
 * @param {(text: string) => void} say
 */
async function step(id, by, say) {
  await latest?.catch(() => null); // before, the places are not those that are shown
  const ids = queued().map((one) => one.id);
  const to = ids.indexOf(id) + by;
  if (ids.includes(id) && ids[to] !== undefined) await moved(id, ids[by < 0 ? to : to + 1] ?? null, say);
}

/**
 * Take a waiting job out. One that has a run is kept in the list, for it can go on.
 * @param {Job} job
 */
async function remove(job) {
  const stopped = await api.post(`/jobs/${job.id}/stop`);
  if (stopped.state === 'stopped' && !stopped.run) await api.post(`/jobs/${job.id}/forget`);
  await refresh();
}

/**
 * The end of a job's log, in a dialog.
 * @param {Job} job
 */
export async function log(job) {
  const { lines } = await api.get(`/jobs/${job.id}/log`);
  const text = lines.length ? lines.join('\n') : t('The log is empty.');
  const shown = el('pre', { class: 'sf-log', tabindex: '0', text });
  const copy = actionButton('Copy', () => navigator.clipboard.writeText(text).then(() => toast('Copied.', 'good')));
  const body = el('div', { class: 'sf-dialog-body' }, job.error ? notice('bad', job.error) : null, shown);
  if (navigator.clipboard) body.append(el('div', { class: 'sf-row' }, copy));
  openDialog('Log', body, { wide: true });
  shown.scrollTop = shown.scrollHeight;
}
