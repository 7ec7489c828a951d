/**
 * The tab's life: waits for the element `#sameface`, draws the head and the shown panel, and asks for the state while
 * somebody looks.
 */

import * as api from '../base/api.js';
import { PANELS, STEPS, app, pageState } from '../base/app.js';
import { usedLast } from '../base/choice.js';
import { el, setText } from '../base/dom.js';
import { asError } from '../base/page_error.js';
import { drawWith, redraw } from '../base/redraw.js';
import { t } from '../base/texts.js';
import { toast } from '../widgets/widgets.js';
import * as head from './head.js';
import * as polling from './polling.js';
import { awaited } from './title_signal.js';

const LOOK = 500; // milliseconds between two looks for the element

const COSTS = 'A rented GPU costs money, and no job uses it: end it in the Doctor.';

let asked = false; // for rented GPUs, once for each page
/**
 * What is drawn: the sections by step, and the step that is shown.
 * @type {{root: HTMLElement, stage: HTMLElement, line: HTMLElement, sections: Partial<Record<Step, HTMLElement>>, shown: Step}
 *   | null}
 */
let drawn = null;
/** @type {IntersectionObserver | null} */
let observer = null;

/**
 * Begin; to be called once.
 * @param {Partial<Record<Step, Panel>>} panels by step. `mount(root)` is called again with a new root when the host draws its page anew.
 */
export function begin(panels) {
  app.panels = panels;
  drawWith(draw);
  polling.begin({ offline, awaited });
  look();
  setInterval(look, LOOK); // the host draws late, and anew after "Reload UI"
}

// The element

function place() {
  /** @type {HTMLElement | null} */
  const found = document.querySelector('#sameface');
  if (found) return found;
  try {
    const host = typeof window.gradioApp === 'function' ? window.gradioApp() : null;
    /** @type {HTMLElement | null} */
    const inside = host ? host.querySelector('#sameface') : null;
    return inside;
  } catch {
    return null; // the host is not there yet
  }
}

function look() {
  const found = place();
  if (drawn && !drawn.root.isConnected) leave();
  if (found && (!drawn || found !== drawn.root || !found.contains(drawn.stage))) start(found);
}

/** @param {HTMLElement} root */
function start(root) {
  if (drawn) leave();
  app.mount = root;
  app.drawn = true;
  const line = el('div', { class: 'sf-offline', role: 'alert', hidden: true });
  const above = el('div', { class: 'sf-head' });
  const stage = el('div', { class: 'sf-stage' });
  stage.append(el('p', { class: 'sf-quiet', text: t('Loading …') }));
  root.replaceChildren(line, above, stage);
  root.classList.add('sf');
  drawn = { root, stage, line, sections: {}, shown: '' };
  observer = new IntersectionObserver(() => polling.wake());
  observer.observe(root);
  head.mount(above);
  if (app.state) redraw();
  polling.refresh().catch(() => null);
}

function leave() {
  if (!drawn) return;
  const panel = app.panels[drawn.shown];
  if (panel && panel.hidden) guarded(panel.hidden);
  observer?.disconnect();
  polling.pause();
  drawn = null;
  app.drawn = false;
}

/** @param {string} why */
function offline(why) {
  if (!drawn) return;
  drawn.line.hidden = !why;
  if (why) setText(drawn.line, why);
}

// Drawing

/**
 * An error in one panel must not make the others vanish.
 * @param {Action} run
 */
function guarded(run) {
  try {
    run();
  } catch (error) {
    console.error('SameFace:', error);
    toast(String(asError(error).message || error), 'bad');
  }
}

function rightChoice() {
  const { characters } = pageState();
  const there = characters.some((one) => one.slug === app.slug);
  if (!there) {
    const left = app.slug;
    app.slug = usedLast()?.slug ?? '';
    if (left && characters.length) app.step = STEPS.includes(app.step) ? 'photos' : app.step;
  }
  if (!characters.length && !PANELS.includes(app.step)) app.step = 'new';
  if (characters.length && app.step === 'new' && drawn?.shown === '') app.step = 'photos';
}

/** Say that a rented GPU lives which nobody uses; without an API key of RunPod nothing is asked of anybody. */
async function warnOfPods() {
  asked = true;
  const pods = await api.get('/pods').catch(() => []);
  if (pods.some((one) => one.job === null)) toast(COSTS, 'warn');
}

function draw() {
  if (!drawn || !app.state) return;
  if (!asked) warnOfPods();
  guarded(rightChoice);
  guarded(() => head.update());
  const step = app.step;
  const panel = app.panels[step];
  if (!panel) return;
  turn(step, panel);
  if (panel.update) guarded(panel.update);
}

/**
 * @param {Step} step
 * @param {Panel} panel
 */
function turn(step, panel) {
  if (!drawn || drawn.shown === step) return;
  const before = app.panels[drawn.shown];
  if (before && before.hidden) guarded(before.hidden);
  if (!drawn.shown) drawn.stage.replaceChildren();
  for (const one of Object.values(drawn.sections)) one.hidden = true;
  drawn.shown = step;
  document.querySelectorAll('#sameface .sf-toast.sf-bad').forEach((one) => one.remove()); // of what was left behind
  let section = drawn.sections[step];
  if (!section) {
    const made = el('section', { class: `sf-panel sf-panel-${step}`, id: `sf-panel-${step}` });
    const tab = [...STEPS, ...PANELS].includes(step);
    made.setAttribute('role', tab ? 'tabpanel' : 'region');
    made.setAttribute(tab ? 'aria-labelledby' : 'aria-label', tab ? `sf-tab-${step}` : t('Character'));
    drawn.sections[step] = section = made;
    drawn.stage.append(made);
    guarded(() => panel.mount(made));
  }
  section.hidden = false;
  if (panel.shown) guarded(panel.shown);
}
