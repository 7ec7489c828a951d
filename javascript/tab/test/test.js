/** The panel "Test": paint the test pictures, and what they say of the face. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { app, visible } from '../base/app.js';
import { chosenCharacter, openJobAt } from '../base/choice.js';
import { appendTo, el, fillWith } from '../base/dom.js';
import { asError } from '../base/page_error.js';
import { growing } from '../base/state_changes.js';
import { t } from '../base/texts.js';
import { lastJobAt, logFold } from '../jobs/jobs.js';
import { askRun, gridsOf, knownRuns, reloadRuns } from '../jobs/runs.js';
import { actOn } from './advice_actions.js';
import { combinedCard } from './combined_card.js';
import { earlierGrids } from './earlier_grids.js';
import { gridPictures, photoStrip } from './grid_pictures.js';
import { testForm } from './test_form.js';
import { testWords } from './test_words.js';
import { gridFacts, keptChart, verdictCard } from './verdict_card.js';
import { repeatWhileSeen } from '../widgets/form_parts.js';
import { foldSection, leadLine, notice, progressBar } from '../widgets/widgets.js';

const OFTEN = 3000; // milliseconds between two looks for new pictures
const AGAIN = 3000; // milliseconds after a failure

/** @type {TestPanel} what `mount` has made. */
let view;

export const panel = {
  mount: (/** @type {HTMLElement} */ root) => (view = make(root)),
  update: () => update(view),
  shown: () => {
    reloadRuns();
    view.beat.set(true);
  },
  hidden: () => view.beat.set(false),
};

/** @param {HTMLElement} root */
function make(root) {
  /** @type {Partial<TestPanel>} */
  const begunMade = { slug: '', shown: null, grid: null, done: '' };
  const made = /** @type {TestPanel} */ (begunMade);
  made.lead = leadLine();
  made.bar = progressBar(null, t('Painting'));
  made.said = el('div', {});
  made.verdict = verdictCard((button) => actOn(button, made.form));
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

/** @param {TestPanel} made */
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
  const lead = testWords(made, character, runs, job, last);
  made.lead.set(lead);
  made.coloured = (lead.buttons || []).some((one) => one && one.main);
  showJob(made, job, last);
  made.another.hidden = !runs || !runs.some((run) => run.checkpoints.length);
  unfold(made, grids, runs, job);
  made.earlier.set(grids, made.shown);
  showGrid(made);
}

/**
 * What was found with another LoRA is asked for once, and again when such a job has ended.
 * @param {TestPanel} made
 * @param {Job | null} last
 */
function loadCombined(made, last) {
  const ended = last && last.kind === 'combine' && last.state === 'finished' ? last.id : '';
  const mark = `${made.slug}|${ended}`;
  if (mark === made.combinedOf) return;
  made.combinedOf = mark;
  const newest = last && last.kind === 'combine'; // else the test of the LoRA alone comes first
  made.result.parentNode?.insertBefore(made.combined.node, newest ? made.result : made.earlier.node);
  made.combined.load(made.slug);
}

/**
 * The form is open where nothing has been tested, and otherwise as the user has left it.
 * @param {TestPanel} made
 * @param {RunGrid[]} grids
 * @param {RunRecord[] | null} runs
 * @param {Job | null} job
 */
function unfold(made, grids, runs, job) {
  const mark = `${made.slug}|${!grids.length && !job}`;
  if (!runs || mark === made.opened) return;
  made.opened = mark;
  made.another.open = !grids.length && !job;
}

/**
 * Which grid is shown: the user's choice, else the one of the last job, else the newest.
 * @param {TestPanel} made
 * @param {RunRecord[] | null} runs
 * @param {RunGrid[]} grids
 * @param {Job | null} job
 * @param {Job | null} last
 */
function choose(made, runs, grids, job, last) {
  if (!runs) return;
  const { run, grid } = (last && last.state === 'finished' && last.result) || {};
  const done = last && run && grid ? { mark: String(last.id), run, id: grid } : null;
  if (done && done.mark !== made.done) {
    made.done = done.mark;
    show(made, { run: done.run, id: done.id });
  }
  const wanted = app.wantedGrid;
  if (wanted && wanted.slug === made.slug) {
    app.wantedGrid = null;
    show(made, { run: wanted.run, id: wanted.id });
  }
  const first = grids.find(({ grid }) => !(grid.more || []).length) || grids[0]; // with another LoRA it is another test
  if (!made.shown && !job && first) show(made, { run: first.run.id, id: first.grid.id });
}

/**
 * @param {TestPanel} made
 * @param {GridChoice} which
 * @param {boolean} [byHand]
 */
async function show(made, which, byHand = false) {
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
    fillWith(made.said, notice('bad', asError(error).message));
    if (asError(error).status !== 404) setTimeout(() => showAgain(made, which), AGAIN);
  }
}

/**
 * Ask again for a grid that could not be had, as long as it is the one to be shown.
 * @param {TestPanel} made
 * @param {GridChoice} which
 */
function showAgain(made, which) {
  if (made.shown !== which || made.grid || !made.result.isConnected) return;
  if (visible() && app.step === 'test') show(made, which);
  else setTimeout(() => showAgain(made, which), AGAIN);
}

/** Ask what has changed of a grid, by its character, run and number. */
const askGrid = growing((mark, slug, run, grid) =>
  api.get(`/characters/${slug}/runs/${run}/grids/${grid}?since=${mark}`),
);

/**
 * While pictures are painted, look for those that are there; the grid may not be known yet.
 * @param {TestPanel} made
 */
async function look(made) {
  const job = openJobAt('test');
  const of = job && (job.run || job.arguments.run || newestOf(knownRuns()));
  if (!job || job.state !== 'running' || !of) return;
  const { slug } = app;
  const run = await askRun(slug, of);
  const open = run.grids.filter((grid) => !grid.kind).sort((a, b) => Number(b.id) - Number(a.id))[0];
  if (!open || app.slug !== slug) return;
  const grid = await askGrid(slug, of, open.id);
  if (app.slug !== slug) return;
  made.live = { ...grid, run: of };
  showGrid(made);
}

/**
 * The run that is tested where none is named.
 * @param {RunRecord[] | null} runs
 */
function newestOf(runs) {
  const found = (runs || []).find((run) => run.checkpoints.length);
  return found ? found.id : '';
}

/** @param {TestPanel} made */
function showGrid(made) {
  const job = openJobAt('test');
  const painting = job && job.state === 'running' && made.live && made.live.rows.some((row) => row.url);
  if (!job) made.live = null;
  const grid = painting ? made.live : made.grid;
  made.result.hidden = !grid;
  if (!grid) return;
  const judged = withVerdict(grid);
  for (const part of [made.verdict, made.strip, made.facts, made.links]) part.hidden = !judged;
  if (judged) {
    made.verdict.set(judged, made.coloured);
    made.strip.set(made.slug, grid.photos);
    made.facts.set(judged);
    showLinks(made, judged);
  }
  made.chart.set(judged ? grid.tested : []);
  made.pictures.set(grid);
}

/**
 * A grid that was judged; null where it was not.
 * @param {Grid} grid
 * @returns {ShownGrid | null}
 */
function withVerdict(grid) {
  const { verdict } = grid;
  return verdict && { ...grid, verdict };
}

/**
 * @param {TestPanel} made
 * @param {ShownGrid} grid
 */
function showLinks(made, grid) {
  const folder = `/characters/${made.slug}/runs/${grid.run}/grids/${grid.id}`;
  const link = (/** @type {string} */ label, /** @type {string} */ path) =>
    el('a', { href: url(path), target: '_blank', rel: 'noopener', text: t(label) });
  const key = `${folder}|${grid.html}`;
  if (made.links.dataset.of === key) return;
  made.links.dataset.of = key;
  fillWith(
    made.links,
    link('The whole report', grid.html || `${folder}/report.html`),
    link('All in one picture', `${folder}/sheet.png`),
  );
}

/**
 * @param {TestPanel} made
 * @param {Job | null} job
 * @param {Job | null} last
 */
function showJob(made, job, last) {
  const standing = job && job.state === 'running' && job.standing;
  made.bar.hidden = !standing;
  if (standing) made.bar.set(standing.total ? standing.done / standing.total : null, t('Painting'));
  if (made.grid || job) fillWith(made.said);
  const ended = last && last.broken ? last : null;
  made.log.set(job ? job.id : ended ? ended.id : null);
}
