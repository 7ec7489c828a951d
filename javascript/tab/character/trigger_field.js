/** The field of the trigger word, with words that the server proposes, and what it says of the one that is typed. */

import * as api from '../base/api.js';
import { pageState } from '../base/app.js';
import { el, fillWith } from '../base/dom.js';
import { t } from '../base/texts.js';
import { showFault } from '../widgets/faults.js';
import { formField, toneSign } from '../widgets/widgets.js';

const PATIENCE = 350; // milliseconds after the last key before the server is asked

/**
 * Run something once nothing has been typed for a moment.
 * @param {Action} run
 */
export function later(run) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, PATIENCE);
  };
}

/**
 * What is missing in a field: nothing where something is typed.
 * @param {HTMLInputElement} input
 * @param {string} text
 */
export function needed(input, text) {
  return input.value.trim() ? [] : [{ target: input, text }];
}

/**
 * The field of the trigger word: words are proposed for a name, and what is typed is checked.
 * @returns {CharacterField & {propose: (name: string) => Promise<unknown>}}
 */
export function triggerField() {
  const input = el('input', {
    class: 'sf-input',
    type: 'text',
    maxLength: pageState().limits.trigger_letters,
    autocomplete: 'off',
    spellcheck: false,
  });
  const help = 'An invented word that stands for this face in prompts. Real words and names already mean something.';
  const offers = el('div', { class: 'sf-phrases', role: 'group', aria: { label: t('Proposed trigger words') } });
  const problems = el('div', { class: 'sf-problems', role: 'status' });
  const node = formField('Trigger word', input, help);
  node.append(offers, problems);
  let typed = false;
  const check = later(() => checked(input.value.trim(), problems, () => input.value.trim()));
  const choose = (/** @type {string} */ word) => {
    input.value = word;
    showFault(input, '');
    mark();
    check();
  };
  const mark = () => {
    for (const one of offers.children) one.setAttribute('aria-pressed', String(one.textContent === input.value.trim()));
  };
  input.addEventListener('input', () => {
    typed = Boolean(input.value.trim());
    mark();
    check();
  });
  const show = (/** @type {TriggerWord[]} */ found) => {
    fillWith(
      offers,
      found.map((one) => offer(one, () => ((typed = true), choose(one.trigger)))),
    );
    if (!typed && found.length) choose(found[0].trigger);
    mark();
  };
  return {
    key: 'trigger',
    target: input,
    node,
    propose: async (name) => {
      if (!name) return show([]);
      const asked = /** @type {const} */ (`/triggers?name=${encodeURIComponent(name)}`);
      const answer = await api.get(asked).catch(() => ({ triggers: [] })); // it can be typed all the same
      return show(answer.triggers);
    },
    set: (character) => {
      input.value = character.trigger || '';
      typed = Boolean(character.trigger);
      fillWith(problems);
      fillWith(offers);
    },
    faults: () => needed(input, 'Choose a trigger word.'),
    get: () => ({ trigger: input.value.trim() }),
  };
}

/**
 * @param {TriggerWord} one
 * @param {Action} choose
 */
function offer(one, choose) {
  const node = el('button', {
    class: 'sf-phrase',
    data: { word: one.trigger },
    text: one.trigger,
    on: { click: choose },
  });
  node.title = (one.problems || []).join(' ') || t('{n} tokens', { n: one.tokens.length });
  return node;
}

/**
 * @param {string} word
 * @param {HTMLElement} problems
 * @param {() => string} now
 */
async function checked(word, problems, now) {
  if (!word) return fillWith(problems);
  const answer = await api.get(`/triggers/check?word=${encodeURIComponent(word)}`).catch(() => null);
  if (!answer || now() !== word) return null; // another one was typed meanwhile
  return fillWith(
    problems,
    answer.problems.map((text) => el('p', {}, toneSign('warn'), el('span', { text: t(text) }))),
  );
}
