import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { app } from '../../javascript/tab/base/app.js';
import {
  chosenCharacter,
  failedJob,
  goTo,
  openJob,
  openJobAt,
  recall,
  usedLast,
} from '../../javascript/tab/base/choice.js';
import { beginsWhen, jobsAhead, lastJob, lastJobAt } from '../../javascript/tab/jobs/jobs.js';

const job = (id, state, more = {}) => ({
  id,
  state,
  open: state !== 'finished' && state !== 'failed',
  broken: state === 'failed',
  order: state === 'running' ? 0 : 2,
  kind: 'train',
  step: 'train',
  lane: 'heavy',
  slug: 'mara',
  text: `Job ${id}`,
  ...more,
});

beforeEach(() => {
  globalThis.localStorage = {
    kept: {},
    getItem: (key) => globalThis.localStorage.kept[key] ?? null,
    setItem: (key, value) => (globalThis.localStorage.kept[key] = value),
  };
  app.state = {
    folder: 'f',
    characters: [
      { slug: 'mara', touched: 1, next: 'train' },
      { slug: 'nova', touched: 2, next: 'photos' },
    ],
    queue: { paused: false, more: 0, jobs: [] },
    supervisor: { active: true, reason: '' },
  };
  Object.assign(app, { slug: 'mara', step: 'photos' });
});

test('the open job of a kind: a running one before one that waits', () => {
  app.state.queue.jobs = [
    job(1, 'waiting'),
    job(2, 'running'),
    job(3, 'finished'),
    job(4, 'running', { slug: 'nova' }),
  ];
  assert.equal(openJob('train').id, 2);
  assert.equal(openJobAt('train', 'nova').id, 4);
  assert.equal(openJob('test'), null);
});

test('a job that failed counts as long as it is the newest of its kind', () => {
  app.state.queue.jobs = [job(5, 'failed'), job(4, 'finished')];
  assert.equal(failedJob('train').id, 5);
  app.state.queue.jobs = [job(6, 'finished'), job(5, 'failed')];
  assert.equal(failedJob('train'), null);
  assert.equal(lastJob('train').id, 6);
  assert.equal(lastJobAt('train').id, 6);
  assert.equal(lastJobAt('test'), null);
});

test('what must end before a job begins', () => {
  app.state.queue.jobs = [
    job(1, 'running'),
    job(2, 'waiting'),
    job(3, 'waiting'),
    job(4, 'running', { lane: 'light' }),
  ];
  const [, second, third] = app.state.queue.jobs;
  assert.deepEqual(
    jobsAhead(third).map((one) => one.id),
    [1, 2],
  );
  assert.equal(beginsWhen(second), 'It starts after “Job 1”.');
  assert.match(beginsWhen(third), /after 2 other jobs, the last of them “Job 2”/);
  app.state.queue.paused = true;
  assert.match(beginsWhen(second), /queue is resumed/);
  app.state.supervisor = { active: false, reason: 'Another webui works.' };
  assert.equal(beginsWhen(second), 'Waiting: Another webui works.');
});

test('what was chosen is taken up again, in its own data folder', () => {
  goTo({ slug: 'nova', step: 'test' });
  Object.assign(app, { slug: '', step: 'photos' });
  recall();
  assert.deepEqual([app.slug, app.step], ['nova', 'test']);
  app.state.folder = 'another';
  recall();
  assert.deepEqual([app.slug, app.step], [usedLast().slug, 'photos']);
  assert.equal(chosenCharacter().slug, 'nova');
});

test('a form is not come back to, and a character that is gone neither', () => {
  goTo({ slug: 'mara', step: 'edit' });
  recall();
  assert.deepEqual([app.slug, app.step], ['mara', 'train']); // where the character is to go on
  app.state.characters = [{ slug: 'zoe', touched: 0, next: 'captions' }];
  recall();
  assert.deepEqual([app.slug, app.step], ['zoe', 'captions']);
});

test('who clicks before the first state is there gets what was clicked', () => {
  const { state } = app;
  app.state = null;
  goTo({ step: 'doctor' });
  app.state = state;
  recall();
  assert.deepEqual([app.slug, app.step], ['nova', 'doctor']);
  recall();
  assert.equal(app.step, 'photos'); // once alone
});
