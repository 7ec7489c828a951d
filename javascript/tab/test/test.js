/** The panel "Test": paint the test pictures, and what they say of the face. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { app, visible } from '../base/app.js';
import { chosenCharacter, goTo, openJobAt } from '../base/choice.js';
import { appendTo, el, fillWith } from '../base/dom.js';
import { readStored, writeStored } from '../base/stored.js';
import { say, t } from '../base/texts.js';
import { costText } from '../jobs/job_text.js';
import { beginsWhen, controlJob, lastJobAt, logFold, resumeJob, startJob } from '../jobs/jobs.js';
import { baseGone, cellName, gridsOf, jobsBaseGone, knownRuns, reloadRuns, runsError, thenTest } from '../jobs/runs.js';
import { combinedCard } from './combined_card.js';
import { earlierGrids } from './earlier_grids.js';
import { gridPictures, photoStrip } from './grid_pictures.js';
import { paintLabel, testForm } from './test_form.js';
import { gridFacts, keptChart, verdictCard } from './verdict_card.js';
import { countedText, phaseName, timeLeft } from '../train/train_live.js';
import { repeatWhileSeen } from '../widgets/form_parts.js';
import { foldSection, leadLine, notice, progressBar } from '../widgets/widgets.js';

const OFTEN = 3000; // milliseconds between two looks for new pictures
const AGAIN = 3000; // milliseconds after a failure

let view = null;

export const panel = {
  mount: (root) => (view = make(root)),
  update: () => update(view),
  shown: () => {
    reloadRuns();
    view.beat.set(true);
  },
  hidden: () => view.beat.set(false),
};

function make(root) {
  const made = { slug: '', shown: null, grid: null, done: '', wanted: null };
  made.lead = leadLine();
  made.bar = progressBar(null, t('Painting'));
  made.said = el('div', {});
  made.verdict = verdictCard((button) => act(button));
  made.pictures = gridPictures();
  made.strip = photoStrip();
  made.chart = keptChart();
  made.facts = gridFacts();
  made.links = el('p', { class: 'sf-row' });
  made.log = logFold();
  made.form = testForm(() => update(made));
  made.another = foldSection('Test another step or weight', made.form.node);
  made.combined = combinedCard();
  made.earlier = earlierGrids((which) => show(made, which, true));
  made.result = el('div', { class: 'sf-result', hidden: true });
  appendTo(made.result, [made.verdict, made.pictures, made.strip, made.chart, made.facts, made.links]);
  appendTo(root, [
    made.lead,
    made.bar,
    made.said,
    made.log,
    made.another,
    made.combined.node,
    made.result,
    made.earlier.node,
  ]);
  made.beat = repeatWhileSeen(() => look(made), OFTEN);
  return made;
}

// What is there

function update(made) {
  const character = chosenCharacter();
  if (!character) return;
  if (made.slug !== character.slug) {
    Object.assign(made, { slug: character.slug, shown: null, grid: null, done: '', live: null, opened: '' });
    fillWith(made.said);
  }
  const runs = knownRuns();
  const job = openJobAt('test');
  const last = lastJobAt('test');
  const grids = gridsOf(runs);
  loadCombined(made, last);
  choose(made, runs, grids, job, last);
  made.form.update(runs || []);
  const lead = words(made, character, runs, job, last);
  made.lead.set(lead);
  made.coloured = (lead.buttons || []).some((one) => one && one.main);
  showJob(made, job, last);
  made.another.hidden = !runs || !runs.some((run) => run.checkpoints.length);
  unfold(made, grids, runs, job);
  made.earlier.set(grids, made.shown);
  showGrid(made);
}

/** What was found with another LoRA is asked for once, and again when such a job has ended. */
function loadCombined(made, last) {
  const ended = last && last.kind === 'combine' && last.state === 'finished' ? last.id : '';
  const mark = `${made.slug}|${ended}`;
  if (mark === made.combinedOf) return;
  made.combinedOf = mark;
  const newest = last && last.kind === 'combine'; // else the test of the LoRA alone comes first
  made.result.parentNode.insertBefore(made.combined.node, newest ? made.result : made.earlier.node);
  made.combined.load(made.slug);
}

/** The form is open where nothing has been tested, and otherwise as the user has left it. */
function unfold(made, grids, runs, job) {
  const mark = `${made.slug}|${!grids.length && !job}`;
  if (!runs || mark === made.opened) return;
  made.opened = mark;
  made.another.open = !grids.length && !job;
}

/** Which grid is shown: the user's choice, else the one of the last job, else the newest. */
function choose(made, runs, grids, job, last) {
  if (!runs) return;
  const done = last && last.state === 'finished' && last.result && last.result.grid ? last : null;
  const mark = done ? String(done.id) : '';
  if (done && mark !== made.done) {
    made.done = mark;
    show(made, { run: done.result.run, id: done.result.grid });
  }
  const wanted = app.wantedGrid;
  if (wanted && wanted.slug === made.slug) {
    app.wantedGrid = null;
    show(made, { run: wanted.run, id: wanted.id });
  }
  const first = grids.find(({ grid }) => !(grid.more || []).length) || grids[0]; // with another LoRA it is another test
  if (!made.shown && !job && first) show(made, { run: first.run.id, id: first.grid.id });
}

async function show(made, which, byHand) {
  const { slug } = made;
  if (made.shown && made.shown.run === which.run && made.shown.id === which.id && made.grid && !byHand) return;
  made.shown = which;
  try {
    const grid = await api.get(`/characters/${slug}/runs/${which.run}/grids/${which.id}`);
    if (made.slug !== slug || made.shown !== which) return;
    made.grid = { ...grid, run: which.run };
    update(made);
    if (byHand) made.result.scrollIntoView({ block: 'start', behavior: 'smooth' });
  } catch (error) {
    if (made.shown !== which) return;
    made.grid = null;
    fillWith(made.said, notice('bad', error.message));
    if (error.status !== 404) setTimeout(() => showAgain(made, which), AGAIN);
  }
}

/** Ask again for a grid that could not be had, as long as it is the one to be shown. */
function showAgain(made, which) {
  if (made.shown !== which || made.grid || !made.result.isConnected) return;
  if (visible() && app.step === 'test') show(made, which);
  else setTimeout(() => showAgain(made, which), AGAIN);
}

/** While pictures are painted, look for those that are there; the grid may not be known yet. */
async function look(made) {
  const job = openJobAt('test');
  const of = job && (job.run || job.arguments.run || newestOf(knownRuns()));
  if (!job || job.state !== 'running' || !of) return;
  const { slug } = app;
  const run = await api.get(`/characters/${slug}/runs/${of}`);
  const open = run.grids.filter((grid) => !grid.kind).sort((a, b) => Number(b.id) - Number(a.id))[0];
  if (!open || app.slug !== slug) return;
  const grid = await api.get(`/characters/${slug}/runs/${of}/grids/${open.id}`);
  if (app.slug !== slug) return;
  made.live = { ...grid, run: of };
  showGrid(made);
}

/** The run that is tested where none is named. */
function newestOf(runs) {
  const found = (runs || []).find((run) => run.checkpoints.length);
  return found ? found.id : '';
}

function showGrid(made) {
  const job = openJobAt('test');
  const painting = job && job.state === 'running' && made.live && made.live.rows.some((row) => row.url);
  if (!job) made.live = null;
  const grid = painting ? made.live : made.grid;
  made.result.hidden = !grid;
  if (!grid) return;
  const judged = Boolean(grid.verdict);
  for (const part of [made.verdict, made.strip, made.facts, made.links]) part.hidden = !judged;
  if (judged) {
    made.verdict.set(grid, made.coloured);
    made.strip.set(made.slug, grid.photos);
    made.facts.set(grid);
    showLinks(made, grid);
  }
  made.chart.set(judged ? grid.tested : []);
  made.pictures.set(grid);
}

function showLinks(made, grid) {
  const folder = `/characters/${made.slug}/runs/${grid.run}/grids/${grid.id}`;
  const link = (label, path) => el('a', { href: url(path), target: '_blank', rel: 'noopener', text: t(label) });
  const key = `${folder}|${grid.html}`;
  if (made.links.dataset.of === key) return;
  made.links.dataset.of = key;
  fillWith(
    made.links,
    link('The whole report', grid.html || `${folder}/report.html`),
    link('All on one picture', `${folder}/sheet.png`),
  );
}

// The first line

function words(made, character, runs, job, last) {
  if (!runs) return { tone: 'none', text: runsError() || 'Loading …' };
  if (job) return jobWords(job);
  if (last && ['failed', 'interrupted'].includes(last.state)) return failed(last);
  if (!runs.some((run) => run.checkpoints.length)) return untrained();
  const judged = made.grid && made.grid.verdict;
  const { message, text: said } = character.test;
  const text = judged ? say(message, said || judged.headline) : 'Test pictures show whether the face holds.';
  const searched = last && last.kind === 'choose' && last.state === 'finished' && !trainedSince(last, runs);
  if (searched && last.result.step) return chosen(last.result);
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
      { n: app.state.limits.screening_pictures, ...app.state.limits.search },
    ),
    do: () => view.form.choose(),
  };
  const count = { n: app.state.limits.test_pictures };
  const about = judged
    ? ''
    : t('{n} pictures with the LoRA and the same without it, measured against the photos.', count);
  const advised = judged && character.test.grid && made.grid.buttons.some((one) => one.main);
  return { tone, text, detail: paints(made, about), buttons: [paintsAll(!advised), find] };
}

function foundNothing(made, { sentence }, gone) {
  const buttons = gone ? [] : [paintsAll(true)];
  return { tone: 'warn', text: sentence, detail: gone || paints(made, ''), buttons };
}

function paintsAll(main) {
  return { label: paintLabel(app.state.limits.test_pictures), main, do: () => view.form.paint(false) };
}

/** What the button of the first line will paint, after a sentence about it. */
function paints(made, about) {
  const cell = made.form.cell();
  const what = cell && cellName(cell.run, cell.step, cell.weight);
  const said = what && t('To be painted: {cell}.', { cell: what });
  return [about, said].filter(Boolean).join(' ');
}

/** The tone of the first line: the state's where its words are the state's. */
function toneOf(character, judged) {
  return character.test.text ? character.test.tone : judged.tone;
}

/** Whether a training has ended since a search did: then its result is not the newest news. */
function trainedSince(search, runs) {
  const then = search.ended || search.created;
  const trainings = app.state.queue.jobs.filter((job) => job.kind === 'train' && job.slug === search.slug);
  const newer = trainings.some((job) => job.state === 'finished' && (job.ended || job.created) > then);
  return newer || runs.some((run) => run.created > then && run.checkpoints.length);
}

function untrained() {
  return {
    tone: 'none',
    text: 'Nothing is trained yet.',
    detail: 'A test needs a trained LoRA.',
    buttons: [{ label: 'Go to training', main: true, do: () => goTo({ step: 'train' }) }],
  };
}

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
  const round = job.kind !== 'test' && counted && !job.wish ? job.standing.text : ''; // of all that are tried
  return {
    tone: 'busy',
    text: round || [phaseName(job), counted].filter(Boolean).join(': '),
    detail: [round && counted, timeLeft(job.standing), costText(job)].filter(Boolean).join(' · '),
    buttons: [stop],
  };
}

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

function chosen({ run, step, weight, certainty, sentence }) {
  const use = { label: 'Use this LoRA', main: true, do: () => act({ do: 'use', arguments: { run, step, weight } }) };
  const tone = ['doubtful', 'unknown'].includes(certainty) ? 'warn' : 'good';
  return { tone, text: sentence, detail: cellName(run, step, weight), buttons: [use] };
}

function showJob(made, job, last) {
  const standing = job && job.state === 'running' && job.standing;
  made.bar.hidden = !standing;
  if (standing) made.bar.set(standing.total ? standing.done / standing.total : null, t('Painting'));
  if (made.grid || job) fillWith(made.said);
  const ended = last && ['failed', 'interrupted'].includes(last.state) ? last : null;
  made.log.set(job ? job.id : ended ? ended.id : null);
}

// What the advice's buttons do

async function act(button) {
  const values = button.arguments || {};
  if (button.do === 'add_photos') return goTo({ step: 'photos' });
  if (button.do === 'use') {
    app.wantedCell = { slug: app.slug, ...values };
    return goTo({ step: 'use' });
  }
  if (button.do === 'train_more') {
    possible(values.run);
    const usual = { then_test: await thenTest() };
    await startJob('train', { ...usual, ...values }, 'The training continues.');
    return goTo({ step: 'train' });
  }
  if (button.do === 'train_again') return trainAgain(values);
  possible(values.run);
  if (button.do === 'choose') return startJob('choose', { ...view.form.by(), ...values });
  if (button.do === 'test') return startJob('test', { ...view.form.common(), ...values });
  throw new Error(t('This page is older than the webui; reload it.'));
}

/** Lay a run's settings, but for some, into the form of a new training, where its costs are seen before it begins. */
async function trainAgain({ run, settings }) {
  const { slug } = app;
  const { base_path: path, preset, asked } = await api.get(`/characters/${slug}/runs/${run}`);
  const bases = (await api.get('/bases')).map((one) => one.path);
  const nameOf = (file) => file.split(/[\\/]/).pop();
  const base = bases.find((one) => one === path) || bases.find((one) => nameOf(one) === nameOf(path));
  if (!base)
    throw new Error(
      t('{file}, the base model of run {run}, is not in the list of the step Train.', { file: path, run }),
    );
  const kept = readStored(`train-${slug}`, {});
  writeStored(`train-${slug}`, { ...kept, base, preset, settings: { ...asked, ...settings } });
  app.trainingLaidOut = slug;
  return goTo({ step: 'train' });
}

/** Refuse what needs a base model that is gone. */
function possible(id) {
  const gone = baseGone((knownRuns() || []).find((run) => run.id === id));
  if (gone) throw new Error(gone);
}
