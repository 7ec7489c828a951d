import assert from 'node:assert/strict';
import test from 'node:test';

import { bestTest } from '../../javascript/tab/train/compare_numbers.js';
import { shownNumber } from '../../javascript/tab/widgets/number_bars.js';

test('a number is a bar in whole percent, or says why there is none', () => {
  assert.deepEqual(shownNumber({ value: 0.896, why_not: null }), { percent: 90, text: '90 %' });
  assert.deepEqual(shownNumber({ value: 0, why_not: null }), { percent: 0, text: '0 %' });
  assert.deepEqual(shownNumber({ value: 7, why_not: null }), { percent: 100, text: '100 %' });
  const why = { template: 'only {n} faces', values: { n: 3 } };
  assert.deepEqual(shownNumber({ value: null, why_not: why }), { percent: null, text: 'not measured: only 3 faces' });
  assert.deepEqual(shownNumber({ value: null, why_not: null }), { percent: null, text: 'not measured' });
});

test('of a run the test that kept most, without another LoRA beside it', () => {
  const grid = (id, retention, more = [], judged = true) => ({ id, retention, more, judged });
  const grids = [
    grid('5', 0.99, ['ink:1']),
    grid('4', 0.8),
    grid('3', 0.8),
    grid('2', null),
    grid('1', 0.9, [], false),
  ];
  assert.equal(bestTest({ grids }).id, '4');
  assert.equal(bestTest({ grids: [] }), null);
});
