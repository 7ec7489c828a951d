/** Says below the webui's own Generate buttons that a picture waits while a LoRA is trained, and how long. */

import * as api from '../base/api.js';
import { app } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { t } from '../base/texts.js';

const TABS = ['txt2img', 'img2img'];
const AGAIN = 3000; // milliseconds between two looks, as long as one of the buttons can be seen
const LATER = 30000; // the same where nothing answers; a request as the webui reloads its UI can end it

let timer = 0;

/** Begin to look; to be called once. */
export function watch() {
  document.addEventListener('click', (event) => {
    const { target } = event;
    const pressed = target instanceof Element && TABS.some((tab) => target.closest(`#${tab}_generate`));
    if (pressed && app.mount) look();
  });
  document.addEventListener('visibilitychange', () => app.mount && look());
  look();
}

async function look() {
  clearTimeout(timer);
  let pause = AGAIN;
  if (app.mount && seen()) {
    const job = await holder();
    if (job === undefined) pause = LATER;
    TABS.forEach((tab) => say(tab, job));
  }
  clearTimeout(timer); // two may look at once
  timer = setTimeout(look, pause);
}

/** Whether somebody can see a Generate button. */
function seen() {
  const buttons = TABS.map((tab) => document.querySelector(`#${tab}_generate`));
  return !document.hidden && buttons.some((button) => button && button.getClientRects().length);
}

/** The job for which the webui's queue is held; null where pictures are painted, undefined where nobody says. */
async function holder() {
  try {
    return (await api.get('/waits')).job;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} tab
 * @param {Job | null | undefined} job
 */
function say(tab, job) {
  /** @type {HTMLElement | null} */
  const there = document.querySelector(`#sameface_waits_${tab}`);
  const line = there || (job && make(tab));
  if (!line) return;
  line.hidden = !job;
  if (job) setText(line, words(job));
}

/** @param {string} tab */
function make(tab) {
  const button = document.querySelector(`#${tab}_generate`);
  if (!button) return null;
  const line = el('p', { class: 'sameface-waits', id: `sameface_waits_${tab}`, role: 'status' });
  (button.closest(`#${tab}_generate_box`) || button).after(line);
  return line;
}

/** @param {Job} job */
function words(job) {
  const left = job.standing && job.standing.seconds_left;
  const values = { job: job.text, time: left ? format.duration(left) : '' };
  return left
    ? t('{job}: pictures wait until it is done, {time} left. Pause it in Train LoRA to paint now.', values)
    : t('{job}: pictures wait until it is done. Pause it in Train LoRA to paint now.', values);
}
