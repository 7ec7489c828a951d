import assert from 'node:assert/strict';
import test from 'node:test';

import { about, inWords, numberIn, textIn } from '../../javascript/tab/widgets/setting_values.js';

const whole = { kind: 'int', default: 8 };
const real = { kind: 'float', default: 0.1 };
const open = { kind: 'float', default: null };

test('numbers as people write them', () => {
  for (const [text, value] of [
    ['0,0001', 0.0001],
    ['1e-4', 0.0001],
    [' 2.5 ', 2.5],
    ['-3', -3],
  ])
    assert.deepEqual(numberIn(text, real), { value });
  assert.deepEqual(numberIn('12', whole), { value: 12 });
  assert.deepEqual(numberIn('', open), { value: null });
});

test('what is not a number, or not the wanted kind, is refused', () => {
  for (const [text, field] of [
    ['', real],
    ['abc', real],
    ['1.2.3', real],
    ['Infinity', real],
    ['2.5', whole],
    ['1,000', whole], // a thousand for some, one for others
    ['1.000', whole],
    ['1’000', whole],
  ]) {
    const { value, wrong } = numberIn(text, field);
    assert.equal(value, undefined, text);
    assert.ok(wrong, text);
  }
});

test('an empty text stands for the default alone where that is nothing', () => {
  assert.equal(textIn('  ', { default: null }), null);
  assert.equal(textIn('  ', { default: 'x' }), '  ');
});

test('values in words', () => {
  assert.deepEqual([null, '', [], ['a', 'b'], true, false, 0, 'x'].map(inWords), [
    'none',
    'none',
    'none',
    'a · b',
    'on',
    'off',
    '0',
    'x',
  ]);
});

test('a refusal without what its field says already', () => {
  assert.equal(about('lora.rank', 'preset sd15-face: lora: rank is 0; it must be 1'), 'rank is 0; it must be 1');
  assert.equal(about('lora.rank', 'something else'), 'something else');
});
