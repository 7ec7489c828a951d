/** What a new training needs: base model, where, preset, all settings, and the button. */

import * as api from '../base/api.js';
import { app, visible } from '../base/app.js';
import { chosenCharacter, goTo, openJob } from '../base/choice.js';
import { el, setText } from '../base/dom.js';
import { readStored, writeStored } from '../base/stored.js';
import { t } from '../base/texts.js';
import { baseLicence } from '../library/base_licence.js';
import { RENTED, loadPlaces } from '../elsewhere/other_places.js';
import { rentForm } from '../elsewhere/rent_form.js';
import { sentList } from '../elsewhere/sent_list.js';
import { beginsWhen, startJob } from '../jobs/jobs.js';
import { refuseForm, sendForm } from '../widgets/faults.js';
import { checkbox, radioGroup } from '../widgets/form_parts.js';
import { settingsForm } from '../widgets/settings_form.js';
import { actionButton, foldSection, formField, selectBox } from '../widgets/widgets.js';
import { onlyWhenAsked } from './only_when_asked.js';
import { trainCost } from './train_cost.js';

const ADDRESS =
  'If the other machine can fetch your base model from the internet by itself: the address of the file, which is ' +
  'compared with yours. Leave it empty to send it from here.';
const ADD = 'add'; // leads to where machines are added
const AGAIN = 5000; // milliseconds after a failure
const LOOKS = 1000; // milliseconds between two questions while base models are looked at
const PATIENCE = 350; // milliseconds after the last key until the estimate is asked for

/**
 * @returns {{node, update, again, shown, hidden, setMain, focus}} `update()` after each new state,
 *   `again()` when somebody else has changed what is kept as chosen for this character,
 *   `shown()` when it is turned to: base models may have come meanwhile; `hidden()` when it is left; `setMain(yes)`:
 *   whether its button is the one that comes next.
 */
export function trainForm() {
  const form = { slug: '', bases: null, places: [], runpod: null, plan: null, planOf: '', wanted: {} };
  Object.assign(form, { error: '', on: false });
  form.view = draw(form);
  return {
    node: form.view.node,
    update: () => update(form),
    again: () => take(form, form.slug),
    shown: () => turned(form, true),
    hidden: () => turned(form, false),
    setMain: (yes) => form.view.start.setMain(yes),
    focus: () => form.view.base.focus(),
  };
}

function turned(form, on) {
  form.on = on;
  clearTimeout(form.later);
  form.view.licence.again(); // it may have been looked up meanwhile
  if (on && form.slug) loadBases(form, true);
}

function draw(form) {
  const base = selectBox([], '', (path) => choose(form, { base: path, preset: null, settings: {}, address: '' }));
  const on = selectBox([], '', (place) => chooseOn(form, place));
  const where = formField('Where to train', on);
  const sent = el('p', { class: 'sf-help' });
  const list = sentList(() => ({ slug: form.slug, asked: askedFor(form), rented: onOf(form) === RENTED }));
  const address = el('input', { class: 'sf-input', type: 'url', autocomplete: 'off', spellcheck: false });
  address.addEventListener('change', () => choose(form, { address: address.value.trim() }, true));
  const fetched = formField('Address of the base model', address, ADDRESS);
  const rent = rentForm(
    (rental) => choose(form, { rental }, true),
    () => showStart(form),
  );
  const preset = radioGroup('Preset', [], '', (name) => choose(form, { preset: name, settings: {} }));
  const fitted = el('p', { class: 'sf-help' });
  const unusable = el('p', { class: 'sf-help' });
  const licence = baseLicence();
  const starters = actionButton('Fetch one in the Library', () => goTo({ step: 'library' }));
  const asked = onlyWhenAsked((settings) => {
    choose(form, { settings });
    show(form);
  });
  const then = checkbox('Paint and judge the test grid afterwards', true, (yes) =>
    choose(form, { then_test: yes }, true),
  );
  const few = checkbox('Train with few photos anyway', false, null, 'The likeness will be weak; good for a first try.');
  const settings = settingsForm((changes) => choose(form, { settings: changes }));
  const fold = foldSection('All settings', settings);
  const cost = trainCost(
    () => (planned(form) ? { slug: form.slug, values: common(form), on: onOf(form) } : null),
    () => show(form),
  );
  const start = actionButton('Start training', () => begin(form), { main: true });
  start.classList.add('sf-big');
  const later = el('p', { class: 'sf-help' });
  const left = el(
    'div',
    { class: 'sf-stack' },
    formField('Base model', base),
    unusable,
    starters,
    licence,
    where,
    rent.node,
    sent,
    fetched,
    list,
    fitted,
    preset,
    asked,
    then,
  );
  const right = el('div', { class: 'sf-stack' }, cost.node, rent.cost, few, start, later);
  const node = el('div', { class: 'sf-train-form' }, el('div', { class: 'sf-halves' }, left, right), fold);
  const parts = { node, base, on, where, rent, sent, address, fetched, list, preset, fitted, then, few };
  Object.assign(parts, { unusable, starters, licence, asked });
  return { ...parts, settings, fold, cost, start, later };
}

// What is chosen

function choose(form, to, quiet) {
  Object.assign(form.wanted, to);
  writeStored(`train-${form.slug}`, form.wanted);
  if (quiet) return;
  clearTimeout(form.timer);
  if ('base' in to || 'preset' in to) loadPlan(form);
  else form.timer = setTimeout(form.view.cost.load, PATIENCE);
}

function chooseOn(form, on) {
  if (on === ADD) {
    show(form); // the choice stays what it was
    return goTo({ step: 'doctor' });
  }
  choose(form, { on }, true);
  form.view.cost.forget(); // it was another machine's
  show(form);
  return form.view.cost.load();
}

function take(form, slug) {
  form.slug = slug;
  form.wanted = { base: '', preset: null, settings: {}, ...readStored(`train-${slug}`, {}) };
  Object.assign(form, { plan: null, planOf: '', error: '' });
  form.view.cost.forget(); // it was another character's
  clearTimeout(form.timer);
  form.view.few.input.checked = false;
  if (form.bases) settle(form, true);
  else loadBases(form, true);
}

/** What a plan is for. */
function keyOf(form) {
  return JSON.stringify([form.slug, form.wanted.base, form.wanted.preset]);
}

/** Whether the plan is that of what is chosen; until then nothing is started. */
function planned(form) {
  return Boolean(form.plan) && form.planOf === keyOf(form);
}

async function loadBases(form, anew) {
  clearTimeout(form.later);
  try {
    const [bases, settings, { places: others, runpod }] = await Promise.all([
      api.get('/bases'),
      api.get('/settings'),
      loadPlaces([]),
    ]);
    const rents = runpod && runpod.available;
    const rented = { on: RENTED, title: t('RunPod (a rented GPU)'), text: '', sent: rents && runpod.sent };
    Object.assign(form, { bases, runpod, places: rents ? [...others, rented] : others });
    app.usualTest = settings.then_test !== false;
    form.error = '';
    settle(form, anew);
    askAgain(form, LOOKS);
  } catch (error) {
    form.error = error.message;
    show(form);
    askAgain(form, AGAIN);
  }
}

/** While the list of base models is not whole and somebody looks, ask for it again. */
function askAgain(form, pause) {
  clearTimeout(form.later);
  if (!form.on || (form.bases && !form.bases.some((one) => one.pending))) return;
  form.later = setTimeout(() => (visible() ? loadBases(form, false) : askAgain(form, pause)), pause);
}

/** Choose a base that can be trained on: the last choice, else the webui's current one, else the first. */
function settle(form, anew) {
  if (undecided(form)) return show(form);
  const usable = form.bases.filter((one) => one.usable);
  const chosen = usable.find((one) => one.path === form.wanted.base) || usable.find((one) => one.current) || usable[0];
  if (chosen && chosen.path !== form.wanted.base)
    Object.assign(form.wanted, { base: chosen.path, preset: null, settings: {} });
  show(form);
  if (chosen && (anew || form.asking !== keyOf(form))) loadPlan(form);
}

/** Whether the base that would be chosen is still being looked at: then it keeps its place, and its settings. */
function undecided(form) {
  const { base } = form.wanted;
  const wanted = form.bases.find((one) => (base ? one.path === base : one.current));
  return Boolean(wanted && wanted.pending);
}

async function loadPlan(form) {
  const { slug } = form;
  const { base, preset } = form.wanted;
  const key = (form.asking = keyOf(form));
  form.view.cost.cancel(); // it is of what was chosen before
  if (!planned(form)) {
    form.view.cost.forget();
    show(form);
  }
  const query = new URLSearchParams({ base, character: slug, ...(preset ? { preset } : {}) });
  try {
    const plan = await api.get(`/plan?${query}`);
    if (key !== keyOf(form)) return;
    Object.assign(form, { plan, planOf: key, planBase: base, error: '' });
  } catch (error) {
    if (key !== keyOf(form)) return;
    Object.assign(form, { plan: null, planOf: '', error: error.message });
  }
  show(form);
  form.view.cost.load();
}

/** The other machine that is chosen; undefined = this one. */
function placeOf(form) {
  return form.places.find((one) => one.on === form.wanted.on);
}

/** Where it is trained, as a job names it. */
function onOf(form) {
  return placeOf(form)?.on || 'local';
}

/** From where the other machine fetches the base model by itself; empty = it is sent. */
function addressOf(form) {
  return placeOf(form) ? form.view.address.value.trim() : '';
}

/** The body of the request for the list of what is sent; null where it is not known yet. */
function askedFor(form) {
  return planned(form) ? { ...common(form), on: onOf(form), base_address: addressOf(form) } : null;
}

/** The arguments that the estimate, a measurement and the training have in common. */
function common(form) {
  const { base, preset, settings } = form.wanted;
  const fitted = form.plan && !placeOf(form) && form.plan.fitted_settings; // what makes it fit this GPU
  return { base, preset, settings: { ...fitted, ...settings } }; // of a setting given twice the last counts
}

// Doing

async function begin(form) {
  const { base, few: box } = form.view;
  const few = box.input.checked;
  refuseForm(box.hidden || few ? [] : [{ target: box.input, text: 'Check this box, or add photos first.' }]);
  const on = onOf(form);
  if (on === RENTED) form.view.rent.check();
  const rented = on === RENTED ? { rental: form.view.rent.rental() } : {};
  const values = { ...common(form), few, then_test: form.view.then.input.checked, on, ...rented };
  const elsewhere = addressOf(form) ? { base_address: addressOf(form) } : {};
  await sendForm({ base, base_address: form.view.address }, () =>
    startJob('train', { ...values, ...elsewhere }, 'The training begins.'),
  );
  app.mount.querySelector('.sf-panel-train').scrollIntoView({ block: 'nearest' });
}

// Showing

function update(form) {
  const character = chosenCharacter();
  if (!character) return;
  const marked = JSON.stringify([character.photos.used, character.photos.count, Boolean(openJob('fill'))]);
  if (form.slug !== character.slug) {
    form.marked = marked;
    take(form, character.slug);
  } else if (form.marked !== marked) {
    form.marked = marked;
    form.view.cost.load();
  }
  form.view.cost.update();
  show(form);
}

function show(form) {
  const { view, wanted, plan } = form;
  const ready = planned(form);
  const estimate = view.cost.estimate();
  showBases(form);
  showPlaces(form);
  view.then.input.checked = wanted.then_test ?? app.usualTest ?? true;
  const presets = plan ? plan.presets.map((one) => ({ value: one.name, text: one.name, help: one.text })) : [];
  view.preset.setChoices(presets);
  view.preset.hidden = presets.length < 2;
  view.preset.disabled = Boolean(plan) && form.planBase !== wanted.base; // they are another base model's
  if (plan) view.preset.chosen = wanted.preset || plan.preset;
  setText(view.fitted, plan ? plan.fitted : '');
  view.fold.hidden = !plan;
  view.settings.inert = !ready; // until then they are those of another base model or preset
  if (ready) view.settings.refused(estimate && estimate.field, estimate && estimate.wrong);
  if (ready) view.settings.set({ fields: plan.fields, settings: plan.settings, changes: wanted.settings });
  view.asked.hidden = !plan;
  if (plan)
    view.asked.set({
      settings: plan.settings,
      changes: wanted.settings,
      wanted: plan.only_when_asked,
      photos: estimate?.photos,
      captioned: estimate?.captioned,
    });
  const place = placeOf(form);
  view.cost.set({ elsewhere: Boolean(place), rented: onOf(form) === RENTED, ready });
  showStart(form);
}

function showBases(form) {
  const { view, bases, wanted } = form;
  const now = (one) => (one.current && app.state.host.name !== 'alone' ? ` (${t('selected in the webui')})` : '');
  const text = (one) => (one.usable ? one.title + now(one) : `${one.title}: ${one.why}`);
  const choices = (bases || []).map((one) => ({ value: one.path, text: text(one) }));
  view.base.setChoices(choices, wanted.base);
  [...view.base.options].forEach((option, place) => (option.disabled = !bases[place].usable));
  const looking = !bases || undecided(form);
  const none = bases && !bases.some((one) => one.usable || one.pending);
  const said = none
    ? t('No checkpoint here can be trained on: put one of Stable Diffusion 1.x, 2.x or XL into the models folder.')
    : '';
  setText(view.unusable, form.error || said || (looking ? t('Looking for base models …') : ''));
  view.unusable.hidden = !view.unusable.textContent;
  view.starters.hidden = !none;
  view.licence.show(wanted.base);
}

/** Where it trains; nothing else than this computer is offered to those who come from another one. */
function showPlaces(form) {
  const { view, places, wanted } = form;
  const place = placeOf(form);
  const others = places.map((one) => ({ value: one.on, text: one.title }));
  const here = { value: 'local', text: t('This computer') };
  const more = { value: ADD, text: t('Add a machine …') };
  view.on.setChoices([here, ...others, more], place ? place.on : 'local');
  view.where.hidden = app.state.host.remote;
  const rents = Boolean(place) && place.on === RENTED;
  setText(view.sent, place ? [place.text && `${place.text}.`, place.sent].filter(Boolean).join(' ') : '');
  view.sent.hidden = !place;
  view.list.hidden = view.fetched.hidden = !place;
  if (document.activeElement !== view.address) view.address.value = wanted.address || '';
  const asked = planned(form) ? common(form) : null;
  view.rent.set({ account: form.runpod, shown: rents, slug: form.slug, asked, rental: form.wanted.rental });
  if (place) view.list.update();
  view.fitted.hidden = Boolean(place); // it is said of this computer's GPU
}

function showStart(form) {
  const { view, wanted } = form;
  const estimate = view.cost.estimate();
  const character = chosenCharacter();
  const later = placeOf(form) ? '' : beginsWhen(null);
  const sum = estimate && !estimate.wrong ? estimate.photos : character.photos.used;
  view.few.hidden = sum >= app.state.limits.photos || !sum;
  const keyless = placeOf(form)?.on === RENTED && !view.rent.ready();
  view.start.disabled = !wanted.base || !planned(form) || Boolean(estimate && estimate.wrong) || !sum || keyless;
  setText(view.start.firstChild, t(later ? 'Add to the queue' : 'Start training'));
  const lacks = keyless ? t('RunPod’s API key is missing.') : later;
  setText(view.later, sum ? lacks : t('There are no photos yet.'));
  view.later.hidden = !view.later.textContent;
}
