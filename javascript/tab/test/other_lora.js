/** The choice of another LoRA, with which the character's is tested together. */

import * as api from '../base/api.js';
import { pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { numberField } from '../widgets/form_parts.js';
import { actionButton, foldSection, formField, selectBox } from '../widgets/widgets.js';

/**
 * @param {Action} changed is called when another one is chosen.
 * @param {Action} combine is called to see how much of the other LoRA the face survives.
 * @returns `loras()`: as a test job has them; `refuse(true)`: nothing can be
 *   painted now.
 */
export function otherLora(changed, combine) {
  const { limits } = pageState();
  const none = { value: '', text: t('None') };
  let refused = false;
  const select = selectBox([none], '', () => show());
  const weight = numberField(limits.prompt_weight, 0.05);
  const weightField = formField('Its weight', weight, 'In the test pictures.');
  const tried = el('input', { class: 'sf-input', type: 'text', spellcheck: false, autocomplete: 'off' });
  tried.value = limits.combined_weights.join(' ');
  const triedField = formField('Weights to try', tried, 'Of the other LoRA, above 0. Weight 0 is always painted too.');
  const curve = actionButton('Find the weight the face survives', combine);
  const about = el('p', { class: 'sf-help' });
  const none_there = el('p', { class: 'sf-help', text: t('There is no LoRA in the LoRA folders yet.') });
  const fields = el('div', { class: 'sf-halves' }, formField('Other LoRA', select), weightField);
  const search = el('div', {}, triedField, about, el('div', { class: 'sf-row' }, curve));
  const fold = foldSection('Another LoRA beside it', none_there, fields, search);
  fold.addEventListener('toggle', () => fold.open && load());
  const words = t('Paints the same {n} prompts at each of these weights and measures what is left of the face.', {
    n: limits.combined_pictures,
  });
  setText(about, words);

  function show() {
    const chosen = Boolean(select.value);
    weightField.hidden = search.hidden = !chosen;
    curve.disabled = refused || !chosen;
    changed();
  }

  async function load() {
    const found = await api.get('/loras').catch(() => []);
    const kept = found.some((one) => one.file === select.value) ? select.value : '';
    select.setChoices([none, ...found.map((one) => ({ value: one.file, text: one.name }))], kept);
    none_there.hidden = found.length > 0;
    fields.hidden = !found.length;
    show();
  }

  show();
  return {
    node: fold,
    select,
    weight,
    load,
    refuse: (/** @type {boolean} */ all) => {
      refused = all;
      curve.disabled = refused || !select.value;
    },
    tried,
    weights: () =>
      tried.value
        .split(/[\s;]+/)
        .filter(Boolean)
        .map(Number),
    file: () => select.value,
    loras: () =>
      select.value
        ? [{ file: select.value, weight: weight.value === '' ? limits.prompt_weight.usual : Number(weight.value) }]
        : [],
  };
}
