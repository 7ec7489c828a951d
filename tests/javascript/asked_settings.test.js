import assert from 'node:assert/strict';
import test from 'node:test';

import {
  arePlain,
  differing,
  isChosen,
  learnsTrigger,
  withPhrases,
} from '../../javascript/tab/train/asked_settings.js';

const ways = { captioned: { preservation_weight: 1 }, plain: { preservation_weight: 1, phrase_weight: 1 } };
const preset = { preservation_weight: 0, phrase_weight: 0, steps: 100 };

test('it is on where output preservation is, by the preset or by a change', () => {
  const now = (settings, changes) => isChosen({ settings: { ...preset, ...settings }, changes, ways });
  assert.equal(now({}, {}), false);
  assert.equal(now({}, { preservation_weight: 0.5 }), true); // a weight of one's own
  assert.equal(now({ preservation_weight: 1 }, {}), true);
  assert.equal(now({ preservation_weight: 1 }, { preservation_weight: 0 }), false);
  assert.equal(now({}, { phrase_weight: 1 }), false);
});

test('plain captions need what phrases do as well', () => {
  const off = { settings: preset, changes: {}, ways };
  assert.deepEqual(differing(off, true, false), { preservation_weight: 1 });
  assert.deepEqual(differing(off, true, true), { preservation_weight: 1, phrase_weight: 1 });
  assert.equal(arePlain({}), false); // nothing is known yet
  assert.equal(arePlain({ photos: 10 }), false);
  assert.equal(arePlain({ photos: 10, captioned: 6 }), false);
  assert.equal(arePlain({ photos: 10, captioned: 5 }), true);
});

test('phrases are added or left out alone', () => {
  const own = { settings: preset, changes: { steps: 50, preservation_weight: 2 }, ways };
  assert.deepEqual(withPhrases(own, true), { steps: 50, preservation_weight: 2, phrase_weight: 1 });
  assert.deepEqual(withPhrases({ ...own, changes: { phrase_weight: 3 } }, false), {});
  assert.deepEqual(withPhrases({ ...own, settings: { ...preset, phrase_weight: 1 }, changes: {} }, false), {
    phrase_weight: 0,
  });
});

test('switched on and off it leaves the other changes, and what the preset has is no change', () => {
  const off = { settings: preset, changes: { steps: 50 }, ways };
  const on = differing(off, true, true);
  assert.deepEqual(on, { steps: 50, preservation_weight: 1, phrase_weight: 1 });
  assert.equal(isChosen({ ...off, changes: on }), true);
  assert.deepEqual(differing({ ...off, changes: on }, false, true), { steps: 50 });
  const own = { settings: preset, changes: { phrase_weight: 0.5 }, ways };
  assert.deepEqual(differing(own, true, false), { phrase_weight: 0.5, preservation_weight: 1 }); // one's own stays
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
