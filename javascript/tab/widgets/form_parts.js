/** What the panels for training, testing and use share: choices, lists of facts, jobs, pictures, timers. */

import { url } from '../base/api.js';
import { pageRoot, visible } from '../base/app.js';
import { el, fillWith, setText } from '../base/dom.js';
import { isNumber } from '../base/format.js';
import { t } from '../base/texts.js';
import { actionButton, keyedList, openDialog, toast } from './widgets.js';

let groups = 0;

/**
 * One of a few, with a line below each.
 * @param {string} legend
 * @param {RadioChoice[]} choices texts are translated.
 * @param {string} value
 * @param {(a: string) => void} [onchange]
 * @returns {RadioGroup}
 */
export function radioGroup(legend, choices, value, onchange) {
  const name = `sf-radio-${(groups += 1)}`;
  const list = el('div', { class: 'sf-choices' });
  const heading = el('legend', { class: 'sf-label', text: t(legend) });
  const made = el('fieldset', { class: 'sf-field sf-one-of' }, heading, list);
  let chosen = value;
  let drawn = '';
  const inputs = () => [...list.querySelectorAll('input')];
  /** @param {RadioChoice} one */
  const entry = (one) => {
    const changed = () => {
      chosen = one.value;
      if (onchange) onchange(chosen);
    };
    const input = el('input', { type: 'radio', name, value: one.value, on: { change: changed } });
    input.disabled = Boolean(one.disabled);
    input.checked = one.value === chosen;
    const help = one.help ? el('span', { class: 'sf-help', text: t(one.help) }) : null;
    return el('label', { class: 'sf-choice' }, input, el('span', {}, t(one.text), help));
  };
  /** @param {RadioChoice[]} all */
  const setChoices = (all) => {
    if (drawn === JSON.stringify(all)) return;
    drawn = JSON.stringify(all);
    fillWith(list, all.map(entry));
  };
  Object.defineProperty(made, 'chosen', {
    get: () => chosen,
    set: (to) => {
      chosen = to;
      inputs().forEach((input) => (input.checked = input.value === to));
    },
  });
  setChoices(choices);
  return /** @type {RadioGroup} */ (Object.assign(made, { setChoices }));
}

/**
 * A box to tick, with its words beside it; `made.input` is the box.
 * @param {string} label
 * @param {boolean} checked
 * @param {((yes: boolean) => unknown) | null} [onchange]
 * @param {string} [help]
 * @returns {Checkbox}
 */
export function checkbox(label, checked, onchange, help) {
  const input = el('input', { type: 'checkbox', checked: Boolean(checked) });
  if (onchange) input.addEventListener('change', () => onchange(input.checked));
  const below = help ? el('span', { class: 'sf-help', text: t(help) }) : null;
  const made = el('label', { class: 'sf-choice' }, input, el('span', {}, t(label), below));
  return Object.assign(made, { input });
}

/**
 * A field for a number in a range of the server's, with its usual value; `step` is that of its arrows.
 * @param {{least: number, most: number, usual: number | null}} range
 * @param {number | 'any'} step
 */
export function numberField({ least, most, usual }, step) {
  return el('input', { class: 'sf-input', type: 'number', min: least, max: most, step, value: usual ?? '' });
}

/**
 * The whole number in a field; `otherwise` where it is empty, or none.
 * @template T
 * @param {HTMLInputElement} input
 * @param {T} otherwise
 */
export function wholeNumber(input, otherwise) {
  const value = Math.round(Number(input.value));
  return input.value === '' || !Number.isFinite(value) ? otherwise : value;
}

/** A list of names and values; `list.set([{name, text, tone?}])` changes what differs, and leaves out empty ones. */
export function factList() {
  const list = el('dl', { class: 'sf-facts' });
  /** @param {Fact} one */
  const make = (one) => {
    const value = el('dd', {});
    return el('div', {}, el('dt', { text: t(one.name) }), value);
  };
  const set = (/** @type {Fact[]} */ all) => {
    const there = all.filter((one) => one.text !== '' && one.text !== null && one.text !== undefined);
    keyedList(
      list,
      there,
      (one) => one.name,
      make,
      (node, one) => {
        setText(node.lastChild, String(one.text));
        node.className = one.tone ? `sf-${one.tone}` : '';
      },
    );
    list.hidden = !there.length;
  };
  return Object.assign(list, { set });
}

/**
 * Lines of text, each kept as long as it is said; `list.set([text])`.
 * @param {string} [name]
 */
export function lineList(name) {
  const list = el('ul', { class: `sf-lines ${name || ''}` });
  const set = (/** @type {string[]} */ all) => {
    keyedList(
      list,
      all,
      (one) => one,
      (one) => el('li', { text: t(one) }),
    );
    list.hidden = !all.length;
  };
  return Object.assign(list, { set });
}

/**
 * A likeness with two digits: one picture scatters, so more say nothing. Empty where there is none.
 * @param {number | null | undefined} value
 */
export function likeness(value) {
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return isNumber(value) ? value.toLocaleString(undefined, digits) : '';
}

/**
 * When something will be done, as a clock says it; with the day where that is another one.
 * @param {number} seconds
 */
export function clockTime(seconds) {
  const then = new Date(Date.now() + seconds * 1000);
  const today = then.toDateString() === new Date().toDateString();
  /** @type {Intl.DateTimeFormatOptions} */
  const time = { hour: '2-digit', minute: '2-digit' };
  return today ? then.toLocaleTimeString([], time) : then.toLocaleString([], { weekday: 'short', ...time });
}

/**
 * Put a text into the clipboard. Where the page may not (no https), the text is selected for the user.
 * @param {string} text
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copiedByHand(text))
      throw new Error(t('The browser does not allow this page to copy; select the text and press Ctrl+C.'));
  }
  toast('Copied.', 'good');
}

/** @param {string} text */
function copiedByHand(text) {
  const before = document.activeElement;
  const area = el('textarea', { class: 'sf-out-of-sight', value: text, aria: { hidden: 'true' } });
  pageRoot().append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return done;
}

/**
 * A text in a box, with a button that copies it; `made.set(text)`.
 * @param {string} label
 */
export function copyBox(label) {
  const text = el('output', { class: 'sf-copy-text', aria: { label: t(label) } });
  const button = actionButton('Copy', () => copyText(text.textContent || ''), {
    small: true,
    label: `${t('Copy')}: ${t(label)}`,
  });
  const heading = el('span', { class: 'sf-label', text: t(label) });
  const made = el('div', { class: 'sf-field' }, heading, el('div', { class: 'sf-copy' }, text, button));
  /** @param {string | null | undefined} words */
  const set = (words) => {
    setText(text, words || '');
    made.hidden = !words;
  };
  set('');
  return Object.assign(made, { set });
}

/**
 * Show pictures large.
 * @param {string} title
 * @param {{url: string, alt?: string, caption?: string}[]} pictures
 * @param {string} [words]
 */
export function enlargePictures(title, pictures, words) {
  /** @param {{url: string, alt?: string, caption?: string}} one */
  const figure = (one) =>
    el(
      'figure',
      {},
      el('img', { src: url(one.url), alt: one.alt || '' }),
      one.caption ? el('figcaption', { text: one.caption }) : null,
    );
  const below = words ? el('p', { class: 'sf-help', text: words }) : null;
  const body = el(
    'div',
    { class: 'sf-dialog-body' },
    el('div', { class: 'sf-large-row' }, pictures.map(figure)),
    below,
  );
  openDialog(title, body, { wide: true });
}

/**
 * Run something again and again while somebody looks; the next time only after the last one has ended.
 * @param {Action} run
 * @param {number} pause milliseconds between two times.
 * @returns {Beat}
 */
export function repeatWhileSeen(run, pause) {
  let timer = 0;
  let on = false;
  const beat = async () => {
    clearTimeout(timer);
    if (visible()) await Promise.resolve(run()).catch(() => null); // `/state` shows a lost connection
    clearTimeout(timer);
    if (on) timer = setTimeout(beat, pause);
  };
  return {
    set: (wanted) => {
      if (wanted === on) return;
      on = wanted;
      if (on) beat();
      else clearTimeout(timer);
    },
    now: beat,
  };
}
