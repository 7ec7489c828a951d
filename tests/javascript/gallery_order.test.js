import assert from 'node:assert/strict';
import test from 'node:test';

import { arranged, counted, isKept, piles } from '../../javascript/tab/produce/gallery_order.js';

const picture = (item, passed, likeness, more = {}) => ({
  file: `${item}.png`,
  item,
  attempt: 1,
  row: item % 2,
  passed,
  likeness,
  decision: null,
  hash: '',
  ...more,
});

const ALL = [
  picture(1, true, 0.6),
  picture(2, false, 0.2),
  picture(3, true, 0.9, { decision: 'drop' }),
  picture(4, false, null, { decision: 'keep' }),
  picture(5, true, 0.7),
];
const items = (list) => list.map((one) => one.item);

test('a decision of the user outdoes what was measured', () => {
  assert.deepEqual(ALL.map(isKept), [true, false, false, true, true]);
  assert.deepEqual(counted(ALL), { kept: 3, failed: 2, byHand: 2, all: 5 });
});

test('pictures are filtered and sorted, those without a face last', () => {
  assert.deepEqual(items(arranged(ALL, 'kept', 'painted')), [1, 4, 5]);
  assert.deepEqual(items(arranged(ALL, 'all', 'best')), [3, 5, 1, 2, 4]);
  assert.deepEqual(items(arranged(ALL, 'all', 'worst')), [2, 1, 5, 3, 4]);
  assert.deepEqual(items(arranged(ALL, 'all', 'prompt')), [2, 4, 1, 3, 5]);
  assert.deepEqual(items(ALL), [1, 2, 3, 4, 5]);
});

test('pictures that are nearly the same are a pile', () => {
  const hashes = [
    'ffffffffffffffff',
    'fffffffffffffff0',
    '0000000000000000',
    '',
    'fffffffffffffffe',
    '000000000000000f',
    '',
  ];
  const all = hashes.map((hash, place) => picture(place, true, 0.5, { hash }));
  assert.deepEqual(piles(all, 4).map(items), [[0, 1, 4], [2, 5], [3], [6]]);
  assert.deepEqual(piles(all, 3).map(items), [[0, 4], [1], [2], [3], [5], [6]]);
  assert.deepEqual(piles([], 4), []);
});

test('the distance of hashes is that of all 64 bits', () => {
  const hash = (value) => value.toString(16).padStart(16, '0');
  for (let bit = 0n; bit < 64n; bit += 1n) {
    const two = [picture(1, true, 1, { hash: hash(0n) }), picture(2, true, 1, { hash: hash((1n << bit) | 1n) })];
    const set = bit === 0n ? 1 : 2;
    assert.equal(piles(two, set).length, 1);
    assert.equal(piles(two, set - 1).length, 2);
  }
});
