import assert from 'node:assert/strict';
import test from 'node:test';

import { baseGone, bestGrid, cellName, gridsOf, jobsBaseGone } from '../../javascript/tab/jobs/runs.js';

const RUNS = [
  { id: '002', best: '', grids: [{ id: '001', made: 5 }] },
  {
    id: '001',
    best: '002',
    grids: [
      { id: '002', made: 9 },
      { id: '001', made: null },
    ],
  },
];

test('the best test is the one that the server names', () => {
  const { run, grid } = bestGrid(RUNS);
  assert.deepEqual([run.id, grid.id], ['001', '002']);
  assert.equal(bestGrid(RUNS.slice(0, 1)), null);
  assert.equal(bestGrid([]), null);
});

test('the tests of all runs, the newest first', () => {
  assert.deepEqual(
    gridsOf(RUNS).map(({ run, grid }) => `${run.id}/${grid.id}`),
    ['001/002', '002/001', '001/001'],
  );
  assert.deepEqual(gridsOf(null), []);
});

test('a run, a step and a weight in words', () => {
  assert.equal(
    cellName('003', 2000, 0.8),
    `Run 003, step ${(2000).toLocaleString()}, weight ${(0.8).toLocaleString()}`,
  );
  assert.equal(cellName('003', 50), 'Run 003, step 50');
});

test('a base model that is gone is named', () => {
  assert.equal(baseGone(null), '');
  assert.equal(baseGone({ id: '001', base_there: true }), '');
  assert.match(baseGone({ id: '001', base_there: false, base: 'a', base_path: '/x/a' }), /run 001 is gone: \/x\/a\./);
  assert.equal(jobsBaseGone(null), '');
  assert.match(jobsBaseGone({ base_gone: '/x/a' }), /gone: \/x\/a\./);
});
