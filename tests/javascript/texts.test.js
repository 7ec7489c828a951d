import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { plural, say, t } from '../../javascript/tab/base/texts.js';

test('a text is its own translation where there is none', () => {
  assert.equal(t('Stop'), 'Stop');
  assert.equal(t('{n} of {total}', { n: 1, total: 0 }), '1 of 0');
  assert.equal(t('{n} of {unknown}', { n: 1 }), '1 of {unknown}');
});

test('a translation is used with its values', (context) => {
  globalThis.localization = { 'step {n}': 'Schritt {n}', empty: '', Stop: 'Stop' };
  context.after(() => delete globalThis.localization);
  assert.equal(t('step {n}', { n: 3 }), 'Schritt 3');
  assert.equal(t('empty'), 'empty');
  assert.equal(say({ template: 'empty' }), 'empty');
  assert.equal(t('Stop'), 'Stop');
  assert.equal(t('toString'), 'toString'); // of every object, and no translation
});

test('one and many', () => {
  assert.deepEqual(
    [0, 1, 2].map((n) => plural(n, '{n} photo', '{n} photos')),
    ['0 photos', '1 photo', '2 photos'],
  );
});

const SAID = JSON.parse(readFileSync(new URL('messages.json', import.meta.url), 'utf8'));

/** As a browser whose language is this one writes numbers. */
function writeNumbersIn(context, language) {
  const real = Intl.NumberFormat;
  Intl.NumberFormat = function write(_, how) {
    return new real(language, how);
  };
  context.after(() => (Intl.NumberFormat = real));
}

test('in English a message is what the server says', (context) => {
  writeNumbersIn(context, 'en-US');
  assert.ok(SAID.length > 50);
  for (const { message, english } of SAID) assert.equal(say(message, english), english);
});

test('a message is translated, with its parts and its numbers', (context) => {
  writeNumbersIn(context, 'de-DE');
  globalThis.localization = {
    'The face has {value:.1f} pixels ({parts})': '{parts}: das Gesicht hat {value:.1f} Pixel',
    '{n} like {like}': '{n} wie {like}',
  };
  context.after(() => delete globalThis.localization);
  const parts = [{ template: '{n} like {like}', values: { n: 2, like: '{n} like {like}' } }, { template: 'none' }];
  const message = { template: 'The face has {value:.1f} pixels ({parts})', values: { value: 31.25, parts } };
  assert.equal(say(message), '2 wie {n} like {like}, none: das Gesicht hat 31,2 Pixel');
});

test('where there is no message, the sentence is said', () => {
  for (const none of [null, undefined, {}, { template: 3 }]) assert.equal(say(none, 'A sentence.'), 'A sentence.');
  assert.equal(say(null), '');
  assert.equal(say({ template: 'Stop' }), 'Stop');
});

test('nothing that a file is called is looked at again', () => {
  for (const name of ['{0}', '{name}', '{other}', '$&', "$'", '<img src=x onerror=alert(1)>', '{name:.2f}', 'toString'])
    assert.equal(say({ template: '{name} and {other}', values: { name, other: 'b' } }, ''), `${name} and b`);
  assert.equal(
    say({ template: '{toString} {constructor:.2f} {n:x}', values: { n: 1.5 } }),
    '{toString} {constructor:.2f} 1.5',
  );
});
