import assert from 'node:assert/strict';
import { test } from 'node:test';

import { withCaptions } from '../../javascript/tab/photos/given_files.js';

const given = (name, more = {}) => ({ file: { name, type: '' }, folder: '', chosen: false, ...more });
const SUFFIXES = ['.jpg', '.png'];

test('pictures with the captions of the same name in the same folder', () => {
  const found = withCaptions(
    [
      given('a.jpg', { folder: 'x/' }),
      given('a.txt', { folder: 'x/' }),
      given('a.JPG', { folder: 'y/' }),
      given('b.txt', { folder: 'y/' }),
    ],
    SUFFIXES,
  );
  assert.deepEqual(
    found.map((one) => [one.file.name, one.caption?.name]),
    [
      ['a.jpg', 'a.txt'],
      ['a.JPG', undefined],
    ],
  );
});

test('of a folder only pictures are taken, of what was chosen all but texts', () => {
  const names = (items) => withCaptions(items, SUFFIXES).map((one) => one.file.name);
  assert.deepEqual(names([given('notes.pdf'), given('.hidden.jpg'), given('a.png')]), ['a.png']);
  assert.deepEqual(names([given('all.zip', { chosen: true }), given('a.txt', { chosen: true })]), ['all.zip']);
  assert.deepEqual(names([{ ...given('photo'), file: { name: 'photo', type: 'image/heic' } }]), ['photo']);
});
