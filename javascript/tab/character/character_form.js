/** The fields that say who a character is; the same for a new one and for one that is changed. */

import { pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { clearFaults, refuseForm, sendForm, showFault } from '../widgets/faults.js';
import { formField } from '../widgets/widgets.js';
import { later, needed, triggerField } from './trigger_field.js';

const CLASSES = ['woman', 'man', 'person'];
/** @type {Record<ConsentKind, [string, string]>} */
const CONSENT = {
  fictional: ['Nobody real', 'A drawn, rendered or invented character that shows no living person.'],
  myself: ['Myself', 'These are photos of me.'],
  consented: ['Somebody who agreed', 'An adult who has given me documented consent to train on these photos.'],
};
let groups = 0;

/**
 * A set of fields.
 * @param {boolean} isNew whether the name is asked for and trigger words are proposed.
 * @returns `faults()` is what is missing (see `refuseForm`);
 *   `values()` is what the routes take; where something is missing, all of it is said below its fields, and it throws.
 *   `send(run)` does the same for what a route refuses.
 */
export function characterForm(isNew) {
  groups += 1;
  const name = isNew ? nameField() : null;
  const trigger = triggerField();
  const kind = classField();
  const consent = consentField();
  const traits = traitsField();
  /** @type {CharacterField[]} */
  const fields = [...(name ? [name] : []), trigger, kind, consent, traits];
  const node = el(
    'div',
    { class: 'sf-form' },
    fields.map((one) => one.node),
  );
  const targets = Object.fromEntries(fields.map((one) => [one.key, one.target]));
  const faults = () => fields.flatMap((one) => one.faults());
  if (name) name.listen((text) => trigger.propose(text));
  return {
    node,
    fill: (/** @type {Partial<Character>} */ character) => {
      clearFaults(Object.values(targets));
      fields.forEach((one) => one.set(character));
    },
    faults,
    values: () => {
      refuseForm(faults());
      /** @type {Posts['/characters']['body']} */
      const values = Object.assign({}, ...fields.map((one) => one.get()));
      return values;
    },
    /**
     * @template T
     * @param {() => Promise<T>} run
     */
    send: (run) => sendForm(targets, run),
    focus: () => node.querySelector('input')?.focus(),
  };
}

/** @returns {CharacterField & {listen: (run: (name: string) => void) => void}} */
function nameField() {
  const input = el('input', {
    class: 'sf-input',
    type: 'text',
    maxLength: pageState().limits.name_letters,
    autocomplete: 'off',
  });
  const help = 'What you call the character; the folder and the LoRA file are named after it.';
  const node = formField('Name', input, help);
  return {
    key: 'name',
    target: input,
    node,
    listen: (run) =>
      input.addEventListener(
        'input',
        later(() => run(input.value.trim())),
      ),
    set: (character) => (input.value = character.name || ''),
    faults: () => needed(input, 'Give the character a name.'),
    get: () => ({ name: input.value.trim() }),
  };
}

// What the character is

/** @returns {CharacterField} */
function classField() {
  const group = `sf-class-${groups}`;
  const other = el('input', {
    class: 'sf-input sf-short',
    type: 'text',
    maxLength: pageState().limits.class_word_letters,
    aria: { label: t('Another class word') },
  });
  other.placeholder = t('e.g. elf');
  const choices = [...CLASSES, 'other'].map((word) => choice(group, word, t(word)));
  const node = el(
    'fieldset',
    { class: 'sf-field' },
    el('legend', { text: t('What is it?') }),
    el('p', {
      class: 'sf-help',
      text: t('The plain word for what the model already knows; the face is learned on top of it.'),
    }),
    el(
      'div',
      { class: 'sf-choices sf-flow' },
      choices.map((one) => one.node),
      other,
    ),
  );
  const chosen = () => choices.map((one) => one.input).find((input) => input.checked);
  const show = () => {
    other.hidden = chosen()?.value !== 'other';
    if (other.hidden) showFault(other, '');
  };
  node.addEventListener('change', () => (show(), !other.hidden && other.focus()));
  return {
    key: 'class_word',
    target: node,
    node,
    set: (character) => {
      const word = character.class_word || '';
      const known = CLASSES.includes(word) ? word : word ? 'other' : '';
      choices.forEach((one) => (one.input.checked = one.input.value === known));
      other.value = known === 'other' ? word : '';
      show();
    },
    faults: () => {
      if (!chosen()) return [{ target: node, text: 'Choose what the character is: woman, man, …' }];
      return other.hidden || other.value.trim() ? [] : [{ target: other, text: 'Write the class word.' }];
    },
    get: () => ({ class_word: other.hidden ? (chosen()?.value ?? '') : other.value.trim() }),
  };
}

/**
 * @param {string} group
 * @param {string} value
 * @param {string} text
 * @param {string} [more]
 */
function choice(group, value, text, more = '') {
  const input = el('input', { type: 'radio', name: group, value });
  const words = el(
    'span',
    {},
    more ? el('strong', { text }) : el('span', { text }),
    more ? el('span', { text: more }) : null,
  );
  return { input, node: el('label', { class: 'sf-choice' }, input, words) };
}

// Why this face may be trained on

/** @returns {CharacterField} */
function consentField() {
  const group = `sf-consent-${groups}`;
  const choices = Object.entries(CONSENT).map(([kind, [text, more]]) => choice(group, kind, t(text), t(more)));
  const note = el('p', { class: 'sf-help' });
  const node = el(
    'fieldset',
    { class: 'sf-field' },
    el('legend', { text: t('Whose face is it?') }),
    el(
      'div',
      { class: 'sf-choices' },
      choices.map((one) => one.node),
    ),
    note,
  );
  /** @type {Consent | null} */
  let before = null;
  const chosen = () => choices.map((one) => one.input).find((input) => input.checked);
  const show = () => {
    const same = before && chosen()?.value === before.kind;
    const date = before && same ? before.date : new Date().toISOString().slice(0, 10);
    const words = same
      ? 'You declared this on {date}.'
      : 'This is stored with the date, {date}. Nothing is trained without it.';
    setText(note, t(words, { date }));
  };
  node.addEventListener('change', show);
  return {
    key: 'consent',
    target: node,
    node,
    set: (character) => {
      before = character.consent || null;
      choices.forEach((one) => (one.input.checked = one.input.value === before?.kind));
      show();
    },
    faults: () => (chosen() ? [] : [{ target: node, text: 'Choose whose face it is.' }]),
    get: () => (before?.kind === chosen()?.value ? {} : { consent: chosen()?.value }),
  };
}

/** @returns {CharacterField} */
function traitsField() {
  const input = el('input', { class: 'sf-input', type: 'text', autocomplete: 'off' });
  input.placeholder = t('e.g. red hair, freckles');
  const help =
    'Optional. Leave it empty and the trigger word learns everything that never changes. Traits named here, with ' +
    'commas between them, are written in captions and prompts, and can be changed there later.';
  return {
    key: 'traits',
    target: input,
    node: formField('Traits to name', input, help),
    set: (character) => (input.value = (character.traits || []).join(', ')),
    faults: () => [],
    get: () => ({
      traits: input.value
        .split(',')
        .map((one) => one.trim())
        .filter(Boolean),
    }),
  };
}
