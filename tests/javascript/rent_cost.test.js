import assert from 'node:assert/strict';
import test from 'node:test';

import { rentTime } from '../../javascript/tab/elsewhere/rent_cost.js';

const OFFER = { name: 'A40', minutes: 30, pace: { seconds: 1.5, run: '001' } };
const PREPARING = { minutes: 8, known: true };

test('pictures are spoken of only where some are painted during the training', () => {
  for (const run of ['001', '']) {
    const offer = { ...OFFER, pace: { ...OFFER.pace, run } };
    const said = (pictures) => rentTime({ steps: 1000, pictures, preparing: PREPARING }, offer);
    assert.match(said(true), /^1,000 steps, with the pictures .* on the A40/);
    assert.match(said(false), /^1,000 steps take about 30 min on the A40/);
    for (const pictures of [true, false]) assert.match(said(pictures), run ? /your run 001/ : /as Measure found/);
  }
});
