/** How far a job is, as a number and in words. */

import * as format from '../base/format.js';
import { t } from '../base/texts.js';

/**
 * How far a job is, from 0 to 1; null where nobody knows.
 * @param {Job} job
 */
export function progressShare(job) {
  const progress = job.standing;
  return progress && progress.total ? progress.done / progress.total : null;
}

/**
 * One line: what it is, how far it is, and how long it will take.
 * @param {Job} job
 */
export function jobSentence(job) {
  const progress = job.standing;
  const done = { done: format.number(progress?.done), total: format.number(progress?.total) };
  const counted = progress?.total
    ? job.kind === 'train'
      ? t('step {done} of {total}', done)
      : t('{done} of {total}', done)
    : '';
  const left = progress?.seconds_left ? t('{time} left', { time: format.duration(progress.seconds_left) }) : '';
  const state = wished(job) || (job.state === 'paused' ? t('paused') : '');
  const phase = !counted || progress?.text ? progress?.text : '';
  return [job.text, state, counted || phase, !state && left, costText(job)].filter(Boolean).join(' · ');
}

/**
 * What the GPU costs that is rented for a job, or has cost; empty where none was.
 * @param {Job} job
 */
export function costText(job) {
  const { so_far: soFar, billed } = job.cost || {};
  if (billed) return t('the rented GPU has cost {cost}', { cost: billed });
  return soFar ? t('the rented GPU: {cost} so far', { cost: soFar }) : '';
}

/** @param {Job} job */
function wished(job) {
  return { stop: t('is being stopped'), pause: t('is being paused'), '': '' }[job.wish];
}
