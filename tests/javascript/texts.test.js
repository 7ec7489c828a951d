import assert from 'node:assert/strict';
import test from 'node:test';

import { plural, t } from '../../javascript/tab/base/texts.js';

test('a text is its own translation where there is none', () => {
  assert.equal(t('Stop'), 'Stop');
  assert.equal(t('{n} of {total}', { n: 1, total: 0 }), '1 of 0');
  assert.equal(t('{n} of {unknown}', { n: 1 }), '1 of {unknown}');
});

test('a translation is used with its values', (context) => {
  globalThis.localization = { 'step {n}': 'Schritt {n}', empty: '' };
  context.after(() => delete globalThis.localization);
  assert.equal(t('step {n}', { n: 3 }), 'Schritt 3');
  assert.equal(t('empty'), 'empty');
  assert.equal(t('toString'), 'toString'); // of every object, and no translation
});

test('one and many', () => {
  assert.deepEqual(
    [0, 1, 2].map((n) => plural(n, '{n} photo', '{n} photos')),
    ['0 photos', '1 photo', '2 photos'],
  );
});
