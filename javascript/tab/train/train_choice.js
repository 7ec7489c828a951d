/** What is chosen for a new training, and what is asked of the server for that: base models, places, the plan. */

import * as api from '../base/api.js';
import { app, visible } from '../base/app.js';
import { goTo } from '../base/choice.js';
import { asError } from '../base/page_error.js';
import { readStored, writeStored } from '../base/stored.js';
import { t } from '../base/texts.js';
import { loadPlaces } from '../elsewhere/other_places.js';

export const ADD = 'add'; // leads to where machines are added
const AGAIN = 5000; // milliseconds after a failure
const LOOKS = 1000; // milliseconds between two questions while base models are looked at
const PATIENCE = 350; // milliseconds after the last key until the estimate is asked for

/**
 * @param {TrainFormState} form
 * @param {Partial<TrainWish>} to
 * @param {boolean} [quiet]
 */
export function choose(form, to, quiet = false) {
  Object.assign(form.wanted, to);
  writeStored(`train-${form.slug}`, form.wanted);
  if (quiet) return;
  clearTimeout(form.timer);
  if ('base' in to || 'preset' in to) loadPlan(form);
  else form.timer = setTimeout(form.view.cost.load, PATIENCE);
}

/**
 * @param {TrainFormState} form
 * @param {string} on
 */
export function chooseOn(form, on) {
  if (on === ADD) {
    form.show(); // the choice stays what it was
    return goTo({ step: 'doctor' });
  }
  choose(form, { on }, true);
  form.view.cost.forget(); // it was another machine's
  form.show();
  return form.view.cost.load();
}

/**
 * @param {TrainFormState} form
 * @param {string} slug
 */
export function take(form, slug) {
  form.slug = slug;
  form.wanted = { base: '', preset: null, settings: {}, ...readStored(`train-${slug}`, {}) };
  Object.assign(form, { plan: null, planOf: '', error: '' });
  form.view.cost.forget(); // it was another character's
  clearTimeout(form.timer);
  form.view.few.input.checked = false;
  if (form.bases) settle(form, true);
  else loadBases(form, true);
}

/**
 * What a plan is for.
 * @param {TrainFormState} form
 */
function keyOf(form) {
  return JSON.stringify([form.slug, form.wanted.base, form.wanted.preset]);
}

/**
 * Whether the plan is that of what is chosen; until then nothing is started.
 * @param {TrainFormState} form
 */
export function planned(form) {
  return Boolean(form.plan) && form.planOf === keyOf(form);
}

/**
 * @param {TrainFormState} form
 * @param {boolean} anew
 */
export async function loadBases(form, anew) {
  clearTimeout(form.later);
  try {
    const [bases, settings, { places: others, runpod }] = await Promise.all([
      api.get('/bases'),
      api.get('/settings'),
      loadPlaces([]),
    ]);
    const rents = runpod && runpod.available;
    const rented = { on: runpod?.on ?? '', title: t('RunPod (a rented GPU)'), text: '', sent: rents && runpod.sent };
    Object.assign(form, { bases, runpod, places: rents ? [...others, rented] : others });
    app.usualTest = settings.then_test !== false;
    form.error = '';
    settle(form, anew);
    askAgain(form, LOOKS);
  } catch (error) {
    form.error = asError(error).message;
    form.show();
    askAgain(form, AGAIN);
  }
}

/**
 * While the list of base models is not whole and somebody looks, ask for it again.
 * @param {TrainFormState} form
 * @param {number} pause
 */
function askAgain(form, pause) {
  clearTimeout(form.later);
  if (!form.on || (form.bases && !form.bases.some((one) => one.pending))) return;
  form.later = setTimeout(() => (visible() ? loadBases(form, false) : askAgain(form, pause)), pause);
}

/**
 * Choose a base that can be trained on: the last choice, else the webui's current one, else the first.
 * @param {TrainFormState} form
 * @param {boolean} anew
 */
function settle(form, anew) {
  if (undecided(form)) return form.show();
  const usable = (form.bases ?? []).filter((one) => one.usable);
  const chosen = usable.find((one) => one.path === form.wanted.base) || usable.find((one) => one.current) || usable[0];
  if (chosen && chosen.path !== form.wanted.base)
    Object.assign(form.wanted, { base: chosen.path, preset: null, settings: {} });
  form.show();
  if (chosen && (anew || form.asking !== keyOf(form))) loadPlan(form);
}

/**
 * Whether the base that would be chosen is still being looked at: then it keeps its place, and its settings.
 * @param {TrainFormState} form
 */
export function undecided(form) {
  const { base } = form.wanted;
  const wanted = form.bases?.find((one) => (base ? one.path === base : one.current));
  return Boolean(wanted && wanted.pending);
}

/** @param {TrainFormState} form */
async function loadPlan(form) {
  const { slug } = form;
  const { base, preset } = form.wanted;
  const key = (form.asking = keyOf(form));
  form.view.cost.cancel(); // it is of what was chosen before
  if (!planned(form)) {
    form.view.cost.forget();
    form.show();
  }
  const query = new URLSearchParams({ base, character: slug, ...(preset ? { preset } : {}) });
  try {
    const plan = await api.get(`/plan?${query}`);
    if (key !== keyOf(form)) return;
    Object.assign(form, { plan, planOf: key, planBase: base, error: '' });
  } catch (error) {
    if (key !== keyOf(form)) return;
    Object.assign(form, { plan: null, planOf: '', error: asError(error).message });
  }
  form.show();
  form.view.cost.load();
}

/**
 * The other machine that is chosen; undefined = this one.
 * @param {TrainFormState} form
 */
export function placeOf(form) {
  return form.places.find((one) => one.on === form.wanted.on);
}

/**
 * Where it is trained, as a job names it.
 * @param {TrainFormState} form
 */
export function onOf(form) {
  return placeOf(form)?.on || 'local';
}

/**
 * From where the other machine fetches the base model by itself; empty = it is sent.
 * @param {TrainFormState} form
 */
export function addressOf(form) {
  return placeOf(form) ? form.view.address.value.trim() : '';
}

/**
 * The body of the request for the list of what is sent; null where it is not known yet.
 * @param {TrainFormState} form
 */
export function askedFor(form) {
  return planned(form) ? { ...common(form), on: onOf(form), base_address: addressOf(form) } : null;
}

/**
 * The arguments that the estimate, a measurement and the training have in common.
 * @param {TrainFormState} form
 */
export function common(form) {
  const { base, preset, settings } = form.wanted;
  const fitted = form.plan && !placeOf(form) && form.plan.fitted_settings; // what makes it fit this GPU
  return { base, preset, settings: { ...fitted, ...settings } }; // of a setting given twice the last counts
}
