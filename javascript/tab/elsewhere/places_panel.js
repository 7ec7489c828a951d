/** The machines to train on: each with what it has, and a form that adds one. */

import * as api from '../base/api.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { postWithCode } from '../widgets/confirmation_code.js';
import { refuseForm, sendForm } from '../widgets/faults.js';
import { actionButton, askConfirm, foldSection, formField, keyedList, toast } from '../widgets/widgets.js';

const FIELDS = {
  name: { label: 'Name', help: 'A short name in lower-case letters, for example workshop.' },
  address: {
    label: 'Address',
    help: 'For example mara@gpu.example.org:2222; for a Ray cluster, its dashboard, such as http://head:8265.',
  },
  key: { label: 'Key file', help: 'Private SSH key file. Leave empty to use the keys in the SSH agent.' },
  folder: {
    label: 'Remote folder',
    help: 'Directory on that machine. Leave empty to use “sameface” in the home directory.',
  },
  python: { label: 'Remote Python', help: '3.10 or newer. Leave empty to use python3.' },
  storage: {
    label: 'Shared storage',
    help: 'Ray clusters only: a folder or address that its nodes share with this computer.',
  },
};

/** @returns with `update()`: the machines are asked for. */
export function placesPanel() {
  const list = el('ul', { class: 'sf-checks', hidden: true });
  const none = el('p', { class: 'sf-help', text: t('No other machines have been added yet.') });
  const inputs = Object.fromEntries(
    Object.keys(FIELDS).map((name) => [
      name,
      el('input', { class: 'sf-input', type: 'text', autocomplete: 'off', spellcheck: false }),
    ]),
  );
  const fields = Object.entries(FIELDS).map(([name, { label, help }]) => formField(label, inputs[name], help));
  const add = actionButton('Add this machine', () => store());
  const about = el('p', {
    class: 'sf-help',
    text: t('SameFace logs in and checks the hardware. You must be able to log in with a key, without a password.'),
  });
  const fold = foldSection('Add a machine …', about, el('div', { class: 'sf-three' }, fields), el('div', {}, add));
  const node = el('div', { class: 'sf-stack' }, none, list, fold);

  async function store() {
    const body = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
    refuseForm([
      !body.name && { target: inputs.name, text: 'Give the machine a name.' },
      !body.address && { target: inputs.address, text: 'Where is it?' },
    ]);
    const { address } = inputs;
    const targets = { ...inputs, host: address, user: address, port: address };
    const made = await sendForm(targets, () =>
      postWithCode('/places', { ...body, name: body.name, address: body.address }),
    );
    if (made.said) toast(made.said, 'warn');
    else toast(t('{name} is added.', { name: made.name }), 'good');
    Object.values(inputs).forEach((input) => (input.value = ''));
    fold.open = false;
    await update();
  }

  async function check(/** @type {Place} */ place) {
    await api.post(`/places/${place.name}/check`);
    toast(t('{name} was reached.', { name: place.name }), 'good');
    await update();
  }

  async function remove(/** @type {Place} */ place) {
    const words = t('Remove {name}? Files on that machine are kept.', { name: place.name });
    if (!(await askConfirm(words, 'Remove', { danger: true }))) return;
    await api.post(`/places/${place.name}/remove`);
    await update();
  }

  const entry = (/** @type {Place} */ place) => {
    const buttons = [
      actionButton('Check', () => check(place), { small: true, label: `${t('Check')}: ${place.name}` }),
      actionButton('Remove', () => remove(place), { small: true, label: `${t('Remove')}: ${place.name}` }),
    ];
    const head = el(
      'div',
      { class: 'sf-check-head' },
      el('b', { text: place.name }),
      el('div', { class: 'sf-row' }, buttons),
    );
    return el('li', { class: `sf-check sf-${place.checked ? 'good' : 'none'}` }, head, el('p', {}));
  };

  const update = async () => {
    const places = await api.get('/places').catch(() => []);
    keyedList(
      list,
      places,
      (one) => one.name,
      entry,
      (made, one) => setText(made.lastChild, `${one.text}.`),
    );
    none.hidden = places.length > 0;
    list.hidden = !none.hidden;
  };
  return Object.assign(node, { update });
}
