import assert from 'node:assert/strict';
import { beforeEach, mock, test } from 'node:test';

import { app } from '../../javascript/tab/base/app.js';
import { drawWith } from '../../javascript/tab/base/redraw.js';
import * as polling from '../../javascript/tab/page/polling.js';

let jobs = [];
let version = 0;
let answers = true;
let asked = [];
let drawn = 0;
let said = '';

globalThis.window = { location: { pathname: '/' } };
globalThis.document = { hidden: false, addEventListener: () => {} };
globalThis.localStorage = { getItem: () => null, setItem: () => {} };
globalThis.fetch = async (path) => {
  asked.push(path);
  if (!answers) throw new TypeError('refused');
  const mark = String(version);
  const same = path.endsWith(`since=${mark}`);
  const lists = { characters: { keys: [], changed: [] }, jobs: { keys: jobs.map((job) => job.id), changed: jobs } };
  return { ok: true, status: 200, json: async () => (same ? { mark } : { mark, changed: { queue: {} }, lists }) };
};
drawWith(() => (drawn += 1));
polling.begin({ offline: (why) => (said = why), awaited: () => false });
mock.timers.enable({ apis: ['setTimeout'] });

/** Let what is on its way come to its end. */
async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

async function after(milliseconds) {
  mock.timers.tick(milliseconds);
  await settle();
}

beforeEach(async () => {
  app.mount = { isConnected: true, dataset: {}, getClientRects: () => [1] };
  [jobs, answers, version] = [[], true, version + 1];
  await polling.refresh();
  await settle();
  [asked, drawn] = [[], 0];
});

test('it asks every three seconds, and draws only what has changed', async () => {
  await after(2900);
  assert.equal(asked.length, 0);
  await after(200);
  assert.deepEqual([asked.length, drawn], [1, 0]);
  version += 1;
  await after(3000);
  assert.deepEqual([asked.length, drawn], [2, 1]);
  assert.match(asked[1], /\/sameface\/v1\/state\?since=/);
});

test('it asks every second while something runs', async () => {
  jobs = [{ id: 1, state: 'running' }];
  version += 1;
  await polling.refresh();
  asked = [];
  for (let second = 0; second < 3; second += 1) await after(1000);
  assert.equal(asked.length, 3);
});

test('many wishes make one question, and one after it', async () => {
  polling.soon();
  polling.soon();
  await after(150);
  assert.equal(asked.length, 1);
  await Promise.all([polling.refresh(), polling.refresh(), polling.refresh()]);
  assert.equal(asked.length, 3); // the one on its way may be older than the wish
});

test('nobody is asked while nobody looks', async () => {
  app.mount = { ...app.mount, getClientRects: () => [] };
  await after(3100); // the last one that was meant
  asked = [];
  await after(60000);
  assert.equal(asked.length, 0);
  app.mount = { ...app.mount, getClientRects: () => [1] };
  polling.wake();
  await settle();
  assert.equal(asked.length, 1);
});

test('one lost question is no news; after two it asks seldom and says so', async () => {
  answers = false;
  await after(3100);
  assert.deepEqual([asked.length, said, app.lost], [1, '', true]);
  await after(2100);
  assert.equal(asked.length, 2);
  assert.match(said, /No connection/);
  await after(29000);
  assert.equal(asked.length, 2);
  answers = true;
  await after(1100);
  assert.deepEqual([asked.length, said, app.lost], [3, '', false]);
});
