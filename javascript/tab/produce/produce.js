/** The panel "Produce": many pictures of the character, of which those are kept that show this person. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { app } from '../base/app.js';
import { chosenCharacter, goTo, openJob } from '../base/choice.js';
import { appendTo, el, fillWith } from '../base/dom.js';
import * as format from '../base/format.js';
import { asError } from '../base/page_error.js';
import { plural, t } from '../base/texts.js';
import { costText } from '../jobs/job_text.js';
import { beginsWhen, controlJob, lastJob, logFold, resumeJob } from '../jobs/jobs.js';
import { cellName, jobsBaseGone, knownRuns, reloadRuns, runsError } from '../jobs/runs.js';
import { countedText, phaseName, timeLeft } from '../train/train_live.js';
import { factList, repeatWhileSeen } from '../widgets/form_parts.js';
import { foldSection, formField, leadLine, notice, progressBar, selectBox } from '../widgets/widgets.js';
import { productionGallery } from './gallery.js';
import { produceForm } from './produce_form.js';

const OFTEN = 3000; // milliseconds between two looks for new pictures

/** @type {ProducePanel} what `mount` has made. */
let view;

export const panel = {
  mount: (/** @type {HTMLElement} */ root) => (view = make(root)),
  update: () => update(view),
  shown: () => {
    reloadRuns();
    loadList(view);
    view.beat.set(true);
  },
  hidden: () => view.beat.set(false),
};

/** @param {HTMLElement} root */
function make(root) {
  const made = /** @type {ProducePanel} */ ({ slug: '', all: null, shown: '', production: null, opened: '', done: 0 });
  made.lead = leadLine();
  made.bar = progressBar(null, t('Painting'));
  made.said = el('div', {});
  made.log = logFold();
  made.form = produceForm((id) => {
    made.shown = id;
    made.production = null;
    made.another.open = false;
    loadList(made);
  });
  made.another = foldSection('New production', made.form.node);
  made.choice = selectBox([], '', (id) => {
    made.shown = id;
    made.production = null;
    look(made);
  });
  made.choiceField = formField('Production', made.choice);
  made.facts = factList();
  made.links = el('p', { class: 'sf-row' });
  made.gallery = productionGallery(() => look(made));
  made.result = el('div', { class: 'sf-stack', hidden: true }, made.choiceField, made.facts, made.links, made.gallery);
  appendTo(root, [made.lead, made.bar, made.said, made.log, made.another, made.result]);
  made.beat = repeatWhileSeen(() => look(made), OFTEN);
  return made;
}

// What is there

/** @param {ProducePanel} made */
async function loadList(made) {
  const { slug } = app;
  try {
    const all = await api.get(`/characters/${slug}/productions`);
    if (app.slug !== slug) return;
    made.all = all;
    if (!all.some((one) => one.id === made.shown)) made.shown = all.length ? all[0].id : '';
    fillWith(made.said);
  } catch (error) {
    if (app.slug === slug) fillWith(made.said, notice('bad', asError(error).message));
  }
  await look(made);
  update(made);
}

/**
 * Ask for the shown production, where it has changed since it was asked for last.
 * @param {ProducePanel} made
 */
async function look(made) {
  const { slug } = app;
  const { shown: id } = made;
  if (!id || made.slug !== slug) return show(made);
  const before = made.production && made.production.id === id ? made.production : null;
  try {
    const answer = await api.get(`/characters/${slug}/productions/${id}?since=${before ? before.mark : ''}`);
    if (app.slug !== slug || made.shown !== id) return;
    made.production = merged(before, answer);
    fillWith(made.said);
    if (!made.production) return look(made); // a picture is gone: all of it is asked for again
  } catch (error) {
    if (app.slug !== slug || made.shown !== id) return;
    made.production = null;
    fillWith(made.said, notice('bad', asError(error).message));
  }
  show(made);
  made.lead.set(words(made, knownRuns(), openJob('produce'), lastJob('produce')));
}

/**
 * A production as it is after an answer that may say only what is new; null where the two do not fit together.
 * @param {Production | null} before
 * @param {Production} answer
 */
function merged(before, answer) {
  if (!before) return answer;
  if (before.mark === answer.mark) return { ...before, job: answer.job };
  if (answer.whole) return answer;
  const all = new Map(before.pictures.map((one) => [one.file, one]));
  for (const one of answer.pictures) all.set(one.file, one);
  if (all.size !== answer.painted) return null;
  const pictures = [...all.values()];
  for (const one of pictures) one.decision = answer.decisions[one.file] || null;
  return { ...answer, pictures };
}

/** @param {ProducePanel} made */
function show(made) {
  const { production, all } = made;
  made.result.hidden = !made.shown;
  if (all) {
    const newest = (/** @type {ProductionEntry} */ one) =>
      production && production.id === one.id ? { ...one, ...production } : one;
    const choices = all.map((one) => ({
      value: one.id,
      text: one.error ? one.id : entryText(newest(one)),
    }));
    made.choice.setChoices(choices, made.shown);
    made.choiceField.hidden = all.length < 2;
  }
  made.gallery.set(made.slug, production);
  made.facts.set(production ? facts(production) : []);
  const links = production && production.painted ? [production.page, production.kept && production.archive] : [];
  const key = [...links, production && production.signing].join('|');
  if (made.links.dataset.of === key) return;
  made.links.dataset.of = key;
  const [page, archive] = links;
  fillWith(
    made.links,
    ...(archive && production ? downloads(archive, production) : []),
    page ? el('a', { href: url(page), target: '_blank', rel: 'noopener', text: t('All numbers and plots') }) : null,
  );
}

/**
 * The links to the kept pictures, as they are and signed.
 * @param {string} archive
 * @param {Production} given
 */
function downloads(archive, { signing, signing_text: said }) {
  const link = (/** @type {string} */ href, /** @type {string} */ text, /** @type {string} */ title) =>
    el('a', { class: 'sf-button sf-button-plain', href: url(href), text, title });
  const plain = link(archive, t('Download kept pictures'), '');
  const why = t(said);
  if (signing === 'missing') return [plain, el('span', { class: 'sf-quiet', text: why })];
  return [plain, link(`${archive}?signed=1`, t('Download them signed (C2PA)'), why)];
}

/** @param {ProductionEntry} given */
function entryText({ id, run, step, weight, kept, wanted }) {
  const cell = cellName(run, step, weight);
  return t('{id}: {kept} of {wanted} kept, {cell}', { id, kept, wanted, cell });
}

/** @param {Production} production */
function facts(production) {
  const { kept, wanted, painted, first_try: first, tries, reasons, given_up: without } = production;
  const passed =
    first &&
    t('{share} (95 %: {low} to {high})', {
      share: format.percent(first.value),
      low: format.percent(first.low),
      high: format.percent(first.high),
    });
  const why = reasons.map(({ reason, count }) => `${t(reason)} ${count}`).join(', ');
  return [
    { name: 'Kept', text: t('{kept} of {wanted}, {painted} painted', { kept, wanted, painted }) },
    { name: 'Passed at the first try', text: passed },
    { name: 'Painted for each kept picture', text: tries && format.number(tries, 2) },
    { name: 'Why pictures failed', text: why },
    { name: 'Small faces', text: repainted(production) },
    { name: 'Without a picture after all tries', text: without ? String(without) : '', tone: 'warn' },
  ];
}

/** @param {Production} given */
function repainted({ second_pass: strength, detailer }) {
  if (!strength) return '';
  return t('repainted by {name}, denoising strength {strength}', { name: detailer || 'SameFace', strength });
}

/** @param {ProducePanel} made */
function update(made) {
  const character = chosenCharacter();
  if (!character) return;
  if (made.slug !== character.slug) {
    Object.assign(made, { slug: character.slug, all: null, shown: '', production: null, opened: '', done: 0 });
    show(made);
    loadList(made);
  }
  const runs = knownRuns();
  const job = openJob('produce');
  const last = lastJob('produce');
  if (last && !last.open && last.id !== made.done) {
    made.done = last.id;
    look(made);
  }
  made.form.update(runs || []);
  made.lead.set(words(made, runs, job, last));
  showJob(made, job, last);
  made.another.hidden = !runs || !runs.some((run) => run.checkpoints.length);
  unfold(made, job);
}

/**
 * The form is open where nothing was produced, and otherwise as the user has left it.
 * @param {ProducePanel} made
 * @param {Job | null} job
 */
function unfold(made, job) {
  const mark = `${made.slug}|${made.all && !made.all.length && !job}`;
  if (!made.all || mark === made.opened) return;
  made.opened = mark;
  made.another.open = !made.all.length && !job;
}

/**
 * @param {ProducePanel} made
 * @param {Job | null} job
 * @param {Job | null} last
 */
function showJob(made, job, last) {
  const standing = job && job.state === 'running' && job.standing;
  made.bar.hidden = !standing;
  if (standing) made.bar.set(standing.total ? standing.done / standing.total : null, t('Painting'));
  const ended = last && last.broken ? last : null;
  made.log.set(job ? job.id : ended ? ended.id : null);
}

// The first line

/**
 * @param {ProducePanel} made
 * @param {RunRecord[] | null} runs
 * @param {Job | null} job
 * @param {Job | null} last
 * @returns {Lead}
 */
function words(made, runs, job, last) {
  if (!runs) return { tone: 'none', text: runsError() || 'Loading …' };
  if (job) return jobWords(job);
  if (last && last.broken) return failed(last);
  if (!runs.some((run) => run.checkpoints.length)) {
    const train = { label: 'Go to training', main: true, do: () => goTo({ step: 'train' }) };
    return { tone: 'none', text: 'Nothing is trained yet.', buttons: [train] };
  }
  const detail = 'Each picture is compared with the photos; pictures of somebody else are painted again.';
  const { production } = made;
  if (!production) return { tone: 'none', text: 'Many pictures of one character, from a list of prompts.', detail };
  return produced(made, production);
}

/**
 * @param {ProducePanel} made
 * @param {Production} given
 * @returns {Lead}
 */
function produced(made, { id, kept, wanted, given_up: without }) {
  const text = t('Production {id}: {kept} of {wanted} pictures are kept.', { id, kept, wanted });
  const missing = wanted - kept;
  if (missing <= 0) return { tone: 'good', text };
  const tone = kept ? 'warn' : 'none';
  const spent = 'All tries of the others have failed: keep some of them, or begin a production with more tries.';
  if (missing <= without) return { tone, text, detail: spent };
  const label = plural(missing - without, 'Paint the {n} missing', 'Paint the {n} missing');
  return { tone, text, buttons: [{ label, main: true, do: () => continued(made, id) }] };
}

/**
 * @param {ProducePanel} made
 * @param {string} id
 */
async function continued(made, id) {
  await api.post(`/characters/${made.slug}/productions/${id}/continue`, {});
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
  const resume = { label: 'Resume', main: true, do: () => resumeJob(job) };
  if (job.state === 'paused') return { tone: 'warn', text: 'The production is paused.', buttons: [resume, stop] };
  if (job.state === 'waiting')
    return { tone: 'none', text: 'The production is waiting.', detail: beginsWhen(job), buttons: [stop] };
  const pause = { label: 'Pause', disabled: Boolean(job.wish), do: () => controlJob(job, 'pause') };
  const counted =
    job.standing && job.standing.phase === 'painting' ? countedText(job.standing, 'picture {done} of {total}') : '';
  const text = [phaseName(job), counted].filter(Boolean).join(': ');
  const detail = [timeLeft(job.standing), costText(job)].filter(Boolean).join(' · ');
  return { tone: 'busy', text, detail, buttons: [pause, stop] };
}

/**
 * @param {Job} job
 * @returns {Lead}
 */
function failed(job) {
  const again = { label: 'Try again', main: true, do: () => controlJob(job, 'resume') };
  const aside = { label: 'Dismiss', do: () => controlJob(job, 'forget') };
  const failure = job.error || 'The production failed.';
  const text = job.state === 'failed' ? failure : 'The production was interrupted; its pictures are kept.';
  const gone = jobsBaseGone(job);
  return {
    tone: job.state === 'failed' ? 'bad' : 'warn',
    text,
    detail: gone,
    buttons: gone ? [aside] : [again, aside],
  };
}
