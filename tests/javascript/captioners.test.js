import assert from 'node:assert/strict';
import test from 'node:test';

import { defaultName } from '../../javascript/tab/captions/default_captioner.js';

test('the server names it, whatever else is ready', () => {
  const all = [
    { name: '', ready: true, default: false },
    { name: 'clip', ready: true, default: true },
    { name: 'webui-blip', ready: true, default: false },
  ];
  assert.equal(defaultName(all), 'clip');
  assert.equal(defaultName([]), '');
});
