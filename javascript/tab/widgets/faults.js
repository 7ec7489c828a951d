/** What is wrong with a form, said below each field: all of it at once, and also what the routes have refused. */

import { el } from '../base/dom.js';
import { asError } from '../base/page_error.js';
import { t } from '../base/texts.js';
import { toneSign } from './widgets.js';

let ids = 0;
/** @type {WeakSet<Element>} */
const watched = new WeakSet();

/**
 * Say below a field what is wrong with it, until it is changed; an empty text takes that away.
 * @param {Element} target an input, or the fieldset of some choices.
 * @param {string} text English; is translated here.
 */
export function showFault(target, text) {
  const group = target.tagName === 'FIELDSET';
  if (!target.id) target.id = `sf-fault-of-${(ids += 1)}`;
  const id = `${target.id}-fault`;
  const root = target.getRootNode();
  const there = root instanceof Document || root instanceof DocumentFragment ? root.getElementById(id) : null;
  if (there) there.remove();
  if (group) target.setAttribute('role', 'radiogroup');
  if (text) target.setAttribute('aria-invalid', 'true');
  else target.removeAttribute('aria-invalid');
  const others = (target.getAttribute('aria-describedby') || '').split(' ').filter((one) => one && one !== id);
  const described = [...others, ...(text ? [id] : [])].join(' ');
  if (described) target.setAttribute('aria-describedby', described);
  else target.removeAttribute('aria-describedby');
  if (!text) return;
  const line = el('p', { class: 'sf-fault', id }, toneSign('bad'), el('span', { text: t(text) }));
  if (group) target.append(line);
  else (target.closest('.sf-choice') || target).after(line);
  if (!watched.has(target)) {
    watched.add(target);
    const changed = () => target.getAttribute('aria-invalid') && showFault(target, '');
    target.addEventListener('input', changed); // a `change` comes with the click on a button, which would move away
  }
}

/**
 * Take away what was said of some fields.
 * @param {Element[]} targets
 */
export function clearFaults(targets) {
  targets.forEach((target) => showFault(target, ''));
}

/**
 * Say what is wrong with several fields, and go to the first of them; nothing where the list is empty.
 * @param {MaybeFault[]} faults in any order; null and false are passed over.
 * @throws {Error} where there is one; it is said already.
 */
export function refuseForm(faults) {
  const all = faults.filter((one) => !!one).sort((a, b) => (follows(b.target, a.target) ? -1 : 1));
  all.forEach(({ target, text }) => showFault(target, text));
  if (!all.length) return;
  reach(all[0].target);
  throw Object.assign(new Error(t(all[0].text)), { shown: true });
}

/**
 * @param {Element} one
 * @param {Element} other
 */
function follows(one, other) {
  return Boolean(other.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING);
}

/** @param {HTMLElement} target */
function reach(target) {
  for (let fold = target.closest('details'); fold; fold = fold.parentElement?.closest('details') ?? null)
    fold.open = true;
  const inputs = [...target.querySelectorAll('input')];
  const input = target.tagName === 'FIELDSET' ? inputs.find((one) => one.checked) || inputs[0] : target;
  input.focus();
}

/**
 * Send a form; where a route refuses a field of it, that is said below the field.
 * @template T
 * @param {Record<string, HTMLElement>} targets the fields by the names that the routes give them.
 * @param {() => Promise<T>} send
 */
export async function sendForm(targets, send) {
  clearFaults(Object.values(targets));
  try {
    return await send();
  } catch (error) {
    const { field, message } = asError(error);
    const target = field && targets[field];
    if (target) refuseForm([{ target, text: message }]);
    throw error;
  }
}

/**
 * What is wrong with a field for a number, as the browser knows it; null where nothing is.
 * @param {HTMLInputElement} input
 * @param {boolean} [needed]
 * @returns {Fault | null}
 */
export function numberFault(input, needed) {
  const { validity, min, max } = input;
  /**
   * @param {string} text
   * @param {Record<string, unknown>} [values]
   */
  const say = (text, values) => ({ target: input, text: t(text, values) });
  if (validity.badInput) return say('This is not a number.');
  if (needed && input.value === '') return say('Enter a number.');
  if (validity.rangeUnderflow || validity.rangeOverflow)
    return say('This must be from {min} to {max}.', { min, max: max || '∞' });
  return null;
}
