import assert from 'node:assert/strict';
import test from 'node:test';

import { differing, isChosen } from '../../javascript/tab/train/asked_settings.js';

const wanted = { preservation_weight: 1, preservation_share: 0.25, te_lr: 0 };
const preset = { preservation_weight: 0, preservation_share: 0.25, te_lr: 0.002, steps: 100 };

test('it is on where each of its settings is, by the preset or by a change', () => {
  const now = (settings, changes) => isChosen({ settings: { ...preset, ...settings }, changes, wanted });
  assert.equal(now({}, {}), false);
  assert.equal(now({}, { preservation_weight: 0.5, te_lr: 0 }), true); // a weight of one's own
  assert.equal(now({}, { preservation_weight: 0.5 }), false); // the text encoder is trained
  assert.equal(now({ preservation_weight: 1, te_lr: 0 }, {}), true);
  assert.equal(now({ preservation_weight: 1, te_lr: 0 }, { preservation_weight: 0 }), false);
});

test('switched on and off it leaves the other changes, and what the preset has is no change', () => {
  const off = { settings: preset, changes: { steps: 50 }, wanted };
  const on = differing(off, true);
  assert.deepEqual(on, { steps: 50, preservation_weight: 1, te_lr: 0 });
  assert.equal(isChosen({ ...off, changes: on }), true);
  const again = differing({ ...off, changes: on }, false);
  assert.equal(isChosen({ ...off, changes: again }), false);
  assert.deepEqual(again, { steps: 50 });
});

test('a preset that has it on is switched off by changes', () => {
  const on = { settings: { ...preset, preservation_weight: 1, te_lr: 0 }, changes: {}, wanted };
  const off = differing(on, false);
  assert.equal(isChosen({ ...on, changes: off }), false);
  assert.deepEqual(differing({ ...on, changes: off }, true), {});
});
