import assert from 'node:assert/strict';
import test from 'node:test';

import { ago, bytes, duration, limit, number, percent } from '../../javascript/tab/base/format.js';

test('durations are seconds, minutes, or hours with minutes', () => {
  assert.deepEqual([0, 59.4, 59.6, 90, 3599, 3600, 7260].map(duration), [
    '0 s',
    '59 s',
    '1 min',
    '2 min',
    '1 h 0 min',
    '1 h 0 min',
    '2 h 1 min',
  ]);
  assert.equal(duration(-5), '0 s');
});

test('what is not known is no text', () => {
  for (const write of [duration, bytes, percent, number])
    assert.deepEqual(
      [undefined, null, NaN, Infinity].map((value) => write(value)),
      ['', '', '', ''],
    );
  assert.equal(ago(undefined), '');
});

test('bytes have as many digits as matter', () => {
  assert.deepEqual([0, 999, 1000, 1540, 99949, 250000, 2.5e9, 7e15].map(bytes), [
    '0 B',
    '999 B',
    '1 KB',
    '1.5 KB',
    '99.9 KB',
    '250 KB',
    '2.5 GB',
    `${(7000).toLocaleString()} TB`,
  ]);
});

test('limits are written as the server writes them', () => {
  assert.deepEqual([64 << 20, 256 << 20].map(limit), ['64 MB', '256 MB']);
});

test('shares are whole percents', () => {
  assert.deepEqual([0, 0.004, 0.126, 1].map(percent), ['0 %', '0 %', '13 %', '100 %']);
});

test('numbers have no more digits than asked for', () => {
  assert.equal(number(1.23456, 2), (1.23).toLocaleString());
  assert.equal(number(2000), (2000).toLocaleString());
});

test('times gone by are said in the largest whole unit', () => {
  const now = Date.now() / 1000;
  const before = (seconds) => ago(now - seconds);
  assert.deepEqual([5, 65, 130, 3700, 90000, 200000].map(before), [
    'just now',
    '1 minute ago',
    '2 minutes ago',
    '1 hour ago',
    '1 day ago',
    '2 days ago',
  ]);
  assert.equal(before(30 * 86400), new Date((now - 30 * 86400) * 1000).toLocaleDateString());
});
