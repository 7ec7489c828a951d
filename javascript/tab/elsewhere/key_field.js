/** The API key of a service: it is typed in once, kept where SameFace runs, and never shown again. */

import * as api from '../base/api.js';
import { pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { refuseForm, sendForm } from '../widgets/faults.js';
import { actionButton, formField, toast } from '../widgets/widgets.js';

/** @type {KeyService} */
export const RUNPOD = {
  service: 'runpod',
  path: '/runpod/key',
  forget: '/runpod/key/forget',
  label: 'API key of RunPod',
  where: 'Make one in RunPod’s console under Settings, API Keys. It stays on this computer, and is never shown.',
  forgotten: 'The API key has been removed here; delete it in RunPod’s console too.',
};

/**
 * @param {(kept: string) => void} changed is called with where the key is kept; empty = nowhere.
 * @param {KeyService} service whose key it is: the routes that keep and forget it, and the texts; as `RUNPOD`.
 * @returns with `set(kept)`.
 */
export function keyField(changed, service) {
  const input = el('input', { class: 'sf-input', type: 'password', autocomplete: 'off', spellcheck: false });
  const keep = actionButton('Save the API key', () => store());
  const typing = el('div', { class: 'sf-stack' }, formField(service.label, input, service.where), el('div', {}, keep));
  const said = el('span', { class: 'sf-help' });
  const forget = actionButton('Forget the key', () => remove(), { small: true, quiet: true });
  const node = el('div', { class: 'sf-stack' }, typing, el('div', { class: 'sf-row' }, said, forget));
  input.addEventListener('keydown', (event) => event.key === 'Enter' && keep.click());

  async function store() {
    refuseForm([!input.value.trim() && { target: input, text: 'Paste the API key first.' }]);
    const { kept_in } = await sendForm({ key: input }, () => api.post(service.path, { key: input.value }));
    input.value = '';
    toast('The API key is saved.', 'good');
    changed(kept_in);
  }

  async function remove() {
    const { kept_in } = await api.post(service.forget);
    toast(service.forgotten, 'good');
    changed(kept_in);
  }

  const set = (/** @type {string} */ kept) => {
    typing.hidden = Boolean(kept);
    setText(said, kept ? t(pageState().words.kept_keys[service.service][kept]) : '');
    forget.hidden = !kept || kept === 'environment';
  };
  set('');
  return Object.assign(node, { set });
}
