/** What the buttons of a verdict's advice do. */

import * as api from '../base/api.js';
import { app } from '../base/app.js';
import { goTo } from '../base/choice.js';
import { readStored, writeStored } from '../base/stored.js';
import { t } from '../base/texts.js';
import { startJob } from '../jobs/jobs.js';
import { baseGone, knownRuns, thenTest } from '../jobs/runs.js';

/**
 * Do what a button says; `form` paints.
 * @param {AdviceAction} button
 * @param {TestForm} form
 */
export async function actOn(button, form) {
  const values = button.arguments || {};
  if (button.do === 'add_photos') return goTo({ step: 'photos' });
  if (button.do === 'use') {
    app.wantedCell = { slug: app.slug, ...values };
    return goTo({ step: 'use' });
  }
  if (button.do === 'train_more') {
    possible(values.run);
    const usual = { then_test: await thenTest() };
    await startJob('train', { ...usual, ...values }, 'The training continues.');
    return goTo({ step: 'train' });
  }
  if (button.do === 'train_again') return trainAgain(values);
  possible(values.run);
  if (button.do === 'choose') return startJob('choose', { ...form.by(), ...values });
  if (button.do === 'test') return startJob('test', { ...form.common(), ...values });
  throw new Error(t('This page is older than the webui; reload it.'));
}

/**
 * Lay a run's settings, but for some, into the form of a new training, where its costs are seen before it begins.
 * @param {AdviceAction['arguments']} given
 */
async function trainAgain({ run, settings }) {
  const { slug } = app;
  const { base_path: path, preset, asked } = await api.get(`/characters/${slug}/runs/${run}`);
  const bases = (await api.get('/bases')).map((one) => one.path);
  const nameOf = (/** @type {string} */ file) => file.split(/[\\/]/).pop();
  const base = bases.find((one) => one === path) || bases.find((one) => nameOf(one) === nameOf(path));
  if (!base)
    throw new Error(
      t('{file}, the base model of run {run}, is not in the list of the step Train.', { file: path, run }),
    );
  const kept = readStored(`train-${slug}`, {});
  writeStored(`train-${slug}`, { ...kept, base, preset, settings: { ...asked, ...settings } });
  app.trainingLaidOut = slug;
  return goTo({ step: 'train' });
}

/**
 * Refuse what needs a base model that is gone.
 * @param {string | undefined} id
 */
function possible(id) {
  const gone = baseGone((knownRuns() || []).find((run) => run.id === id));
  if (gone) throw new Error(gone);
}
