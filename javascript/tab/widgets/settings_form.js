/** The form of all settings, made from the fields that the routes describe: nothing is written out here. */

import { el, fillWith, setText } from '../base/dom.js';
import { plural, t } from '../base/texts.js';
import { about, inWords, numberIn, textIn } from './setting_values.js';
import { showFault } from './faults.js';
import { copyText } from './form_parts.js';
import { actionButton, formField, selectBox } from './widgets.js';

/**
 * @param {(changes: Settings) => void} changed gets the settings that differ from the preset, by dotted key.
 * @returns with `set({fields, settings, changes})`: the FIELDs, the preset's values, and what is laid
 *   over them, both by dotted key.
 */
export function settingsForm(changed) {
  const search = el('input', {
    class: 'sf-input',
    type: 'search',
    placeholder: t('Find a setting'),
  });
  search.setAttribute('aria-label', t('Find a setting'));
  const count = el('span', { class: 'sf-quiet' });
  const reset = actionButton('Reset all', () => apply({}), { small: true });
  const groups = el('div', { class: 'sf-settings-groups' });
  const form = el('div', { class: 'sf-settings' }, el('div', { class: 'sf-row' }, search, count, reset), groups);
  /** @type {Map<string, ReturnType<typeof rowOf>>} */
  const rows = new Map(); // by key
  /** @type {Settings} */
  let base = {};
  /** @type {Settings} */
  let changes = {};
  let drawn = '';
  /** @type {{node: HTMLElement, members: ReturnType<typeof rowOf>[]}[]} */
  let sections = [];

  search.addEventListener('input', () => filter(search.value));

  function apply(/** @type {Settings} */ next) {
    changes = next;
    rows.forEach((row) => row.forget());
    show();
    changed({ ...changes });
  }

  function one(/** @type {string} */ key, /** @type {SettingValue} */ value) {
    const next = { ...changes };
    if (same(value, base[key])) delete next[key];
    else next[key] = value;
    changes = next;
    mark(key);
    summary();
    changed({ ...changes });
  }

  function summary() {
    const n = Object.keys(changes).length;
    const wrong = [...rows.values()].some((row) => row.wrong());
    setText(count, n ? plural(n, '{n} setting changed', '{n} settings changed') : t('no changes to the preset'));
    reset.hidden = !n && !wrong;
  }

  function mark(/** @type {string} */ key) {
    const row = rows.get(key);
    if (!row) return;
    const differs = key in changes;
    row.node.classList.toggle('sf-changed', differs);
    row.was.hidden = !differs && !row.wrong();
    const words = differs ? 'changed; in the preset: {value}' : 'in the preset: {value}';
    setText(row.said, t(words, { value: inWords(base[key]) }));
  }

  function show() {
    for (const [key, row] of rows) {
      const value = key in changes ? changes[key] : base[key];
      if (document.activeElement !== row.input && !row.wrong()) row.write(value);
      mark(key);
    }
    summary();
  }

  function filter(/** @type {string} */ words) {
    const wanted = words.trim().toLowerCase();
    for (const [key, row] of rows) row.node.hidden = !`${key} ${row.node.textContent}`.toLowerCase().includes(wanted);
    for (const { node, members } of sections) node.hidden = members.every((row) => row.node.hidden);
  }

  function undo(/** @type {string} */ key) {
    const row = rows.get(key);
    if (!row) return;
    row.forget();
    row.write(base[key]);
    one(key, base[key]);
  }

  function build(/** @type {SettingField[]} */ fields) {
    rows.clear();
    const names = [...new Set(fields.map((/** @type {SettingField} */ field) => field.group))];
    sections = names.map((name) => {
      const mine = fields.filter((/** @type {SettingField} */ field) => field.group === name);
      const made = mine.map((/** @type {SettingField} */ field) => {
        const row = rowOf(
          field,
          (value) => one(field.key, value),
          () => undo(field.key),
          () => {
            mark(field.key);
            summary();
          },
        );
        rows.set(field.key, row);
        return row;
      });
      const heading = el('h4', { text: t(name) });
      const list = el(
        'div',
        { class: 'sf-settings-list' },
        made.map((row) => row.node),
      );
      return { node: el('section', { class: 'sf-settings-group' }, heading, list), members: made };
    });
    fillWith(
      groups,
      sections.map((one) => one.node),
    );
    if (search.value) filter(search.value);
  }

  /** What the routes have refused, said below its field; none: nothing is refused. */
  const refusedThis = (/** @type {string | undefined} */ key, /** @type {string | undefined} */ text) => {
    for (const [name, row] of rows) row.refuse(name === key && text ? about(key, text) : '');
  };

  /** @param {{fields: SettingField[], settings: Settings, changes: Settings}} now */
  const set = ({ fields, settings, changes: laid }) => {
    if (drawn !== JSON.stringify(fields)) {
      drawn = JSON.stringify(fields);
      build(fields);
    }
    if (!same(base, settings)) rows.forEach((row) => row.forget()); // what was typed was meant for another preset
    base = settings;
    changes = { ...laid };
    show();
  };
  return Object.assign(form, { refused: refusedThis, set });
}

/**
 * One setting: {node, input, write(value), was, said, wrong(), forget(), refuse(text)}; `forget` takes the complaint
 * about what was typed away, `refuse` is what a route says of it.
 * @param {SettingField} field
 * @param {(value: SettingValue) => void} changed
 * @param {Action} undo
 * @param {Action} complained
 */
function rowOf(field, changed, undo, complained) {
  const { input, write, read } = control(field);
  let complaint = '';
  let refused = '';
  const say = () => showFault(input, complaint || refused);
  input.addEventListener(field.kind === 'bool' || field.kind === 'choice' ? 'change' : 'input', () => {
    const { value, wrong } = read();
    [complaint, refused] = [wrong || '', ''];
    say();
    if (wrong || value === undefined) complained();
    else changed(value);
  });
  const said = el('span', {});
  const back = actionButton('Reset', undo, {
    small: true,
    label: `${t('Reset')}: ${t(field.label)}`,
  });
  const was = el('p', { class: 'sf-was', hidden: true }, said, back);
  const node = formField(field.label, input, field.text);
  node.classList.add('sf-setting');
  node.append(nameOf(field.key), was);
  const refuse = (/** @type {string} */ text) => {
    if (text === refused) return;
    refused = text;
    say();
  };
  const forget = () => {
    complaint = '';
    say();
  };
  return { node, input, write, was, said, wrong: () => Boolean(complaint), forget, refuse };
}

/**
 * The name that `--set` on the command line takes; a click copies it.
 * @param {string} key
 */
function nameOf(key) {
  const label = t('Copy the name for --set: {key}', { key });
  const copy = () => copyText(key);
  return el('button', { class: 'sf-key', text: key, title: label, aria: { label }, on: { click: copy } });
}

/**
 * The control for a kind of value: {input, write(value), read() -> {value} or {wrong}}.
 * @param {SettingField} field
 * @returns {SettingControl}
 */
function control(field) {
  if (field.kind === 'bool') {
    const input = el('input', { type: 'checkbox' });
    return {
      input,
      write: (value) => (input.checked = Boolean(value)),
      read: () => ({ value: input.checked }),
    };
  }
  if (field.kind === 'choice') {
    const input = selectBox(field.choices.map((value) => ({ value: String(value), text: String(value) })));
    const value = () => field.choices.find((choice) => String(choice) === input.value);
    return { input, write: (to) => (input.value = String(to)), read: () => ({ value: value() }) };
  }
  if (field.kind === 'lines') return linesControl(field.example);
  const number = field.kind === 'int' || field.kind === 'float';
  const input = el('input', { class: 'sf-input', type: 'text', spellcheck: false, autocomplete: 'off' });
  if (number) input.inputMode = field.kind === 'int' ? 'numeric' : 'decimal';
  if (number && field.default === null) input.placeholder = t('as above');
  const write = (/** @type {SettingValue} */ value) =>
    (input.value = value === null || value === undefined ? '' : String(value));
  return {
    input,
    write,
    read: () => (number ? numberIn(input.value, field) : { value: textIn(input.value, field) }),
  };
}

/**
 * A list of texts, one per line.
 * @param {string} example
 * @returns {SettingControl}
 */
function linesControl(example) {
  const input = el('textarea', { class: 'sf-input', rows: 3, spellcheck: false });
  input.placeholder = example ? t('One per line, for example: {example}', { example: t(example) }) : t('One per line');
  const read = () => ({
    value: input.value
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean),
  });
  return { input, write: (value) => (input.value = Array.isArray(value) ? value.join('\n') : ''), read };
}

/**
 * @param {unknown} a
 * @param {unknown} b
 */
function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
