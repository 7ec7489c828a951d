/** The choice of another LoRA for a production: its tag goes into every prompt, where it can be changed. */

import * as api from '../base/api.js';
import { pageState } from '../base/app.js';
import { el } from '../base/dom.js';
import { t } from '../base/texts.js';
import { numberField } from '../widgets/form_parts.js';
import { actionButton, foldSection, formField, selectBox, toast } from '../widgets/widgets.js';
import { isTable, promptLines, withLora } from './prompt_text.js';

const HELP =
  'Such as a style from the Library. Its tag is added to each prompt. The step Test says up to ' +
  'which weight the face survives it.';

/**
 * @param {HTMLTextAreaElement} prompts the field of the prompts.
 * @param {() => void} changed is called when its text was changed.
 * @returns the element.
 */
export function loraInPrompts(prompts, changed) {
  const { limits } = pageState();
  const select = selectBox([], '');
  const weight = numberField(limits.prompt_weight, 0.05);
  const add = actionButton('Add it to every prompt', () => insert());
  const none = el('p', { class: 'sf-help', text: t('There is no LoRA in the LoRA folders yet.') });
  const fields = el('div', { class: 'sf-halves' }, formField('Other LoRA', select), formField('Its weight', weight));
  const row = el('div', { class: 'sf-stack' }, fields, el('div', { class: 'sf-row' }, add));
  const fold = foldSection('Another LoRA beside it', el('p', { class: 'sf-help', text: t(HELP) }), none, row);
  fold.addEventListener('toggle', () => fold.open && load());

  async function load() {
    const found = await api.get('/loras').catch(() => []);
    select.setChoices(
      found.map((one) => ({ value: one.name, text: one.name })),
      select.value || undefined,
    );
    none.hidden = found.length > 0;
    row.hidden = !found.length;
  }

  function insert() {
    if (!promptLines(prompts.value).length) return toast('Write at least one prompt.', 'warn');
    if (isTable(prompts.value)) return toast('The prompts are a table: write the tag into its column prompt.', 'warn');
    const given = weight.value === '' ? (limits.prompt_weight.usual ?? 1) : Number(weight.value);
    prompts.value = withLora(prompts.value, select.value, given);
    return changed();
  }

  return fold;
}
