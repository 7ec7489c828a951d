/** How the form of a new training shows what is chosen. */

import { app, pageState } from '../base/app.js';
import { chosenCharacter } from '../base/choice.js';
import { setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { isRented } from '../elsewhere/other_places.js';
import { beginsWhen } from '../jobs/jobs.js';
import { ADD, common, onOf, placeOf, planned, undecided } from './train_choice.js';

/**
 * Show what is chosen, and what is known of it.
 * @param {TrainFormState} form
 */
export function show(form) {
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
  if (ready) view.settings.refused(estimate?.field, estimate?.wrong);
  if (ready && plan) view.settings.set({ fields: plan.fields, settings: plan.settings, changes: wanted.settings });
  view.asked.hidden = !plan;
  if (plan)
    view.asked.set({
      settings: plan.settings,
      changes: wanted.settings,
      wanted: plan.only_when_asked,
      photos: estimate?.own,
      captioned: estimate?.captioned,
    });
  const place = placeOf(form);
  view.cost.set({ elsewhere: Boolean(place), rented: isRented(onOf(form), form.runpod), ready });
  showStart(form);
}

/** @param {TrainFormState} form */
function showBases(form) {
  const { view, bases, wanted } = form;
  const now = (/** @type {BaseModel} */ one) =>
    one.current && pageState().host.name !== 'alone' ? ` (${t('selected in the webui')})` : '';
  const text = (/** @type {BaseModel} */ one) => (one.usable ? one.title + now(one) : `${one.title}: ${one.why}`);
  const choices = (bases || []).map((one) => ({ value: one.path, text: text(one) }));
  view.base.setChoices(choices, wanted.base);
  [...view.base.options].forEach((option, place) => (option.disabled = !bases?.[place].usable));
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

/**
 * Where it trains; nothing else than this computer is offered to those who come from another one.
 * @param {TrainFormState} form
 */
function showPlaces(form) {
  const { view, places, wanted } = form;
  const place = placeOf(form);
  const others = places.map((one) => ({ value: one.on, text: one.title }));
  const here = { value: 'local', text: t('This computer') };
  const more = { value: ADD, text: t('Add a machine …') };
  view.on.setChoices([here, ...others, more], place ? place.on : 'local');
  view.where.hidden = pageState().host.remote;
  const rents = isRented(place?.on, form.runpod);
  setText(view.sent, place ? [place.text && `${place.text}.`, place.sent].filter(Boolean).join(' ') : '');
  view.sent.hidden = !place;
  view.list.hidden = view.fetched.hidden = !place;
  if (document.activeElement !== view.address) view.address.value = wanted.address || '';
  const asked = planned(form) ? common(form) : null;
  view.rent.set({ account: form.runpod, shown: rents, slug: form.slug, asked, rental: form.wanted.rental });
  if (place) view.list.update();
  view.fitted.hidden = Boolean(place); // it is said of this computer's GPU
}

/**
 * Whether it can be started, and what the button says.
 * @param {TrainFormState} form
 */
export function showStart(form) {
  const { view, wanted } = form;
  const estimate = view.cost.estimate();
  const character = chosenCharacter();
  const later = placeOf(form) ? '' : beginsWhen(null);
  const sum = (estimate && !estimate.wrong ? estimate.fewest : character?.photos.used) ?? 0;
  view.few.hidden = sum >= pageState().limits.photos || !sum;
  const keyless = isRented(placeOf(form)?.on, form.runpod) && !view.rent.ready();
  view.start.disabled = !wanted.base || !planned(form) || Boolean(estimate && estimate.wrong) || !sum || keyless;
  setText(view.start.firstChild, t(later ? 'Add to the queue' : 'Start training'));
  const lacks = keyless ? t('RunPod’s API key is missing.') : later;
  setText(view.later, sum ? lacks : t('There are no photos yet.'));
  view.later.hidden = !view.later.textContent;
}
