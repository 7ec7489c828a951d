/** Requests to the routes. */

import { app } from './app.js';
import { t } from './texts.js';

const PREFIX = '/sameface/v1';
const PATIENT = ['/state', '/waits']; // they are asked seldom once nobody answers

/** @type {Action} */
let posted = () => {};

function base() {
  const given = app.mount && app.mount.dataset.base;
  return (given || window.location.pathname).replace(/\/+$/, ''); // a webui may be below another path (--subpath)
}

function token() {
  return (app.mount && app.mount.dataset.token) || '';
}

/**
 * Absolute address of a path below the routes, with the token: for pictures and links.
 * @param {string} path
 */
export function url(path) {
  const start = path.startsWith(`${base()}${PREFIX}/`) ? '' : path.startsWith(`${PREFIX}/`) ? base() : base() + PREFIX;
  const joint = path.includes('?') ? '&' : '?';
  return token() ? `${start}${path}${joint}token=${encodeURIComponent(token())}` : start + path;
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
async function request(path, options) {
  let answer;
  try {
    answer = await fetch(base() + PREFIX + path, {
      credentials: 'same-origin',
      cache: 'no-store',
      ...options,
      headers: { 'X-SameFace': token(), ...(options && options.headers) },
    });
  } catch (error) {
    throw failure(unconnected(), 0);
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok && body !== null) return body;
  throw failure(sentence(answer.status, body), answer.status, (body && body.field) || '');
}

function unconnected() {
  return t('No connection to the webui; is it still running?');
}

/**
 * @param {number} status
 * @param {{error?: unknown} | null} body
 */
function sentence(status, body) {
  if (body && typeof body.error === 'string' && body.error) return body.error;
  if (status === 401) return t('The webui was restarted; reload this page.');
  if (status === 413) return t('This is too large to send.');
  return t('The webui answered with the error {status}; see its console.', { status });
}

/**
 * @param {string} message
 * @param {number} status of the answer; 0 = there was none.
 * @param {string} [field] that is refused.
 */
function failure(message, status, field = '') {
  return Object.assign(new Error(message), { status, field });
}

/**
 * Promise of the JSON at a path below the routes; rejects with an Error whose message is one sentence.
 *
 * While the webui is not there nothing but `/state` looks for it, and seldom: a request that reaches A1111 just as it
 * starts can end it ("Cannot add middleware after an application has started").
 * @template {GetPath} P
 * @param {P} path
 * @returns {Promise<AnswerOf<P>>}
 */
export async function get(path) {
  if (app.lost && !PATIENT.includes(path.split('?')[0])) throw failure(unconnected(), 0);
  return request(path);
}

/**
 * As `get`; `/state` is asked soon afterwards.
 * @template {PostPath} P
 * @param {P} path
 * @param {BodyOf<P>} [body]
 * @param {RequestInit} [options]
 * @returns {Promise<PostAnswerOf<P>>}
 */
export async function post(path, body, options) {
  try {
    const headers = { 'Content-Type': 'application/json' };
    return await request(path, { method: 'POST', headers, body: JSON.stringify(body || {}), ...options });
  } finally {
    posted();
  }
}

/**
 * Say what is done after each `post`.
 * @param {Action} run
 */
export function afterPost(run) {
  posted = run;
}
