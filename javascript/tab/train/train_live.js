/** A training as it goes, or one that has ended: how far, how fast, loss, likeness, sample pictures, warnings, log. */

import { url } from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { t } from '../base/texts.js';
import { logFold } from '../jobs/jobs.js';
import * as titleSignal from '../page/title_signal.js';
import { clockTime, enlargePictures, factList } from '../widgets/form_parts.js';
import { lineChart } from '../widgets/line_chart.js';
import { foldSection, keyedList, notice, progressBar } from '../widgets/widgets.js';

const SLOWER =
  'It has become much slower than it was at the start. Another program may use the GPU, or its memory is full ' +
  'and the driver uses the slow memory of the computer: close other programs, or pause and choose less memory.';
const SLOWER_ALONE =
  'It has become much slower than it was at the start. Another program may use the processor, or the memory is full: ' +
  'close other programs.';
const MEASURED =
  'Measured from a few pictures in few sampling steps: it shows where the training goes; the test shows how good the ' +
  'LoRA is. More is better in all four.';
/** Whether there is a GPU, or may be one: what is said of it holds nothing where the Doctor knows that there is none. */
export const hasGpu = () => !app.state || app.state.host.gpu !== false;

/**
 * What a job does now, in a few words.
 * @param {Job} job
 */
export function phaseName(job) {
  if (job.wish === 'stop') return t('Stopping: the step is saved first');
  if (job.wish === 'pause') return t('Pausing: the step is saved first');
  return t((job.standing && job.standing.name) || 'Starting');
}

/**
 * "Step 840 of 2,000", "Picture 3 of 44"; empty where nothing is counted yet.
 * @param {JobProgress | null | undefined} standing
 * @param {string} words
 */
export function countedText(standing, words) {
  if (!standing || !standing.total) return '';
  const number = format.number;
  return t(words, { done: number(standing.done), total: number(standing.total) });
}

/**
 * "12 min left, done at 14:32"; empty where it is not known.
 * @param {JobProgress | null | undefined} standing
 */
export function timeLeft(standing) {
  const seconds = standing?.seconds_left;
  if (!format.isNumber(seconds)) return '';
  return t('{left} left, finished at {clock}', { left: format.duration(seconds), clock: clockTime(seconds) });
}

/**
 * @returns with `set({job, details})`: the open job or null, and the answer of runs/R or null.
 */
export function trainingView() {
  const bar = progressBar(null, t('Training'));
  const facts = factList();
  const slowWords = el('span', {});
  const slow = notice('warn', slowWords);
  const warnings = el('div', { class: 'sf-stack' });
  const chart = lineChart(lossChart(null));
  const about = el('p', {
    class: 'sf-help',
    text: t(
      'The check uses the same pictures and noise each time, so it shows learning better than the average. ' +
        'Only the test shows whether the face is right.',
    ),
  });
  const likeness = lineChart(likenessChart(null));
  const measured = el('p', { class: 'sf-help', text: t(MEASURED) });
  const samples = samplesView('Sample pictures', true);
  const tested = samplesView('Pictures of the likeness curve', false);
  const notify = titleSignal.tick();
  const log = logFold();
  const node = el(
    'div',
    { class: 'sf-live' },
    bar,
    facts,
    notify,
    slow,
    warnings,
    el('div', {}, chart, about),
    el('div', {}, likeness, measured),
    samples,
    tested,
    log,
  );
  /** @param {{job: Job | null, details: RunDetails | null}} shown */
  const set = ({ job, details }) => {
    const standing = job && job.standing;
    bar.hidden = !job || job.state !== 'running';
    if (standing)
      bar.set(
        standing.total ? standing.done / standing.total : null,
        countedText(standing, 'Step {done} of {total}') || phaseName(job),
      );
    facts.set([...(standing ? numbers(standing) : []), ...costs(job)]);
    slow.hidden = !job || job.state !== 'running' || !standing?.slow;
    setText(slowWords, t(hasGpu() ? SLOWER : SLOWER_ALONE));
    notify.update();
    notify.hidden = notify.hidden || !job || !job.open || job.state === 'paused';
    const said = standing && standing.warnings.length ? standing.warnings : (details && details.warnings) || [];
    keyedList(
      warnings,
      said.slice(-5),
      (one) => wordsOf(one),
      (one) => notice('warn', wordsOf(one)),
    );
    const points = details && (details.loss.length > 1 || details.probe.length > 1);
    chart.hidden = about.hidden = !points;
    if (points) chart.update(lossChart(details));
    const curve = (details && details.likeness) || [];
    likeness.hidden = measured.hidden = !curve.length;
    if (curve.length) likeness.update(likenessChart(details));
    const why = curve[curve.length - 1]?.why;
    setText(measured, why ? `${t(MEASURED)} ${t('Not measured: {why}.', { why })}` : t(MEASURED));
    const pictures = (details && details.samples) || [];
    samples.set(pictures.filter((one) => !one.role));
    tested.set(pictures.filter((one) => one.role));
    log.set(job ? job.id : null);
  };
  return Object.assign(node, { set });
}

/** @param {string} warning */
function wordsOf(warning) {
  return warning;
}

/**
 * What the machine costs that is rented for the job, or has cost.
 * @param {Job | null} job
 */
function costs(job) {
  const { so_far, total, cap, billed } = (job && job.cost) || {};
  return [
    { name: 'Cost so far', text: so_far },
    { name: 'Estimated total cost', text: total },
    { name: 'Maximum cost', text: cap },
    { name: 'Final cost', text: billed },
  ];
}

/** @param {JobProgress} standing */
function numbers(standing) {
  const number = format.number;
  const { rate } = standing;
  return [
    {
      name: 'Step',
      text: standing.total
        ? t('{done} of {total}', { done: number(standing.done), total: number(standing.total) })
        : '',
    },
    { name: 'Left', text: format.duration(standing.seconds_left) },
    { name: 'Finished at', text: format.isNumber(standing.seconds_left) ? clockTime(standing.seconds_left) : '' },
    { name: 'Pace', text: rate ? t('{n} s per step', { n: number(rate, rate < 1 ? 2 : 1) }) : '' },
    { name: 'Loss', text: number(standing.loss, 4) },
    { name: 'Memory', text: standing.memory ? format.bytes(standing.memory) : '' },
  ];
}

/** @param {RunDetails | null} details */
function lossChart(details) {
  return {
    title: 'Loss',
    xLabel: 'step',
    xMin: 0,
    xMax: details ? details.total : undefined, // so that one sees how much is still to come
    series: [
      { name: 'average', points: details ? details.loss : [], tone: '1' },
      { name: 'check', points: details ? details.probe : [], tone: '2', dots: true },
    ].filter((one) => one.points.length || !details),
  };
}

/**
 * @param {Record<NumberCode, string>} names
 * @returns {[NumberCode, string][]}
 */
const numbersOf = (names) => /** @type {[NumberCode, string][]} */ (Object.entries(names));

/** @param {RunDetails | null} details */
function likenessChart(details) {
  const points = (/** @type {NumberCode} */ name) =>
    (details?.likeness ?? []).map((one) => [one.step, 100 * (one[name] ?? NaN)]);
  return {
    title: 'Likeness while it trains',
    xLabel: 'step',
    xMin: 0,
    xMax: details ? details.total : undefined,
    yMin: 0,
    yMax: 100,
    yFormat: (/** @type {number} */ value) => `${format.number(value, 0)} %`,
    series: details
      ? numbersOf(pageState().words.numbers).map(([key, name], place) => ({
          name,
          hint: pageState().words.number_meanings[key],
          points: points(key),
          tone: String(place + 1),
          dots: true,
        }))
      : [],
  };
}

/**
 * Pictures painted while it trained: a row for each prompt, a column for each step.
 * @param {string} title of them.
 * @param {boolean} open whether they are shown at once, or when the reader opens the fold.
 */
function samplesView(title, open) {
  const head = el('tr', {});
  const body = el('tbody', {});
  const table = el('table', { class: 'sf-samples' }, el('thead', {}, head), body);
  const scroll = el('div', { class: 'sf-scroll', tabIndex: 0, role: 'region', aria: { label: t(title) } }, table);
  const node = open ? el('div', {}, el('h3', { text: t(title) }), scroll) : foldSection(title, scroll);
  const set = (/** @type {SamplePicture[]} */ samples) => {
    node.hidden = !samples.length;
    const steps = [...new Set(samples.map((one) => one.step))].sort((a, b) => a - b);
    const prompts = [...new Map(samples.map((one) => [one.number, one.prompt])).entries()];
    const columns = [null, ...steps];
    keyedList(
      head,
      columns,
      (step) => `c${step}`,
      (step) =>
        el('th', {
          scope: 'col',
          text: step === null ? t('Prompt') : step ? t('Step {n}', { n: format.number(step) }) : t('Base model'),
        }),
    );
    keyedList(
      body,
      prompts,
      ([number]) => number,
      () => el('tr', {}),
      (row, [number, prompt]) =>
        keyedList(
          row,
          columns,
          (step) => cellKey(samples, number, step),
          (step) => cell(samples, number, step, prompt),
        ),
    );
  };
  return Object.assign(node, { set });
}

const find = (/** @type {SamplePicture[]} */ samples, /** @type {number} */ number, /** @type {number} */ step) =>
  samples.find((one) => one.number === number && one.step === step);

/**
 * @param {SamplePicture[]} samples
 * @param {number} number
 * @param {number | null} step
 */
function cellKey(samples, number, step) {
  const one = step === null ? null : find(samples, number, step);
  return `${step}|${one ? one.url : ''}`;
}

/**
 * @param {SamplePicture[]} samples
 * @param {number} number
 * @param {number | null} step
 * @param {string} prompt
 */
function cell(samples, number, step, prompt) {
  if (step === null) return el('th', { scope: 'row', text: prompt });
  const one = find(samples, number, step);
  if (!one) return el('td', { text: '–' });
  const asked = one.prompt || prompt;
  const words = step
    ? t('Step {n}: {prompt}', { n: format.number(step), prompt: asked })
    : t('Base model: {prompt}', { prompt: asked });
  const large = () => enlargePictures(words, [{ url: one.url, alt: words }], asked);
  const picture = el('img', { src: url(one.url), alt: words, loading: 'lazy' });
  return el('td', {}, el('button', { class: 'sf-picture-button', on: { click: large } }, picture));
}
