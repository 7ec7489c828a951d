import assert from 'node:assert/strict';
import test from 'node:test';

import { growing, merged } from '../../javascript/tab/base/state_changes.js';

const lists = (characters, jobs, changed = {}) => ({
  characters: { keys: characters, changed: [], ...changed.characters },
  jobs: { keys: jobs, changed: [], ...changed.jobs },
});
const FIRST = {
  mark: 'a',
  changed: { version: '1', queue: { paused: false } },
  lists: {
    characters: { keys: ['mara', 'nova'], changed: [{ slug: 'nova' }, { slug: 'mara' }] },
    jobs: { keys: [7], changed: [{ id: 7, state: 'running' }] },
  },
};

test('the first answer is the whole state, with its lists in order', () => {
  assert.deepEqual(merged(null, FIRST), {
    version: '1',
    queue: { paused: false, jobs: [{ id: 7, state: 'running' }] },
    characters: [{ slug: 'mara' }, { slug: 'nova' }],
  });
});

test('where nothing has changed the state is the same one', () => {
  const state = merged(null, FIRST);
  assert.equal(merged(state, { mark: 'a' }), state);
});

test('what has not changed is kept, what is gone goes, what is new comes', () => {
  const before = merged(null, FIRST);
  const after = merged(before, {
    mark: 'b',
    changed: { queue: { paused: true } },
    lists: lists(['zoe', 'mara'], [8, 7], {
      characters: { changed: [{ slug: 'zoe' }] },
      jobs: { changed: [{ id: 8 }] },
    }),
  });
  assert.deepEqual(after.characters, [{ slug: 'zoe' }, { slug: 'mara' }]);
  assert.equal(after.characters[1], before.characters[0]);
  assert.deepEqual(after.queue, { paused: true, jobs: [{ id: 8 }, { id: 7, state: 'running' }] });
  assert.equal(after.version, '1');
  assert.equal(before.queue.paused, false); // the one before is left as it was
});

test('jobs alone may change', () => {
  const before = merged(null, FIRST);
  const after = merged(before, {
    mark: 'b',
    changed: {},
    lists: lists(['mara', 'nova'], [7], { jobs: { changed: [{ id: 7, state: 'finished' }] } }),
  });
  assert.deepEqual(after.queue, { paused: false, jobs: [{ id: 7, state: 'finished' }] });
});

test('of what is asked for again only the parts that have changed are sent', async () => {
  const asked = [];
  const answers = [
    { mark: 'a', changed: { loss: [1], warnings: [] } },
    { mark: 'b', changed: { loss: [1, 2] } },
    { mark: 'b' },
    { mark: 'c', changed: { loss: [], warnings: ['slow'] } },
  ];
  const ask = growing(async (...given) => (asked.push(given), answers.shift()));
  assert.deepEqual(await ask('mara', '001'), { loss: [1], warnings: [] });
  assert.deepEqual(await ask('mara', '001'), { loss: [1, 2], warnings: [] });
  assert.deepEqual(await ask('mara', '001'), { loss: [1, 2], warnings: [] });
  assert.deepEqual(await ask('mara', '002'), { loss: [], warnings: ['slow'] }); // nothing is known of another one
  assert.deepEqual(asked, [
    ['', 'mara', '001'],
    ['a', 'mara', '001'],
    ['b', 'mara', '001'],
    ['', 'mara', '002'],
  ]);
});
