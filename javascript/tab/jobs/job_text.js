/** How far a job is, as a number and in words. */

import * as format from '../base/format.js';
import { t } from '../base/texts.js';

/** How far a job is, from 0 to 1; null where nobody knows. */
export function progressShare(job) {
  const told = job.standing;
  return told && told.total ? told.done / told.total : null;
}

/** One line: what it is, how far it is, and how long it will take. */
export function jobSentence(job) {
  const told = job.standing || {};
  const done = { done: format.number(told.done), total: format.number(told.total) };
  const counted = told.total
    ? job.kind === 'train'
      ? t('step {done} of {total}', done)
      : t('{done} of {total}', done)
    : '';
  const left = told.seconds_left ? t('{time} left', { time: format.duration(told.seconds_left) }) : '';
  const state = wished(job) || (job.state === 'paused' ? t('paused') : '');
  const phase = !counted || told.text ? told.text : '';
  return [job.text, state, counted || phase, !state && left].filter(Boolean).join(' · ');
}

function wished(job) {
  return { stop: t('is being stopped'), pause: t('is being paused') }[job.wish] || '';
}
