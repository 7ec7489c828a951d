/** What the first LoRA costs on a rented GPU, part by part. */

import { pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { t } from '../base/texts.js';
import { factList } from '../widgets/form_parts.js';
import { foldSection } from '../widgets/widgets.js';

const WITH_PICTURES = {
  run:
    '{steps} steps, with the pictures that are painted meanwhile, take about {minutes} on the {name}, at the pace of ' +
    'your run {run} ({seconds} s per step).',
  measured:
    '{steps} steps, with the pictures that are painted meanwhile, take about {minutes} on the {name}, as Measure found ' +
    'on yours ({seconds} s per step).',
};
const ALONE = {
  run: '{steps} steps take about {minutes} on the {name}, at the pace of your run {run} ({seconds} s per step).',
  measured: '{steps} steps take about {minutes} on the {name}, as Measure found on yours ({seconds} s per step).',
};

/** @returns a fold, with `set(quote, offer, hours)`: RunPod's answer, the first GPU that is tried. */
export function rentCost() {
  const facts = factList();
  const time = el('p', { class: 'sf-help' });
  const fold = foldSection(
    'Cost of the first LoRA',
    time,
    facts,
    el('p', { class: 'sf-help', text: t(pageState().words.reported_cost) }),
  );
  fold.open = true;
  fold.hidden = true;
  const set = (
    /** @type {RentQuote | null} */ quote,
    /** @type {RentOffer | null | undefined} */ offer,
    /** @type {number} */ hours,
  ) => {
    fold.hidden = !quote || !offer;
    if (!quote || !offer) return;
    setText(time, rentTime(quote, offer));
    facts.set(rows(quote, offer, hours));
  };
  return Object.assign(fold, { set });
}

/**
 * How long it takes, and from what that is known.
 * @param {RentQuote} quote
 * @param {RentOffer} offer
 */
export function rentTime(quote, offer) {
  const values = { name: offer.name, steps: format.number(quote.steps) };
  if (offer.minutes === null || !offer.pace)
    return t(
      'How long {steps} steps take on the {name} is not known before the first ones: none of your runs had these ' +
        'settings there. The total cost is shown then.',
      values,
    );
  const { run, seconds } = offer.pace;
  const known = { ...values, minutes: minutes(offer.minutes), seconds: format.number(seconds, 2), run };
  const took = t((quote.pictures ? WITH_PICTURES : ALONE)[run ? 'run' : 'measured'], known);
  const before = { minutes: minutes(quote.preparing.minutes) };
  const prepared = quote.preparing.known
    ? t('{minutes} before the first step are added, as your last pods took.', before)
    : t('{minutes} before the first step are added, a guess: sending the base model may take longer.', before);
  return `${took} ${prepared}`;
}

/** @param {number} count */
function minutes(count) {
  return format.duration(Math.max(1, Math.round(count)) * 60);
}

/**
 * @param {RentQuote} quote
 * @param {RentOffer} offer
 * @param {number} hours
 */
function rows(quote, offer, hours) {
  const values = { cost: offer.gpu_cost, hourly: offer.hourly, hours: format.number(hours, 1) };
  const known = offer.minutes !== null;
  const disk = { cost: offer.disk_cost, size: offer.disk };
  const rented = { ...values, minutes: known ? minutes(offer.rented_minutes ?? 0) : '' };
  return [
    {
      name: 'GPU',
      text: known
        ? t('{cost} for {minutes}, at {hourly} an hour with the disk', rented)
        : t('{hourly} an hour with the disk; {cost} if it takes all {hours} hours', values),
    },
    { name: 'Storage', text: t('{cost} for {size} GB, while the GPU is rented', disk) },
    { name: 'Reference and test pictures', text: t('nothing: they are painted on this computer') },
    {
      name: 'Sum',
      text: known ? t('about {total}', { total: offer.total }) : t('not known before the first steps'),
      tone: offer.fits ? '' : 'warn',
    },
    { name: 'At most', text: offer.most },
    { name: 'Spent for this character so far', text: quote.spent || t('nothing') },
  ];
}
