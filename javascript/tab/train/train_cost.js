/** What a training will cost: photos, steps, time, memory and disk, estimated, or measured by some of its steps. */

import * as api from '../base/api.js';
import { openJob } from '../base/choice.js';
import { el, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { asError } from '../base/page_error.js';
import { t } from '../base/texts.js';
import { beginsWhen, lastJob, startJob } from '../jobs/jobs.js';
import { factList } from '../widgets/form_parts.js';
import { actionButton, keyedList, notice, progressBar } from '../widgets/widgets.js';

/**
 * @param {() => EstimateAsked | null} asked what is estimated: whose training, its arguments, and where; null =
 *   not known yet.
 * @param {() => void} changed is called when there is another estimate.
 * @returns `estimate()`: the server's answer, or {wrong, field},
 *   or null; `load()` asks for it; `cancel()`: one on its way is of something else; `forget()`: so is the one that is
 *   known; `update()` after each new state; `set({elsewhere, rented, ready})`: where it trains, and whether what is
 *   asked for is known.
 */
export function trainCost(asked, changed) {
  const cost = /** @type {TrainCostState} */ ({ asked, changed, estimate: null, count: 0, probe: null, place: {} });
  cost.view = draw(cost);
  return {
    node: cost.view.node,
    estimate: () => cost.estimate,
    load: () => load(cost),
    cancel: () => (cost.count += 1),
    forget: () => {
      cost.count += 1;
      cost.estimate = null;
    },
    update: () => {
      const now = openJob('probe');
      if (cost.probe && !now) load(cost); // it has been measured
      cost.probe = now;
    },
    set: (/** @type {TrainPlace} */ place) => {
      cost.place = place;
      show(cost);
    },
  };
}

/** @param {TrainCostState} cost */
function draw(cost) {
  const text = el('p', { class: 'sf-cost-text' });
  const facts = factList();
  const problems = el('div', { class: 'sf-stack' });
  const bar = progressBar(null, t('Measuring'));
  const measuring = el('p', { class: 'sf-help' });
  const measure = actionButton('Measure (a few steps)', () => probe(cost), {
    title: 'Trains a few steps and discards them, to measure time and memory.',
  });
  const heading = el('h3', { text: t('What it will cost') });
  const node = el('div', { class: 'sf-card' }, heading, text, facts, problems, measuring, bar, measure);
  return { node, text, facts, problems, bar, measuring, measure };
}

/** @param {TrainCostState} cost */
async function load(cost) {
  const asked = cost.asked();
  if (!asked) return;
  const count = (cost.count += 1);
  try {
    const estimate = await api.post(`/characters/${asked.slug}/estimate`, { ...asked.values, on: asked.on });
    if (count !== cost.count) return;
    cost.estimate = estimate;
  } catch (error) {
    if (count !== cost.count) return;
    cost.estimate = { wrong: asError(error).message, problems: [asError(error).message], field: asError(error).field };
  }
  cost.changed();
}

/** @param {TrainCostState} cost */
async function probe(cost) {
  const asked = cost.asked();
  if (!asked) return;
  const { values, on } = asked;
  await startJob('probe', { ...values, on }, 'Measuring; this takes about a minute.');
}

/** @param {TrainCostState} cost */
function show(cost) {
  const { view, estimate } = cost;
  const { elsewhere } = cost.place;
  const measured = estimate && estimate.measured;
  const silent = elsewhere && estimate && !measured; // its time is not known, or said of what RunPod offers
  setText(view.text, silent ? '' : estimate ? estimate.text || '' : t('Estimating …'));
  view.facts.set(estimate && estimate.wrong === undefined ? facts(estimate, Boolean(elsewhere)) : []);
  keyedList(
    view.problems,
    (estimate && estimate.problems) || [],
    (one) => one,
    (one) => notice('warn', one),
  );
  showProbe(cost, measured);
}

/**
 * @param {Estimate} estimate
 * @param {boolean} elsewhere
 */
function facts(estimate, elsewhere) {
  const { measured } = estimate;
  const number = format.number;
  return [
    { name: 'Photos', text: number(estimate.photos) },
    { name: 'Steps', text: number(estimate.steps) },
    {
      name: 'Time',
      text: measured ? timeOf(measured) : elsewhere ? '' : t('not measured yet'),
    },
    {
      name: 'Memory',
      text:
        measured && measured.peak_memory
          ? t('{size} on {device}', {
              size: format.bytes(measured.peak_memory),
              device: measured.device,
            })
          : '',
    },
    { name: 'Saved steps', text: number(estimate.checkpoints) },
    {
      name: 'Disk',
      text: t('{size} of {free} free', {
        size: format.bytes(estimate.disk_bytes),
        free: format.bytes(estimate.free_bytes),
      }),
    },
  ];
}

/** @param {NonNullable<Estimate['measured']>} measured */
function timeOf(measured) {
  const time = format.duration(measured.seconds);
  return measured.run ? t('{time}, at the pace of your run {run}', { time, run: measured.run }) : time;
}

/**
 * @param {TrainCostState} cost
 * @param {Estimate['measured'] | undefined} measured
 */
function showProbe(cost, measured) {
  const { view, estimate, probe: job } = cost;
  const { rented, ready } = cost.place;
  const standing = job && job.standing;
  view.bar.hidden = !job || job.state !== 'running';
  view.measure.hidden = Boolean(job) || rented || !ready || !estimate || Boolean(estimate.wrong);
  setText(view.measure.firstChild, t(measured ? 'Measure again' : 'Measure (a few steps)'));
  const last = lastJob('probe');
  const failed =
    !job && last && last.state === 'failed' ? t('It could not be measured: {why}', { why: last.error }) : '';
  const running = standing && standing.text ? standing.text : t('Measuring …');
  const said = !job ? failed : job.state === 'running' ? running : beginsWhen(job);
  setText(view.measuring, said);
  view.measuring.hidden = !said;
  if (job) view.bar.set(standing && standing.total ? standing.done / standing.total : null, t('Measuring'));
}
