/** What may be rented at RunPod, to train or to paint: the key, the GPUs that can be had now, and the limits. */

import * as api from '../base/api.js';
import { el, fillWith, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { asError } from '../base/page_error.js';
import { t } from '../base/texts.js';
import { numberFault, refuseForm } from '../widgets/faults.js';
import { actionButton, formField, keyedList, notice } from '../widgets/widgets.js';
import { RUNPOD, keyField } from './key_field.js';
import { livingPods } from './living_pods.js';
import { rentCost } from './rent_cost.js';
import { forTraining } from './rent_words.js';

const PATIENCE = 500; // milliseconds after the last key until RunPod is asked
const REGIONS = [
  { value: '', text: 'Anywhere' },
  { value: 'EU', text: 'In Europe' },
  { value: 'US', text: 'In the USA' },
];

/**
 * @param {(rental: RentalWish) => void} changed is called when the user has changed what may be rented.
 * @param {() => void} settled is called when a key was kept or forgotten, or RunPod has answered.
 * @param {RentWords} [words] what differs between a training (`forTraining`), one that goes on (`forGoingOn`) and pictures
 *   (`forPainting`).
 * @returns `set({account, shown, slug, asked, rental})`: what RunPod's account
 *   is, whether this is chosen, for whose training, the body of the request (null = not known yet); `rental()`: what a
 *   job is given; `check()` refuses what is wrong; `ready()`: whether there is a key, and where a run goes on, whether
 *   something can be had within its limits, or others are written.
 */
export function rentForm(changed, settled, words = forTraining) {
  const form = /** @type {RentFormState} */ ({
    account: null,
    limits: null,
    words,
    settled,
    shown: false,
    slug: '',
    asked: null,
    rental: {},
    quote: null,
    error: '',
    key: '',
    run: 0,
  });
  const hours = el('input', { class: 'sf-input', type: 'number', step: 'any' });
  const cap = el('input', { class: 'sf-input', type: 'number', step: 'any' });
  const capField = formField('Maximum cost', cap);
  const region = el('select', { class: 'sf-input sf-select' });
  fillWith(
    region,
    REGIONS.map((one) => el('option', { value: one.value, text: t(one.text) })),
  );
  const key = keyField((where) => {
    if (form.account) form.account = { ...form.account, kept_in: where };
    form.key = '';
    pods.update();
    show(form);
    ask(form);
    settled();
  }, RUNPOD);
  const pods = livingPods();
  const list = el('div', { class: 'sf-offers', role: 'group', aria: { label: t('GPUs that RunPod offers now') } });
  const said = el('p', { class: 'sf-help', role: 'status' });
  const need = el('p', { class: 'sf-help' });
  const time = el('p', { class: 'sf-help' });
  const again = actionButton('Ask RunPod again', () => ask(form, true), { small: true });
  const mostWords = el('span', {});
  const most = notice('none', mostWords);
  const limits = el(
    'div',
    { class: 'sf-three' },
    formField('Maximum hours', hours),
    capField,
    formField('Where', region),
  );
  const choice = el(
    'div',
    { class: 'sf-stack' },
    need,
    list,
    el('div', { class: 'sf-row' }, again, said),
    limits,
    words.limits ? el('p', { class: 'sf-help', text: t(words.limits) }) : null,
    time,
    most,
  );
  form.view = {
    key,
    pods,
    list,
    said,
    need,
    time,
    again,
    most,
    mostWords,
    hours,
    cap,
    capField,
    region,
    choice,
    cost: rentCost(),
  };
  form.node = el('div', { class: 'sf-card' }, pods, key, choice);
  form.choose = (to) => {
    form.rental = { ...form.rental, ...to };
    changed(form.rental);
    show(form);
    clearTimeout(form.timer);
    form.timer = setTimeout(() => ask(form), PATIENCE);
  };
  hours.addEventListener(
    'input',
    () => hours.checkValidity() && hours.value && form.choose({ hours: Number(hours.value) }),
  );
  cap.addEventListener('input', () => cap.checkValidity() && cap.value && form.choose({ cap: inUsd(form, cap.value) }));
  region.addEventListener('change', () => form.choose({ regions: region.value ? [region.value] : [] }));
  return {
    node: form.node,
    cost: form.view.cost,
    set: (/** @type {RentAsked} */ to) => set(form, to),
    rental: () => rental(form),
    check: () => refuseForm([numberFault(hours, true), numberFault(cap, true)]),
    ready: () => ready(form),
  };
}

/**
 * @param {RentFormState} form
 * @param {string} text
 */
function inUsd(form, text) {
  return Math.round((Number(text) / (form.account?.per_usd ?? 1)) * 1e4) / 1e4;
}

/**
 * What a job is given; what the user has not written is as usual, or where a run goes on, as its own limits are.
 * @param {RentFormState} form
 * @param {RentalWish} [given]
 */
function rental(form, given = form.rental) {
  const { hours, cap } = (form.words.own ? form.limits : form.account) || {};
  return { gpus: [], hours, cap, regions: [], ...given, ...form.words.further(given) };
}

/** @param {RentFormState} form */
function ready(form) {
  if (!form.account || !form.account.kept_in) return false;
  if (!form.words.own) return true;
  const { hours, cap, anew } = rental(form);
  return Boolean(hours && cap && (form.quote || anew));
}

/**
 * @param {RentFormState} form
 * @param {RentAsked} given
 */
function set(form, { account, shown, slug, asked, rental: kept }) {
  const first = shown && !form.shown;
  const of = JSON.stringify([slug, asked && asked.run]);
  const gone = first && form.words.own; // a pod that was rented meanwhile has used some of the run's limits
  if (of !== form.of || gone) Object.assign(form, { of, quote: null, key: '', error: '', limits: null });
  Object.assign(form, { shown, slug, asked, rental: kept || {} });
  if (account && account !== form.given) Object.assign(form, { given: account, account: { ...account } });
  if (first) form.view.pods.update();
  show(form);
  ask(form);
}

/**
 * Ask RunPod what it offers; once for each question, unless the user asks again.
 * @param {RentFormState} form
 * @param {boolean} [anew]
 */
async function ask(form, anew) {
  if (!form.shown || !form.asked || !form.account || !form.account.kept_in) return;
  const { path, body: asked } = form.words.request(form.slug, form.asked);
  const known = !form.words.own || Boolean(form.limits);
  // what is written gives limits anew, and is not all of them before the run's own are known
  const given = known ? form.rental : { ...form.rental, hours: undefined, cap: undefined };
  const body = { ...asked, rental: rental(form, given) };
  const key = JSON.stringify([path, asked, given]);
  if (key === form.key && !anew) return;
  form.key = key;
  form.run += 1;
  const { run } = form;
  setText(form.view.said, t('Asking RunPod …'));
  try {
    const quote = /** @type {RentQuote} */ (await api.post(path, /** @type {BodyOf<typeof path>} */ (body)));
    if (run !== form.run) return;
    const { limits, refused } = quote;
    Object.assign(form, { quote: refused ? null : quote, error: refused ? refused.text : '' });
    form.limits = limits || form.limits;
  } catch (error) {
    if (run !== form.run) return;
    Object.assign(form, { quote: null, error: asError(error).message });
  }
  show(form);
  form.settled();
  if (!known && form.limits) ask(form); // about what was written meanwhile
}

/** @param {RentFormState} form */
function show(form) {
  const { view, account, quote } = form;
  form.node.hidden = !form.shown || !account;
  if (form.words === forTraining) view.cost.set(form.shown ? quote : null, firstOffer(quote), rental(form).hours ?? 0);
  if (form.node.hidden || !account) return;
  view.key.set(account.kept_in);
  view.choice.hidden = !account.kept_in;
  const now = rental(form);
  [view.hours.min, view.hours.max] = account.hours_range.map(String);
  [view.cap.min, view.cap.max] = account.cap_range.map((usd) => String(usd * account.per_usd));
  write(view.hours, now.hours ?? '');
  write(view.cap, now.cap === undefined ? '' : Math.round(now.cap * account.per_usd * 100) / 100);
  setText(view.capField.querySelector('label'), `${t('Maximum cost')} (${account.currency})`);
  view.region.value = (now.regions || [])[0] || '';
  setText(view.need, quote && quote.need ? t(form.words.need, { need: quote.need }) : '');
  view.need.hidden = !view.need.textContent;
  setText(view.said, form.error);
  showOffers(form);
  showMost(form);
}

/**
 * @param {HTMLInputElement} input
 * @param {string | number} value
 */
function write(input, value) {
  if (document.activeElement !== input && input.value !== String(value)) input.value = String(value);
}

/**
 * The GPU that is tried first.
 * @param {RentQuote | null} quote
 */
function firstOffer(quote) {
  return quote && quote.offers.find((one) => one.id === quote.tried[0]);
}

/** @param {RentFormState} form */
function showOffers(form) {
  const { quote } = form;
  const chosen = rental(form).gpus;
  const make = (/** @type {RentOffer} */ one) => {
    const box = el('input', { type: 'checkbox' });
    box.addEventListener('change', () => {
      const others = rental(form).gpus.filter((id) => id !== one.id);
      form.choose({ gpus: box.checked ? [...others, one.id] : others });
    });
    const name = el('b', {});
    const price = el('b', { class: 'sf-offer-price' });
    const words = el('span', { class: 'sf-quiet' });
    return el('label', { class: 'sf-choice sf-offer' }, box, el('span', {}, name, words), price);
  };
  keyedList(
    form.view.list,
    quote ? quote.offers : [],
    (one) => one.id,
    make,
    (node, one) => {
      const at = chosen.indexOf(one.id);
      const first = !chosen.length && quote?.tried[0] === one.id;
      const box = node.querySelector('input');
      if (box) box.checked = at >= 0;
      setText(node.querySelector('b'), at >= 0 ? `${at + 1}. ${one.name}` : one.name);
      setText(node.querySelector('.sf-quiet'), about(form.words, one, first, quote?.need ?? null));
      setText(node.querySelector('.sf-offer-price'), t('{hourly} an hour', { hourly: one.hourly }));
      node.classList.toggle('sf-chosen', at >= 0 || first);
    },
  );
  form.view.list.hidden = !quote;
}

/**
 * @param {RentWords} words
 * @param {RentOffer} one
 * @param {boolean} first
 * @param {number | null} need
 */
function about(words, one, first, need) {
  const said = [t('{n} GB', { n: format.number(one.memory) }), t(one.stock)];
  const total = words.total(one);
  if (total) said.push(t('about {total} in total', { total }));
  if (first) said.push(need ? t('the cheapest with enough memory') : t('the cheapest'));
  return [said.filter(Boolean).join(', '), words.changed(one, need)].filter(Boolean).join('. ');
}

/**
 * Before the start: what it costs at most, in one sentence.
 * @param {RentFormState} form
 */
function showMost(form) {
  const first = firstOffer(form.quote);
  setText(form.view.time, first && form.quote ? form.words.time(first, form.quote) : '');
  form.view.time.hidden = !form.view.time.textContent;
  const words = first ? form.words.most(first) : '';
  setText(form.view.mostWords, words);
  form.view.most.hidden = !words;
}
