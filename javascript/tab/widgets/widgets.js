/** The parts that all panels are made of: buttons, notices, toasts, dialogs, lists that survive polling. */

import { pageRoot } from '../base/app.js';
import { el, fillWith, setText } from '../base/dom.js';
import { asError } from '../base/page_error.js';
import { t } from '../base/texts.js';

/** @type {Record<ShownTone, string>} */
const SIGNS = { good: '✓', warn: '!', bad: '×', none: '–', busy: '●' };
const LASTS = 6000; // milliseconds that a toast is shown; an error stays twice as long

/**
 * The sign of a tone, for the eye only: a word beside it says the same.
 * @param {ShownTone} tone
 */
export function toneSign(tone) {
  return el('span', { class: `sf-sign sf-sign-${tone}`, aria: { hidden: 'true' }, text: SIGNS[tone] });
}

/**
 * A word in its tone, with the tone's sign.
 * @param {ShownTone} tone
 * @param {string} text
 */
export function toneBadge(tone, text) {
  return el('span', { class: `sf-badge sf-${tone}` }, toneSign(tone), el('span', { text }));
}

/**
 * A button. While its function's promise is open it is disabled and busy; a rejection becomes a toast.
 * @param {string} label English; is translated here.
 * @param {(event: Event) => unknown} onclick
 * @param {ButtonOptions} [options] `main`: the next thing to do; `label`: what a screen reader says instead.
 * @returns {ActionButton}
 */
export function actionButton(label, onclick, options = {}) {
  const kind = options.main ? 'main' : options.danger ? 'danger' : options.quiet ? 'quiet' : 'plain';
  const made = el('button', {
    class: `sf-button sf-button-${kind}${options.small ? ' sf-small' : ''}`,
    disabled: Boolean(options.disabled),
    title: options.title ? t(options.title) : null,
    aria: options.label ? { label: options.label } : {},
  });
  made.append(el('span', { text: t(label) }));
  made.addEventListener('click', (event) => runBusy(made, () => onclick(event)));
  /** @param {boolean} yes */
  const setMain = (yes) => {
    made.classList.toggle('sf-button-main', yes);
    made.classList.toggle('sf-button-plain', !yes);
  };
  return Object.assign(made, { setMain });
}

/**
 * Run a function with a button disabled and marked as busy; an error becomes a toast.
 * @param {HTMLElement} button
 * @param {Action} run
 */
export async function runBusy(button, run) {
  if (button.getAttribute('aria-busy') === 'true') return;
  try {
    const open = run();
    if (!(open instanceof Promise)) return;
    button.setAttribute('aria-busy', 'true'); // not `disabled`: that would lose the focus
    await open;
  } catch (error) {
    if (!asError(error).shown) toast(asError(error).message, 'bad');
  } finally {
    button.removeAttribute('aria-busy');
  }
}

/**
 * A paragraph in a tone's colour, with its sign. Strings are translated.
 * @param {ShownTone} tone
 * @param {...Child} children
 */
export function notice(tone, ...children) {
  const words = children.map((one) => (typeof one === 'string' ? said(one) : one));
  return el('div', { class: `sf-notice sf-${tone}` }, toneSign(tone), el('div', {}, words));
}

/** @param {string} text */
function said(text) {
  return el('span', { text: t(text) });
}

/**
 * Say something for a few seconds.
 * @param {string} text
 * @param {ShownTone} [tone]
 */
export function toast(text, tone = 'none') {
  const shown = el(
    'div',
    { class: `sf-toast sf-${tone}`, role: tone === 'bad' ? 'alert' : 'status' },
    toneSign(tone),
    said(text),
  );
  const away = () => shown.remove();
  const label = t('Close');
  shown.append(el('button', { class: 'sf-close', text: '×', aria: { label }, on: { click: away } }));
  const holder = toasts();
  for (const old of [...holder.children]) if (old.textContent === shown.textContent) old.remove(); // said once is enough
  holder.append(shown);
  setTimeout(away, tone === 'bad' ? 2 * LASTS : LASTS);
}

function toasts() {
  const holder = [...pageRoot().querySelectorAll('dialog[open]')].pop() || pageRoot(); // above a dialog, too
  const there = [...holder.children].find((child) => child.classList.contains('sf-toasts'));
  if (there) return there;
  const made = el('div', { class: 'sf-toasts', aria: { live: 'polite' } });
  holder.append(made);
  return made;
}

/**
 * Open a dialog. The browser keeps the focus in it, and gives it back afterwards; Escape closes it.
 * @param {string} title
 * @param {Node} node what it holds.
 * @param {{wide?: boolean, closed?: Action}} [options]
 * @returns
 */
export function openDialog(title, node, options = {}) {
  const before = document.activeElement;
  const heading = el('h3', { class: 'sf-dialog-title', text: t(title) });
  const shown = el('dialog', {
    class: `sf-dialog${options.wide ? ' sf-wide' : ''}`,
    aria: { label: t(title) },
  });
  const label = t('Close');
  const close = el('button', { class: 'sf-close', text: '×', aria: { label }, title: label });
  close.addEventListener('click', () => shown.close());
  shown.append(el('div', { class: 'sf-dialog-head' }, heading, close), node);
  shown.addEventListener('click', (event) => event.target === shown && shown.close()); // beside it
  shown.addEventListener('close', () => {
    shown.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
    if (options.closed) options.closed();
  });
  shown.addEventListener('keydown', (event) => event.stopPropagation()); // the host has keys of its own
  pageRoot().append(shown);
  shown.showModal();
  return { close: () => shown.open && shown.close(), node: shown };
}

/**
 * Ask yes or no; closing the dialog is a no.
 * @param {string} text
 * @param {string} yesLabel
 * @param {{danger?: boolean, title?: string}} [options]
 * @returns {Promise<boolean>}
 */
export function askConfirm(text, yesLabel, options = {}) {
  return new Promise((resolve) => {
    let answer = false;
    const yes = actionButton(yesLabel, () => ((answer = true), shown.close()), {
      main: !options.danger,
      danger: options.danger,
    });
    const no = actionButton('Cancel', () => shown.close());
    const body = el('div', { class: 'sf-dialog-body' }, el('p', { text: t(text) }));
    body.append(el('div', { class: 'sf-row sf-end' }, no, yes));
    const shown = openDialog(options.title || 'Please confirm', body, { closed: () => resolve(answer) });
    no.focus();
  });
}

/**
 * The nodes of each container by key.
 * @type {WeakMap<Element, Map<string, Element>>}
 */
const listed = new WeakMap();

/**
 * Make a container's children those of a list, keeping each item's node, so that focus, typing and scrolling survive.
 * @template Item
 * @template {Element} Made
 * @param {Element} container holds nothing else.
 * @param {Item[]} items
 * @param {(item: Item) => string | number} keyOf
 * @param {(item: Item) => Made} make
 * @param {(node: Made, item: Item) => unknown} [update] is called for new nodes, too.
 */
export function keyedList(container, items, keyOf, make, update) {
  const before = /** @type {Map<string, Made>} */ (listed.get(container) || new Map());
  /** @type {Map<string, Made>} */
  const after = new Map();
  const focused = focusedIn(container);
  for (const item of items) {
    const key = String(keyOf(item));
    if (!after.has(key)) after.set(key, before.get(key) || make(item));
  }
  for (const [key, node] of before) if (!after.has(key)) node.remove();
  /** @type {ChildNode | null} */
  let at = container.firstChild;
  for (const node of after.values()) {
    if (at && node === at) at = at.nextSibling;
    else container.insertBefore(node, at);
  }
  listed.set(container, after);
  if (update) {
    for (const item of items) {
      const node = after.get(String(keyOf(item)));
      if (node) update(node, item);
    }
  }
  if (focused && focused !== document.activeElement && container.contains(focused)) focused.focus();
}

/**
 * The element that has the focus; a host may keep the page in a shadow root, which has one of its own.
 * @param {Node} node within it.
 * @returns {HTMLElement | null}
 */
export function focusedIn(node) {
  const root = node.getRootNode();
  const focused = root instanceof Document || root instanceof ShadowRoot ? root.activeElement : null;
  return focused instanceof HTMLElement ? focused : null;
}

/**
 * A bar from 0 to 1; null = it is not known how far. `bar.set(share, words)` changes it.
 * @param {number | null} share
 * @param {string} [words]
 */
export function progressBar(share, words) {
  const inner = el('div', { class: 'sf-progress-inner' });
  const bar = el('div', { class: 'sf-progress', role: 'progressbar' }, inner);
  bar.setAttribute('aria-valuemin', '0');
  bar.setAttribute('aria-valuemax', '100');
  /**
   * @param {number | null} part
   * @param {string} [text]
   */
  const set = (part, text) => {
    const known = part !== null && part !== undefined && Number.isFinite(part);
    const percent = known ? Math.round(Math.min(1, Math.max(0, part)) * 1000) / 10 : 0;
    bar.classList.toggle('sf-unknown', !known);
    inner.style.width = known ? `${percent}%` : '';
    if (known) bar.setAttribute('aria-valuenow', String(Math.round(percent)));
    else bar.removeAttribute('aria-valuenow');
    if (text) bar.setAttribute('aria-label', text);
  };
  set(share, words);
  return Object.assign(bar, { set });
}

/**
 * The first line of a panel: what is done, what is missing, and the next thing to do.
 * `lead.set({tone, text, detail, buttons: [{label, do, main, danger, title, disabled}]})` keeps buttons whose labels
 * are the same, so that the focus stays; their `do` is always the newest.
 */
export function leadLine() {
  const sign = el('span', { class: 'sf-lead-sign' });
  const text = el('span', { class: 'sf-lead-text' });
  const detail = el('p', { class: 'sf-lead-detail' });
  const row = el('div', { class: 'sf-lead-buttons' });
  const words = el('div', { class: 'sf-lead-words' }, el('p', {}, sign, text), detail);
  const lead = el('div', { class: 'sf-lead' }, words, row);
  /** @type {LeadButton[]} */
  let now = [];
  /** @param {LeadButton} one */
  const make = (one) =>
    actionButton(one.label, () => now.find((other) => other.label === one.label)?.do(), {
      ...one,
      label: undefined,
    });
  /** @param {Lead} to */
  const set = (to) => {
    lead.className = `sf-lead sf-${to.tone || 'none'}`;
    if (sign.dataset.tone !== to.tone) fillWith(sign, toneSign(to.tone || 'none'));
    sign.dataset.tone = to.tone || '';
    setText(text, t(to.text || ''));
    setText(detail, t(to.detail || ''));
    detail.hidden = !to.detail;
    now = (to.buttons || []).filter((one) => !!one);
    /** @param {LeadButton} one */
    const keyOf = (one) => `${one.label}|${one.main}|${one.danger}|${one.title || ''}`;
    keyedList(row, now, keyOf, make, (node, one) => (node.disabled = Boolean(one.disabled)));
  };
  return Object.assign(lead, { set });
}

/**
 * A fold: a summary line that opens what is below it.
 * @param {string} title
 * @param {...Child} children
 */
export function foldSection(title, ...children) {
  const summary = el('summary', {}, el('span', { text: t(title) }));
  return el('details', { class: 'sf-fold' }, summary, el('div', { class: 'sf-fold-body' }, children));
}

let fields = 0;

/**
 * A labelled form field: `input` gets an id; `help` is a line below it.
 * @param {string} label
 * @param {HTMLElement} input
 * @param {string} [help]
 */
export function formField(label, input, help) {
  input.id = input.id || `sf-field-${(fields += 1)}`;
  const words = el('label', { class: 'sf-label', htmlFor: input.id, text: t(label) });
  const line = help ? el('p', { class: 'sf-help', id: `${input.id}-help`, text: t(help) }) : null;
  if (line) input.setAttribute('aria-describedby', line.id);
  return el('div', { class: 'sf-field' }, words, input, line);
}

/**
 * A select of `[{value, text}]`.
 * @param {Choice[]} choices
 * @param {string | number} [value]
 * @param {(value: string) => unknown} [onchange]
 * @returns {SelectBox}
 */
export function selectBox(choices, value, onchange) {
  const made = el('select', { class: 'sf-input sf-select' });
  /**
   * @param {Choice[]} list
   * @param {string | number} [chosen]
   */
  const setChoices = (list, chosen) => {
    const key = JSON.stringify(list);
    if (made.dataset.list !== key) {
      made.dataset.list = key;
      fillWith(
        made,
        list.map((one) => el('option', { value: one.value, text: one.text })),
      );
    }
    if (chosen !== undefined && made.value !== String(chosen)) made.value = String(chosen);
  };
  setChoices(choices, value);
  if (onchange) made.addEventListener('change', () => onchange(made.value));
  return Object.assign(made, { setChoices });
}
