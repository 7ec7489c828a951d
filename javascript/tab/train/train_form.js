/** What a new training needs: base model, where, preset, all settings, and the button. */

import { pageRoot } from '../base/app.js';
import { chosenCharacter, goTo, openJob } from '../base/choice.js';
import { el } from '../base/dom.js';
import { baseLicence } from '../library/base_licence.js';
import { isRented } from '../elsewhere/other_places.js';
import { rentForm } from '../elsewhere/rent_form.js';
import { sentList } from '../elsewhere/sent_list.js';
import { startJob } from '../jobs/jobs.js';
import { refuseForm, sendForm } from '../widgets/faults.js';
import { checkbox, radioGroup } from '../widgets/form_parts.js';
import { settingsForm } from '../widgets/settings_form.js';
import { actionButton, foldSection, formField, selectBox } from '../widgets/widgets.js';
import { onlyWhenAsked } from './only_when_asked.js';
import { addressOf, askedFor, choose, chooseOn, common, loadBases, onOf, planned, take } from './train_choice.js';
import { trainCost } from './train_cost.js';
import { show, showStart } from './train_shown.js';

const ADDRESS =
  'If the other machine can fetch your base model from the internet by itself: the address of the file, which is ' +
  'compared with yours. Leave it empty to send it from here.';
/**
 * @returns `update()` after each new state,
 *   `again()` when somebody else has changed what is kept as chosen for this character,
 *   `shown()` when it is turned to: base models may have come meanwhile; `hidden()` when it is left; `setMain(yes)`:
 *   whether its button is the one that comes next.
 */
export function trainForm() {
  /** @type {Partial<TrainFormState>} */
  const begunForm = {
    slug: '',
    bases: null,
    places: [],
    runpod: null,
    plan: null,
    planOf: '',
    wanted: { base: '', preset: null, settings: {} },
  };
  const form = /** @type {TrainFormState} */ (begunForm);
  Object.assign(form, { error: '', on: false, show: () => show(form) });
  form.view = draw(form);
  return {
    node: form.view.node,
    update: () => update(form),
    again: () => take(form, form.slug),
    shown: () => turned(form, true),
    hidden: () => turned(form, false),
    setMain: (/** @type {boolean} */ yes) => form.view.start.setMain(yes),
    focus: () => form.view.base.focus(),
  };
}

/**
 * @param {TrainFormState} form
 * @param {boolean} on
 */
function turned(form, on) {
  form.on = on;
  clearTimeout(form.later);
  form.view.licence.again(); // it may have been looked up meanwhile
  if (on && form.slug) loadBases(form, true);
}

/** @param {TrainFormState} form */
function draw(form) {
  const base = selectBox([], '', (path) => choose(form, { base: path, preset: null, settings: {}, address: '' }));
  const on = selectBox([], '', (place) => chooseOn(form, place));
  const where = formField('Where to train', on);
  const sent = el('p', { class: 'sf-help' });
  const list = sentList(() => ({ slug: form.slug, asked: askedFor(form), rented: isRented(onOf(form), form.runpod) }));
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
  const starters = actionButton('Download one in the Library', () => goTo({ step: 'library' }));
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
  return {
    node,
    base,
    on,
    where,
    rent,
    sent,
    address,
    fetched,
    list,
    preset,
    fitted,
    then,
    few,
    unusable,
    starters,
    licence,
    asked,
    settings,
    fold,
    cost,
    start,
    later,
  };
}

/** @param {TrainFormState} form */
async function begin(form) {
  const { base, few: box } = form.view;
  const few = box.input.checked;
  refuseForm(box.hidden || few ? [] : [{ target: box.input, text: 'Check this box, or add photos first.' }]);
  const on = onOf(form);
  const rents = isRented(on, form.runpod);
  if (rents) form.view.rent.check();
  const rented = rents ? { rental: form.view.rent.rental() } : {};
  const values = { ...common(form), few, then_test: form.view.then.input.checked, on, ...rented };
  const elsewhere = addressOf(form) ? { base_address: addressOf(form) } : {};
  await sendForm({ base, base_address: form.view.address }, () =>
    startJob('train', { ...values, ...elsewhere }, 'The training begins.'),
  );
  pageRoot().querySelector('.sf-panel-train')?.scrollIntoView({ block: 'nearest' });
}

/** @param {TrainFormState} form */
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
