/** What the first line says of tests, with its buttons: what is painted, what was found, and what comes next. */

import { pageState } from '../base/app.js';
import { goTo } from '../base/choice.js';
import { say, t } from '../base/texts.js';
import { costText } from '../jobs/job_text.js';
import { beginsWhen, controlJob, resumeJob } from '../jobs/jobs.js';
import { cellName, jobsBaseGone, runsError } from '../jobs/runs.js';
import { countedText, phaseName, timeLeft } from '../train/train_live.js';
import { actOn } from './advice_actions.js';
import { paintLabel } from './test_form.js';

/**
 * @param {TestPanel} made the panel: its form, and the grid that is shown.
 * @param {Character} character the state's entry.
 * @param {RunRecord[] | null} runs the character's; null = not known yet.
 * @param {Job | null} job the open one, or null.
 * @param {Job | null} last the newest one, or null.
 * @returns {Lead}
 */
export function testWords(made, character, runs, job, last) {
  if (!runs) return { tone: 'none', text: runsError() || 'Loading …' };
  if (job) return jobWords(job);
  if (last && last.broken) return failed(last);
  if (!runs.some((run) => run.checkpoints.length)) return untrained();
  const { grid } = made;
  const judged = grid && grid.verdict;
  const { message, text: said } = character.test;
  const text = judged ? say(message, said || judged.headline) : 'Test pictures show whether the face holds.';
  const searched = last && last.kind === 'choose' && last.state === 'finished' && !trainedSince(last, runs);
  if (searched && last.result.step) return chosen(last.result, made);
  const gone = made.form.gone();
  if (searched) return foundNothing(made, last.result, gone);
  const tone = judged ? toneOf(character, judged) : 'none';
  if (gone) return { tone, text, detail: gone };
  const find = {
    label: 'Find the best step and weight',
    title: t(
      'Tests up to {checkpoints} saved steps at {weights} weights on {n} prompts (on all where too few faces show), ' +
        'the best {confirmed} again, and up to {more_steps} more steps that the verdict advises. A whole test comes ' +
        'first if there is none.',
      { n: pageState().limits.screening_pictures, ...pageState().limits.search },
    ),
    do: () => made.form.choose(),
  };
  const count = { n: pageState().limits.test_pictures };
  const about = judged
    ? ''
    : t('{n} pictures with the LoRA and the same without it, measured against the photos.', count);
  const advised = judged && character.test.grid && grid.buttons.some((one) => one.main);
  return { tone, text, detail: paints(made, about), buttons: [paintsAll(!advised, made), find] };
}

/**
 * @param {TestPanel} made
 * @param {JobResult} given
 * @param {string} gone
 * @returns {Lead}
 */
function foundNothing(made, { sentence }, gone) {
  const buttons = gone ? [] : [paintsAll(true, made)];
  return { tone: 'warn', text: sentence, detail: gone || paints(made, ''), buttons };
}

/**
 * @param {boolean} main
 * @param {TestPanel} made
 * @returns {LeadButton}
 */
function paintsAll(main, made) {
  return { label: paintLabel(pageState().limits.test_pictures), main, do: () => made.form.paint(false) };
}

/**
 * What the button of the first line will paint, after a sentence about it.
 * @param {TestPanel} made
 * @param {string} about
 */
function paints(made, about) {
  const cell = made.form.cell();
  const what = cell && cellName(cell.run, cell.step, cell.weight);
  const said = what && t('Selected for the test: {cell}.', { cell: what });
  return [about, said].filter(Boolean).join(' ');
}

/**
 * The tone of the first line: the state's where its words are the state's.
 * @param {Character} character
 * @param {Verdict} judged
 */
function toneOf(character, judged) {
  return character.test.text ? character.test.tone : judged.tone;
}

/**
 * Whether a training has ended since a search did: then its result is not the newest news.
 * @param {Job} search
 * @param {RunRecord[]} runs
 */
function trainedSince(search, runs) {
  const then = search.ended || search.created;
  const trainings = pageState().queue.jobs.filter((job) => job.kind === 'train' && job.slug === search.slug);
  const newer = trainings.some((job) => job.state === 'finished' && (job.ended || job.created) > then);
  return newer || runs.some((run) => run.created > then && run.checkpoints.length);
}

/** @returns {Lead} */
function untrained() {
  return {
    tone: 'none',
    text: 'Nothing is trained yet.',
    detail: 'A test needs a trained LoRA.',
    buttons: [{ label: 'Go to training', main: true, do: () => goTo({ step: 'train' }) }],
  };
}

/**
 * @param {Job} job
 * @returns {Lead}
 */
function jobWords(job) {
  const stop = {
    label: job.state === 'running' ? 'Stop' : 'Remove from queue',
    disabled: Boolean(job.wish),
    do: () => controlJob(job, 'stop'),
  };
  if (job.state === 'paused')
    return {
      tone: 'warn',
      text: 'The test is paused.',
      buttons: [{ label: 'Resume', main: true, do: () => resumeJob(job) }, stop],
    };
  if (job.state === 'waiting')
    return { tone: 'none', text: 'The test is waiting.', detail: beginsWhen(job), buttons: [stop] };
  const counted =
    job.standing && job.standing.phase === 'painting' ? countedText(job.standing, 'picture {done} of {total}') : '';
  const round = job.kind !== 'test' && counted && !job.wish ? job.standing?.text : ''; // of all that are tried
  return {
    tone: 'busy',
    text: round || [phaseName(job), counted].filter(Boolean).join(': '),
    detail: [round && counted, timeLeft(job.standing), costText(job)].filter(Boolean).join(' · '),
    buttons: [stop],
  };
}

/**
 * @param {Job} job
 * @returns {Lead}
 */
function failed(job) {
  const again = { label: 'Try again', main: true, do: () => controlJob(job, 'resume') };
  const aside = { label: 'Dismiss', do: () => controlJob(job, 'forget') };
  const text =
    job.state === 'failed'
      ? job.error || 'The test failed.'
      : 'The test was interrupted; the pictures painted so far are kept.';
  const gone = jobsBaseGone(job);
  const train = { label: 'Go to training', main: true, do: () => goTo({ step: 'train' }) };
  const tone = job.state === 'failed' ? 'bad' : 'warn';
  return { tone, text, detail: gone, buttons: [gone ? train : again, aside] };
}

/**
 * @param {JobResult} given
 * @param {TestPanel} made
 * @returns {Lead}
 */
function chosen({ run, step, weight, certainty, sentence }, made) {
  const use = {
    label: 'Use this LoRA',
    main: true,
    do: () => actOn({ do: 'use', arguments: { run, step, weight } }, made.form),
  };
  const tone = ['doubtful', 'unknown'].includes(certainty ?? 'unknown') ? 'warn' : 'good';
  return { tone, text: sentence, detail: cellName(run ?? '', step ?? 0, weight ?? 1), buttons: [use] };
}
