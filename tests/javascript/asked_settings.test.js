import assert from 'node:assert/strict';
import test from 'node:test';

import { differing, isChosen } from '../../javascript/tab/train/asked_settings.js';

const wanted = { preservation_weight: 1, preservation_share: 0.25 };
const preset = { preservation_weight: 0, preservation_share: 0.25, steps: 100 };

test('it is on where each of its settings is, by the preset or by a change', () => {
  const now = (settings, changes) => isChosen({ settings: { ...preset, ...settings }, changes, wanted });
  assert.equal(now({}, {}), false);
  assert.equal(now({}, { preservation_weight: 0.5 }), true); // a weight of one's own
  assert.equal(now({ preservation_weight: 1 }, {}), true);
  assert.equal(now({ preservation_weight: 1 }, { preservation_weight: 0 }), false);
});

test('switched on and off it leaves the other changes, and what the preset has is no change', () => {
  const off = { settings: preset, changes: { steps: 50 }, wanted };
  const on = differing(off, true);
  assert.deepEqual(on, { steps: 50, preservation_weight: 1 });
  assert.equal(isChosen({ ...off, changes: on }), true);
  const again = differing({ ...off, changes: on }, false);
  assert.equal(isChosen({ ...off, changes: again }), false);
  assert.equal(again.steps, 50);
});
