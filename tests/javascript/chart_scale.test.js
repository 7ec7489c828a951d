import assert from 'node:assert/strict';
import test from 'node:test';

import { EDGE, HEIGHT, nearest, pointAt, room, scales, ticks } from '../../javascript/tab/widgets/chart_scale.js';

test('ticks are round, in order, and not more than asked for by much', () => {
  assert.deepEqual(ticks(0, 100, 5, 1), [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(ticks(0.1, 0.35, 4, 0), [0.1, 0.2, 0.3]);
  assert.deepEqual(ticks(1, 3, 8, 1), [1, 2, 3]); // whole steps, not halves
  for (const [low, high] of [
    [0, 7],
    [-3.2, 11],
    [0.001, 0.0043],
    [999, 100001],
  ]) {
    const found = ticks(low, high, 6, 0);
    assert.ok(found.length >= 2 && found.length <= 8, `${low} ${high} ${found}`);
    assert.ok(found.every((at, place) => at >= low - 1e-9 && (!place || at > found[place - 1])));
  }
});

test('a range is never empty', () => {
  assert.deepEqual(room(5, 5, 0), [4.5, 5.5]);
  assert.deepEqual(room(0, 0, 0), [-1, 1]);
  assert.deepEqual(room(0, 10, 0.1), [-1, 11]);
});

test('the ends of the axes are the edges of the drawing', () => {
  const scale = scales(
    [
      [0, 1],
      [10, 3],
    ],
    { yMin: 0, yMax: 4 },
    560,
  );
  assert.equal(scale.x(0), EDGE.left);
  assert.equal(scale.x(10), 560 - EDGE.right);
  assert.equal(scale.y(0), HEIGHT - EDGE.bottom);
  assert.equal(scale.y(4), EDGE.top);
  assert.equal(scales([[0, 1]], { xMax: 100 }, 560).x(100), 560 - EDGE.right);
});

test('the point under the pointer', () => {
  const points = [
    [0, 1],
    [10, 2],
    [30, 3],
  ];
  assert.deepEqual(pointAt(points, 10), [10, 2]);
  assert.equal(pointAt(points, 11), undefined);
  assert.deepEqual(pointAt(points, 11, true), [10, 2]);
  assert.equal(pointAt(points, 31, true), undefined); // the line does not reach as far
  assert.equal(nearest([0, 10, 30], 19, { x: (value) => value }), 1);
});
