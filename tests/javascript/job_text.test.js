import assert from 'node:assert/strict';
import { test } from 'node:test';

import { costText, jobSentence, progressShare } from '../../javascript/tab/jobs/job_text.js';

const job = (standing, more = {}) => ({
  kind: 'train',
  text: 'Train Mara',
  state: 'running',
  wish: '',
  standing,
  ...more,
});

test('how far a job is', () => {
  assert.equal(progressShare(job({ done: 5, total: 20 })), 0.25);
  assert.equal(progressShare(job({ done: 5, total: 0 })), null);
  assert.equal(progressShare(job(null)), null);
});

test('a job in one line', () => {
  assert.equal(jobSentence(job({ done: 5, total: 20, seconds_left: 90 })), 'Train Mara · step 5 of 20 · 2 min left');
  assert.equal(jobSentence(job({ done: 5, total: 20 }, { kind: 'test' })), 'Train Mara · 5 of 20');
  assert.equal(jobSentence(job({ total: 0, text: 'Loading' })), 'Train Mara · Loading');
  assert.equal(
    jobSentence(job({ done: 5, total: 20, seconds_left: 90 }, { wish: 'stop' })),
    'Train Mara · is being stopped · step 5 of 20',
  );
  assert.equal(jobSentence(job(null, { state: 'paused' })), 'Train Mara · paused');
});

test('what a rented machine costs', () => {
  assert.equal(costText({ cost: null }), '');
  assert.equal(costText({ cost: { so_far: '0.12 USD', billed: '' } }), 'the rented GPU: 0.12 USD so far');
  assert.equal(costText({ cost: { so_far: '', billed: '0.40 USD' } }), 'the rented GPU has cost 0.40 USD');
});
