/** What is done with jobs, and what is said of those that wait. */

import * as api from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { refresh } from '../page/polling.js';
import { repeatWhileSeen } from '../widgets/form_parts.js';
import { foldSection, toast } from '../widgets/widgets.js';

/**
 * The jobs that must end before a new one for the GPU begins, in order.
 * @param {Job | null | undefined} job
 */
export function jobsAhead(job) {
  const all = app.state ? app.state.queue.jobs.filter((one) => one.lane === 'heavy') : [];
  const running = all.filter((one) => one.state === 'running');
  const waiting = all.filter((one) => one.state === 'waiting');
  const place = job ? waiting.findIndex((one) => one.id === job.id) : -1;
  return [...running, ...(place < 0 ? waiting : waiting.slice(0, place))].filter((one) => !job || one.id !== job.id);
}

/**
 * When a job that waits will begin, in one sentence; empty where it can begin now.
 * @param {Job | null | undefined} job
 */
export function beginsWhen(job) {
  const { supervisor, queue } = pageState();
  if (!supervisor.active) return t('Waiting: {why}', { why: supervisor.reason });
  if (job && job.lane === 'remote') return ''; // it waits for no job of this computer
  if (queue.paused) return t('It starts when the queue is resumed.');
  const before = jobsAhead(job);
  if (!before.length) return '';
  const what = before[before.length - 1].text;
  if (queue.more) return t('It starts after {n} other jobs or more.', { n: before.length });
  return before.length === 1
    ? t('It starts after “{what}”.', { what })
    : t('It starts after {n} other jobs, the last of them “{what}”.', { n: before.length, what });
}

/**
 * Queue a job for the chosen character, and say when it begins.
 * @param {JobKind} kind
 * @param {Record<string, unknown>} values its arguments.
 * @param {string} [words] that are said where it begins at once.
 */
export async function startJob(kind, values, words) {
  const job = await api.post('/jobs', { kind, character: app.slug, arguments: values });
  await refresh();
  const later = beginsWhen(job);
  toast(later ? `${t('Added to the queue.')} ${later}` : t(words || 'Started.'), 'good');
  return job;
}

/**
 * Stop or go on with a job.
 * @param {{id: number}} job
 * @param {'stop' | 'pause' | 'resume' | 'forget'} what
 */
export async function controlJob(job, what) {
  await api.post(`/jobs/${job.id}/${what}`);
  await refresh();
}

/**
 * Resume the queue, so that a paused job goes on.
 * @param {Job} job
 */
export async function resumeJob(job) {
  if (pageState().queue.paused && job.lane === 'heavy') await api.post('/queue', { paused: false });
  else await api.post(`/jobs/${job.id}/resume`);
  await refresh();
}

/**
 * The newest job of a kind of the chosen character, ended or not; or null.
 * @param {JobKind} kind
 */
export function lastJob(kind) {
  return newest((job) => job.kind === kind);
}

/**
 * The newest job of the chosen character that belongs to a step of the page, ended or not; or null.
 * @param {string} step
 */
export function lastJobAt(step) {
  return newest((job) => job.step === step);
}

/** @param {(job: Job) => boolean} fits */
function newest(fits) {
  const jobs = app.state ? app.state.queue.jobs : [];
  const mine = jobs.filter((job) => job.slug === app.slug && fits(job));
  return mine.sort((a, b) => b.id - a.id)[0] || null;
}

/** The last lines of a job's log, asked for when the fold is opened. */
export function logFold() {
  const text = el('pre', { class: 'sf-log', tabIndex: 0, aria: { label: t('Log') } });
  const fold = foldSection('The last lines of the log', text);
  /** @type {number | null} */
  let job = null;
  const load = async () => {
    if (!fold.isConnected) return beat.set(false); // the page was drawn anew
    if (!fold.open || !job || !text.getClientRects().length) return;
    const { lines } = await api.get(`/jobs/${job}/log`);
    setText(text, lines.join('\n') || t('It is empty.'));
  };
  const beat = repeatWhileSeen(load, 5000);
  fold.addEventListener('toggle', () => beat.set(fold.open));
  const set = (/** @type {number | null} */ id) => {
    fold.hidden = !id;
    if (id === job) return;
    job = id;
    setText(text, '');
    if (fold.open) beat.now();
  };
  set(null);
  return Object.assign(fold, { set });
}
