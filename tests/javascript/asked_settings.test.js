import assert from 'node:assert/strict';
import test from 'node:test';

import { arePlain, differing, isChosen, learnsTrigger } from '../../javascript/tab/train/asked_settings.js';

const wanted = { preservation_weight: 1 };
const preset = { preservation_weight: 0, steps: 100 };

test('it is on where output preservation is, by the preset or by a change', () => {
  const now = (settings, changes) => isChosen({ settings: { ...preset, ...settings }, changes, wanted });
  assert.equal(now({}, {}), false);
  assert.equal(now({}, { preservation_weight: 0.5 }), true); // a weight of one's own
  assert.equal(now({ preservation_weight: 1 }, {}), true);
  assert.equal(now({ preservation_weight: 1 }, { preservation_weight: 0 }), false);
});

test('captions are plain where most of them only say who it is', () => {
  assert.equal(arePlain({}), false); // nothing is known yet
  assert.equal(arePlain({ photos: 10 }), false);
  assert.equal(arePlain({ photos: 10, captioned: 6 }), false);
  assert.equal(arePlain({ photos: 10, captioned: 5 }), true);
});

test('switched on and off it leaves the other changes, and what the preset has is no change', () => {
  const off = { settings: preset, changes: { steps: 50 }, wanted };
  const on = differing(off, true);
  assert.deepEqual(on, { steps: 50, preservation_weight: 1 });
  assert.equal(isChosen({ ...off, changes: on }), true);
  assert.deepEqual(differing({ ...off, changes: on }, false), { steps: 50 });
  const usual = { settings: { ...preset, preservation_weight: 1 }, changes: {}, wanted };
  assert.deepEqual(differing(usual, false), { preservation_weight: 0 });
  assert.deepEqual(differing({ ...usual, changes: { preservation_weight: 0 } }, true), {});
});

test('a trigger word learns where its vectors or the text encoders are trained', () => {
  const frozen = { 'lora.te': true, te_lr: 0, trigger_vectors: 0 };
  const trained = { 'lora.te': true, te_lr: 5e-5, trigger_vectors: 0 };
  assert.equal(learnsTrigger({ settings: frozen, changes: {} }), false);
  assert.equal(learnsTrigger({ settings: frozen, changes: { trigger_vectors: 2 } }), true);
  assert.equal(learnsTrigger({ settings: trained, changes: {} }), true);
  assert.equal(learnsTrigger({ settings: trained, changes: { 'lora.te': false } }), false);
  assert.equal(learnsTrigger({ settings: trained, changes: { te_lr: 0 } }), false);
});
