/** Which character and which step are shown, and the jobs of that character. */

import { STEPS, app, pageState } from './app.js';
import { redraw } from './redraw.js';

const KEPT = 'sameface-chosen'; // in localStorage

/**
 * The chosen character's entry of the state, or null.
 * @returns {Character | null}
 */
export function chosenCharacter() {
  const all = app.state ? app.state.characters : [];
  return all.find((one) => one.slug === app.slug) || null;
}

/**
 * The open job of a kind of a character; a running one before waiting ones; or null.
 * @param {JobKind} kind
 * @param {string} [slug]
 */
export function openJob(kind, slug = app.slug) {
  return firstOpen((job) => job.kind === kind && job.slug === slug);
}

/**
 * The open job of a character that belongs to a step of the page; a running one before waiting ones; or null.
 * @param {string} step
 * @param {string} [slug]
 */
export function openJobAt(step, slug = app.slug) {
  return firstOpen((job) => job.step === step && job.slug === slug);
}

/** @param {(job: Job) => boolean} fits */
function firstOpen(fits) {
  const jobs = app.state ? app.state.queue.jobs : [];
  return jobs.filter((job) => job.open && fits(job)).sort((a, b) => a.order - b.order)[0] || null;
}

/**
 * The newest job of a kind of a character, where it did not come to its end by itself; or null.
 * @param {JobKind} kind
 * @param {string} [slug]
 */
export function failedJob(kind, slug = app.slug) {
  const jobs = app.state ? app.state.queue.jobs : []; // open ones, then those that have ended, the newest first
  const newest = jobs.find((job) => job.kind === kind && job.slug === slug);
  return newest && newest.broken ? newest : null;
}

/** @type {{slug?: string, step?: Step} | null} */
let early = null; // where to turn once the first state is there

/**
 * Turn to another character, another step, or both.
 * @param {{slug?: string, step?: Step}} to
 */
export function goTo(to) {
  if (!app.state) {
    early = { ...early, ...to };
    return;
  }
  const slug = to.slug ?? app.slug;
  const step = to.step || app.step;
  app.slug = slug;
  app.step = step;
  keep();
  redraw();
}

/** @returns {Step[]} */
function places() {
  return [...STEPS, 'invent'];
}

/** Where it is kept: another data folder at the same address has other characters. */
function place() {
  return `${KEPT}-${(app.state && app.state.folder) || ''}`;
}

function keep() {
  const step = places().includes(app.step) ? app.step : ''; // a form is not come back to
  try {
    localStorage.setItem(place(), JSON.stringify({ slug: app.slug, step }));
  } catch (error) {
    // a browser may forbid storage: then the choice lasts as long as the page
  }
}

/** Take up what was chosen when the page was left; in a browser that does not know, the character used last. */
export function recall() {
  const all = pageState().characters;
  /** @type {{slug?: string, step?: Step}} */
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(place()) || 'null') || {};
  } catch (error) {
    // as if nothing was kept
  }
  const found = all.find((one) => one.slug === kept.slug) || usedLast();
  app.slug = found ? found.slug : '';
  const step = found && found.slug === kept.slug ? kept.step : undefined;
  app.step = step && places().includes(step) ? step : (found && found.next) || 'photos';
  if (early) Object.assign(app, early); // somebody was quicker than the first answer
  early = null;
}

/** The character that was worked on last; null where there is none. */
export function usedLast() {
  const all = [...pageState().characters];
  return all.sort((a, b) => (b.touched || 0) - (a.touched || 0))[0] || null;
}
