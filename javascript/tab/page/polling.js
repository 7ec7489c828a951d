/** The state, asked for while somebody looks. */

import * as api from '../base/api.js';
import { app, pageState, visible } from '../base/app.js';
import { recall } from '../base/choice.js';
import { asError } from '../base/page_error.js';
import { redraw } from '../base/redraw.js';
import { merged } from '../base/state_changes.js';
import { t } from '../base/texts.js';

const BUSY = 1000; // milliseconds between two questions while something runs
const IDLE = 3000;
const UNSEEN = 5000; // while nobody looks, but the title and a notification tell how a job goes
const SECOND = 2000; // after one error; a single lost question is nothing
const LONGEST = 30000; // after more of them
const SOON = 120; // after a request that may have changed something

let timer = 0;
let debt = 0;
/** @type {Promise<PageState | null> | null} */
let asking = null; // the question that is on its way
/** @type {Promise<PageState | null> | null} */
let again = null; // the one after it
let failures = 0;
let mark = ''; // of the state that is drawn
/** @type {(why: string) => void} */
let offline = () => {};
let awaited = () => false;

api.afterPost(soon);

/**
 * Begin to ask.
 * @param {{offline: (a: string) => void, awaited: () => boolean}} hooks `offline` gets why nobody answers, empty where
 *   somebody does; `awaited`: whether to ask although nobody looks.
 */
export function begin(hooks) {
  ({ offline, awaited } = hooks);
  document.addEventListener('visibilitychange', wake);
}

/** Ask for the state now. The promise is kept once a state newer than this call is drawn. */
export function refresh() {
  if (!asking) return (asking = ask());
  if (!again) again = asking.catch(() => null).then(() => ((again = null), (asking = ask())));
  return again;
}

/** Ask for the state in a moment; many calls make one question. */
export function soon() {
  clearTimeout(debt);
  debt = setTimeout(() => refresh().catch(() => null), SOON);
}

/** The page may be seen again. */
export function wake() {
  if (visible() && !asking) refresh().catch(() => null);
}

/** Ask no more until `refresh` or `wake` is called. */
export function pause() {
  clearTimeout(timer);
}

async function ask() {
  clearTimeout(timer);
  try {
    const answer = await api.get(`/state?since=${mark}`);
    failures = 0;
    app.lost = false;
    offline('');
    if (answer.mark !== mark) {
      mark = answer.mark;
      const first = !app.state;
      app.state = merged(app.state, answer);
      if (first) recall();
      redraw();
    }
    return app.state;
  } catch (error) {
    failures += 1;
    app.lost = [0, 404].includes(asError(error).status ?? -1);
    if (failures > 1)
      offline(asError(error).status ? asError(error).message : t('No connection to the webui; trying again …')); // one lost question is no news
    throw error;
  } finally {
    asking = null;
    later();
  }
}

function later() {
  clearTimeout(timer);
  const seen = visible();
  if (!seen && !(app.drawn && awaited())) return; // `wake` asks when it is seen again
  timer = setTimeout(() => refresh().catch(() => null), seen ? interval() : Math.max(UNSEEN, interval()));
}

function interval() {
  if (failures) return failures > 1 ? LONGEST : SECOND;
  const { jobs } = pageState().queue;
  return jobs.some((job) => job.state === 'running' || (job.state === 'waiting' && !job.wish)) ? BUSY : IDLE;
}
