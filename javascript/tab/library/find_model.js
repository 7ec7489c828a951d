/** Finds a model on Civitai, says what may be done with it, and fetches it. */

import * as api from '../base/api.js';
import { el, fillWith } from '../base/dom.js';
import { bytes } from '../base/format.js';
import { t } from '../base/texts.js';
import { refuseForm } from '../widgets/faults.js';
import { actionButton, askConfirm, formField, notice, selectBox, toast } from '../widgets/widgets.js';
import { lightBadge } from './licence_lights.js';
import { details } from './model_cards.js';

/**
 * @param {() => void} begun is called once a task was started.
 * @returns with `set(task, library)`: the newest search, and the answer of `/library`.
 */
export function findModel(begun) {
  const input = el('input', { class: 'sf-input', type: 'text', autocomplete: 'off', spellcheck: false });
  const find = actionButton('Find it', () => search(asked(), ''));
  const shown = el('div', { class: 'sf-stack' });
  const help = 'The address of its page, such as https://civitai.com/models/4384, its number, or a hash.';
  const node = el(
    'div',
    { class: 'sf-stack' },
    formField('A model on Civitai', input, help),
    el('div', { class: 'sf-row' }, find),
    shown,
  );
  let key = '';
  let agreed = false;
  input.addEventListener('keydown', (event) => event.key === 'Enter' && find.click());

  function asked() {
    const what = input.value.trim();
    refuseForm([!what && { target: input, text: 'Which model?' }]);
    return what;
  }

  async function search(/** @type {string} */ what, /** @type {string} */ version) {
    if (!agreed) return toast('Civitai is only asked once you have agreed: the button is at the top.', 'warn');
    await api.post('/library/find', { what, version });
    return begun();
  }

  async function take(/** @type {FoundModel} */ found, /** @type {string} */ file) {
    const words = 'The page of {title} says that it shows a real person. Download it anyway?';
    if (found.poi && !(await askConfirm(t(words, { title: found.title }), 'Download', { danger: true }))) return;
    await api.post('/library/fetch', { what: found.what, version: found.version, file });
    begun();
  }

  function result(/** @type {FoundModel} */ found, /** @type {Library} */ library) {
    if (!found.known) return notice('none', t('Civitai does not know {what}.', { what: found.what }));
    const version = selectBox(found.versions, found.version, (chosen) => search(found.what, chosen).catch(() => null));
    const files = found.files.map((one) => ({ value: one.value, text: `${one.text} (${bytes(one.bytes)})` }));
    const file = selectBox(files, found.file);
    const fetch = actionButton('Download', () => take(found, file.value), { main: true });
    const folder = library.folders[found.goes_to];
    const { light } = found.assessment.lights.pictures;
    const { creator, base_model: base } = found.summary;
    const size = (found.files.find((one) => one.value === found.file) || {}).bytes;
    const parts = [found.kind, base, creator && t('by {creator}', { creator }), size && bytes(size)];
    const about = parts.filter(Boolean).join(' · ');
    return el(
      'div',
      { class: 'sf-card' },
      el('div', { class: 'sf-check-head' }, el('b', { text: found.title }), lightBadge(light)),
      el('p', { class: 'sf-help', text: about }),
      details(found, library.purposes),
      found.versions.length > 1 ? formField('Version', version) : null,
      files.length > 1 && !found.refusal ? formField('File', file) : null,
      found.refusal ? notice('warn', el('span', { text: found.refusal.message })) : null,
      found.refusal || !folder
        ? null
        : el('p', { class: 'sf-help', text: t('It will be saved in {folder}.', { folder }) }),
      found.refusal ? null : el('div', { class: 'sf-row' }, fetch),
    );
  }

  const set = (/** @type {FindTask | undefined} */ task, /** @type {Library} */ library) => {
    const running = Boolean(task && task.state === 'running');
    agreed = library.civitai.state === 'agreed';
    find.disabled = running;
    const now = task ? `${task.number}|${task.state}` : '';
    if (now === key) return;
    key = now;
    if (!task) return fillWith(shown);
    if (running) return fillWith(shown, notice('busy', t('Asking Civitai …')));
    if (task.error) return fillWith(shown, notice('bad', el('span', { text: task.error.message })));
    return fillWith(shown, task.result ? result(task.result, library) : null);
  };
  return Object.assign(node, { set });
}
