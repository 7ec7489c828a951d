/** What a request alone may not do: a code is shown where the webui runs, and asked for here. */

import * as api from '../base/api.js';
import { el, setText } from '../base/dom.js';
import { asError } from '../base/page_error.js';
import { t } from '../base/texts.js';
import { actionButton, formField, openDialog } from './widgets.js';

const NEEDED = 428;
const WHY = 'This confirms that it is you who runs a program or writes to a folder.';

/**
 * Post; where the route asks for the code, ask for it in a dialog, and post again with it.
 * @template {PostPath} P
 * @param {P} path
 * @param {BodyOf<P>} body
 * @returns {Promise<PostAnswerOf<P>>} rejects with one sentence where the dialog is closed.
 */
export async function postWithCode(path, body) {
  try {
    return await api.post(path, body);
  } catch (error) {
    if (asError(error).status !== NEEDED) throw error;
    return typed(path, body, asError(error).message);
  }
}

/**
 * @template {PostPath} P
 * @param {P} path
 * @param {BodyOf<P>} body
 * @param {string} sentence
 * @returns {Promise<PostAnswerOf<P>>}
 */
function typed(path, body, sentence) {
  return new Promise((resolve, reject) => {
    let ended = () => reject(new Error(t('No code was typed, so nothing was changed.')));
    const said = el('p', { text: t(sentence), role: 'status' });
    const input = el('input', { class: 'sf-input', type: 'text', spellcheck: false, autocomplete: 'off' });
    const send = async () => {
      if (!input.value.trim()) return input.focus();
      try {
        const answer = await api.post(path, { ...body, code: input.value });
        ended = () => resolve(answer);
      } catch (error) {
        if (asError(error).status === NEEDED) return wrong(asError(error).message);
        ended = () => reject(error);
      }
      return shown.close();
    };
    const wrong = (/** @type {string} */ text) => {
      setText(said, t(text));
      input.select();
    };
    input.addEventListener('keydown', (event) => event.key === 'Enter' && send());
    const buttons = [actionButton('Cancel', () => shown.close()), actionButton('Confirm', send, { main: true })];
    const field = formField('Code', input, WHY);
    const row = el('div', { class: 'sf-row sf-end' }, buttons);
    const content = el('div', { class: 'sf-dialog-body' }, said, field, row);
    const shown = openDialog('Is this you?', content, { closed: () => ended() });
    input.focus();
  });
}
