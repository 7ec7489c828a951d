/**
 * How a training or a test goes, where the page itself is not seen: in its title and its icon, and at the end in a
 * notification of the browser, if the user has asked for that. In a webui both are the webui's own again afterwards.
 */

import { app } from '../base/app.js';
import { el } from '../base/dom.js';
import * as format from '../base/format.js';
import { readStored, writeStored } from '../base/stored.js';
import { t } from '../base/texts.js';
import { showFault } from '../widgets/faults.js';
import { checkbox } from '../widgets/form_parts.js';

const SIZE = 64; // pixels of the icon
const COLOURS = { running: '#ea580c', finished: '#15803d', failed: '#b91c1c', ring: '#9ca3af', ground: '#ffffff' };
const MARKS = { finished: '✓', failed: '×' };

/** @type {{title: string, icons: HTMLLinkElement[]} | null} */
let host = null; // {title, icons} of the page while ours are shown
let own = ''; // our title, as it was set last
/** @type {HTMLLinkElement | null} */
let icon = null; // our <link>
let drawn = ''; // what the icon shows
/** @type {{state: 'finished' | 'failed', character: string} | null} */
let ended = null; // {state, character}: the end that nobody has seen yet

/** The job that the title speaks of. */
function running() {
  const jobs = app.state ? app.state.queue.jobs : [];
  return jobs.find((job) => job.announced && job.state === 'running') || null;
}

/** Show how far the work is, that it has ended, or the page's own title again. */
export function update() {
  const job = running();
  if (job) {
    const { standing } = job;
    const share = standing && standing.counted ? standing.done / standing.total : null;
    const far = share === null ? '…' : format.percent(share);
    ended = null;
    show(`${far} ${job.character} · SameFace`, 'running', share || 0);
  } else if (ended) {
    show(`${MARKS[ended.state]} ${ended.character} · SameFace`, ended.state, 1);
  } else {
    restore();
  }
}

/**
 * @param {string} title
 * @param {SignalState} state
 * @param {number} share
 */
function show(title, state, share) {
  if (!host)
    host = {
      title: document.title,
      icons: /** @type {HTMLLinkElement[]} */ ([...document.querySelectorAll('link[rel~="icon"]')]),
    };
  else if (document.title !== own) host.title = document.title; // the webui has set another one meanwhile
  own = title;
  if (document.title !== title) document.title = title;
  const mark = `${state} ${Math.round(share * 100)}`;
  if (mark === drawn) return;
  drawn = mark;
  host.icons.forEach((link) => link.remove());
  if (icon) icon.remove();
  icon = el('link', { rel: 'icon', type: 'image/png', href: picture(state, share) });
  document.head.append(icon); // a new one: a browser does not look at a changed one each time
}

function restore() {
  if (!host) return;
  if (document.title === own) document.title = host.title;
  if (icon) icon.remove();
  document.head.append(...host.icons);
  [host, icon, own, drawn] = [null, null, '', ''];
}

/**
 * A ring that fills, or a disc with the sign of the end.
 * @param {SignalState} state
 * @param {number} share
 */
function picture(state, share) {
  const canvas = el('canvas', { width: SIZE, height: SIZE });
  const pen = canvas.getContext('2d');
  if (!pen) return '';
  const middle = SIZE / 2;
  const disc = (/** @type {string} */ colour, /** @type {number} */ radius) => {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.arc(middle, middle, radius, 0, 2 * Math.PI);
    pen.fill();
  };
  if (state === 'running') {
    disc(COLOURS.ring, middle);
    pen.fillStyle = COLOURS.running;
    pen.beginPath();
    pen.moveTo(middle, middle);
    pen.arc(middle, middle, middle, -Math.PI / 2, -Math.PI / 2 + 2 * Math.PI * share);
    pen.fill();
    disc(COLOURS.ground, middle * 0.5);
  } else {
    disc(COLOURS[state], middle);
    pen.strokeStyle = COLOURS.ground;
    pen.lineWidth = SIZE / 8;
    pen.lineCap = 'round';
    pen.beginPath();
    const lines =
      state === 'finished'
        ? [[18, 34, 28, 44, 46, 22]]
        : [
            [20, 20, 44, 44],
            [44, 20, 20, 44],
          ];
    for (const [x, y, ...rest] of lines) {
      pen.moveTo(x, y);
      for (let at = 0; at < rest.length; at += 2) pen.lineTo(rest[at], rest[at + 1]);
    }
    pen.stroke();
  }
  return canvas.toDataURL('image/png');
}

/**
 * A job has ended since the last state.
 * @param {Job} job
 */
export function over(job) {
  if (!job.announced || job.state === 'stopped') return;
  ended = { state: job.state === 'finished' ? 'finished' : 'failed', character: job.character };
  notify(job);
}

/** The user is here: what has ended is seen. */
function seen() {
  if (!ended || document.hidden) return;
  ended = null;
  update();
}

for (const event of ['pointerdown', 'keydown']) document.addEventListener(event, seen, true);
document.addEventListener('visibilitychange', seen);

// Notifications

const possible = () => 'Notification' in window && window.isSecureContext;
const wanted = () => possible() && Boolean(readStored('notify', false)) && Notification.permission === 'granted';

/** @param {Job} job */
function notify(job) {
  if (!wanted() || document.hasFocus()) return; // who looks has seen it
  const words = job.state === 'finished' ? '{job}: finished' : '{job}: {error}';
  const body = t(words, { job: job.text, error: job.error || t('interrupted') });
  try {
    const made = new Notification('SameFace', { body, tag: `sameface-${job.id}` }); // one for all open pages
    made.onclick = () => window.focus();
  } catch (error) {
    // some browsers of phones show none from a page
  }
}

/** A box to tick: the browser is asked when it is ticked, and never otherwise. Hidden where there are none. */
export function tick() {
  const help = 'A browser notification when a training or a test ends while you are looking elsewhere.';
  const made = checkbox('Notify me at the end', wanted(), () => ask(box), help);
  made.classList.add('sf-notify');
  made.hidden = !possible();
  const updated = () => {
    made.input.checked = wanted();
    made.hidden = !possible();
  };
  /** @type {NotifyBox} */
  const box = Object.assign(made, { update: updated });
  return box;
}

/** @param {NotifyBox} box */
async function ask(box) {
  const yes = box.input.checked;
  if (yes && Notification.permission === 'default') await Notification.requestPermission();
  writeStored('notify', yes && Notification.permission === 'granted');
  box.update();
  const refused = yes && !wanted();
  showFault(
    box.input,
    refused ? 'The browser does not allow it; allow notifications for this page in its settings.' : '',
  );
}

/** Whether somebody may wait for something although the page is not seen. */
export function awaited() {
  const { jobs, paused } = app.state ? app.state.queue : { jobs: [], paused: false };
  return jobs.some((job) => job.announced && (job.state === 'running' || (job.state === 'waiting' && !paused)));
}
