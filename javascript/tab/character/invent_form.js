/** What inventing needs to be told: whom to paint with which base model, or one picture; and how many more to paint. */

import * as api from '../base/api.js';
import { pageState } from '../base/app.js';
import * as format from '../base/format.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { refresh } from '../page/polling.js';
import { asBase64 } from '../photos/given_files.js';
import { refuseForm } from '../widgets/faults.js';
import { checkbox, radioGroup } from '../widgets/form_parts.js';
import { formField, selectBox, toast } from '../widgets/widgets.js';

const AGAIN = 1500; // milliseconds between two looks at base models that are still being looked at
const WAYS = [
  { value: 'words', text: 'Describe a face', help: 'Your base model paints faces to choose from.' },
  { value: 'picture', text: 'One picture of the face', help: 'Further pictures are painted from it.' },
];

/** The choice of a base model, from the same list as for training. `made.shown()` asks for it; `made.get()`. */
function baseField() {
  const choice = selectBox([], '');
  const none = el('p', { class: 'sf-help sf-bad', hidden: true });
  const node = formField('Base model', choice, 'It paints, and the LoRA is trained on it later.');
  node.append(none);
  let timer = 0;
  const ask = async () => {
    clearTimeout(timer);
    if (!choice.options.length) setText(none, t('Looking for base models …'));
    none.hidden = choice.options.length > 0;
    const bases = await api.get('/bases');
    const usable = bases.filter((one) => one.usable);
    const pending = bases.some((one) => one.pending);
    const best = usable.find((one) => one.path === choice.value) || usable.find((one) => one.current) || usable[0];
    choice.setChoices(
      usable.map((one) => ({ value: one.path, text: one.title })),
      best ? best.path : undefined,
    );
    none.hidden = usable.length > 0;
    setText(none, pending ? t('Looking for base models …') : noneText(bases));
    if (pending && node.isConnected) timer = setTimeout(() => ask().catch(() => null), AGAIN);
  };
  return {
    node,
    shown: () => ask().catch((error) => toast(error.message, 'bad')),
    set: (/** @type {string} */ path) =>
      path && [...choice.options].some((one) => one.value === path) && (choice.value = path),
    faults: () => (choice.value ? [] : [{ target: choice, text: 'Choose a base model first.' }]),
    get: () => choice.value,
  };
}

/** @param {BaseModel[]} bases */
function noneText(bases) {
  const why = bases.length && bases[0].why ? ` (${bases[0].title}: ${bases[0].why})` : '';
  return (
    t('There is no base model that can be used here; put a Stable Diffusion checkpoint into the models folder.') + why
  );
}

/**
 * A whole number that the server allows: `name` is the job's argument. `less` is how many of these are spent.
 * @param {string} label
 * @param {'candidates' | 'count' | 'budget'} name
 * @param {string} [help]
 */
function countField(label, name, help) {
  const { least, most, usual } = pageState().limits.ranges[name];
  const input = el('input', {
    class: 'sf-input sf-short',
    type: 'number',
    min: least,
    max: most,
    step: 1,
    value: usual,
  });
  return {
    node: formField(label, input, help),
    input,
    faults: (less = 0) => {
      const number = Number(input.value);
      const highest = most - less;
      const spent = t('{n} have been painted already; the maximum is {most}.', { n: less, most });
      if (highest < least) return [{ target: input, text: spent }];
      const good = Number.isInteger(number) && number >= least && number <= highest;
      const text = t('Enter a whole number from {least} to {most}.', { least, most: highest });
      return good ? [] : [{ target: input, text }];
    },
    get: () => Number(input.value),
  };
}

/**
 * How a face begins.
 * @param {Action} [turned] is called when the user turns to the other way.
 * @returns
 *   `faults()` is what is missing (see `refuseForm`), `check()` says it and throws; `begin(slug)` starts: paints candidates, or takes the picture.
 */
export function inventForm(turned) {
  const way = radioGroup('How do you want to start?', WAYS, 'words', () => {
    show();
    if (turned) turned();
  });
  const words = el('textarea', { class: 'sf-input', rows: 2, maxLength: pageState().limits.description_letters });
  words.placeholder = t('a woman with short red hair, 30 years old');
  const help = 'What never changes: age, hair, skin, face. Clothes and places are added later.';
  const described = formField('Describe the person', words, help);
  const picture = pictureField();
  const base = baseField();
  const count = countField('Faces to choose from', 'candidates');
  const node = el('div', { class: 'sf-form' }, way, picture.node, described, base.node, count.node);
  const show = () => {
    const own = way.chosen === 'picture';
    picture.node.hidden = !own;
    count.node.hidden = own;
  };
  const line = () => words.value.split(/\s+/).filter(Boolean).join(' ');
  const faults = () => {
    if (way.chosen === 'picture') return [...picture.faults(), ...base.faults()];
    const unsaid = line() ? [] : [{ target: words, text: 'Describe the person first.' }];
    return [...unsaid, ...base.faults(), ...count.faults()];
  };
  show();
  return {
    node,
    way: () => way.chosen,
    shown: base.shown,
    /** @param {InventionView} view */
    set: ({ describe, base: path }) => {
      words.value = describe || '';
      base.set(path);
    },
    faults,
    check: () => refuseForm(faults()),
    begin: async (/** @type {string} */ slug) => {
      if (way.chosen === 'words') {
        const values = { describe: line(), base: base.get(), candidates: count.get() };
        return api.post('/jobs', { kind: 'invent', character: slug, arguments: values });
      }
      const file = picture.get();
      if (!file) return null;
      const body = {
        name: file.name,
        data: await asBase64(file, t('{file} cannot be read.', { file: file.name })),
        base: base.get(),
        describe: line(),
      };
      return api.post(`/characters/${slug}/invented/own`, body);
    },
  };
}

/**
 * The two ways to a character, for the page of a new one.
 * @param {Action} turned is called when the other one is chosen.
 * @returns "photos" or "invent".
 */
export function photoOrInvent(turned) {
  /** @type {Record<'photos' | 'invent', [string, string]>} */
  const ways = {
    photos: [
      'I have photos',
      t(
        '{least} to {most} of one face. Each is checked, and you are told which to leave out.',
        pageState().limits.photos_best,
      ),
    ],
    invent: ['I have no photos: invent a face', 'Describe it, or give one picture; your base model paints the rest.'],
  };
  let chosen = 'photos';
  const buttons = Object.entries(ways).map(([name, [title, text]]) =>
    el(
      'button',
      { class: 'sf-way-choice', data: { way: name }, on: { click: () => turn(name === 'invent' ? name : 'photos') } },
      el('strong', { text: t(title) }),
      el('span', { class: 'sf-quiet', text: t(text) }),
    ),
  );
  const mark = () => buttons.forEach((one) => one.setAttribute('aria-pressed', String(one.dataset.way === chosen)));
  const turn = (/** @type {'photos' | 'invent'} */ name) => {
    chosen = name;
    mark();
    turned();
  };
  mark();
  return {
    node: el('div', { class: 'sf-ways', role: 'group', aria: { label: t('How to start') } }, buttons),
    chosen: () => chosen,
  };
}

function pictureField() {
  const input = el('input', {
    class: 'sf-input',
    type: 'file',
    accept: ['image/*', ...pageState().limits.accept].join(','),
  });
  const chosen = () => input.files?.[0];
  const seen = el('img', { class: 'sf-invent-own', alt: '', hidden: true });
  const help = 'One clear face, sharp and well lit. The picture stays as it is.';
  const node = formField('The picture', input, help);
  node.append(seen);
  input.addEventListener('change', () => {
    if (seen.src) URL.revokeObjectURL(seen.src);
    const file = chosen();
    seen.hidden = !file;
    if (file) seen.src = URL.createObjectURL(file);
    seen.onerror = () => (seen.hidden = true); // a browser does not show every kind
  });
  return {
    node,
    faults: () => {
      const file = chosen();
      const most = pageState().limits.face_bytes;
      if (file && file.size <= most) return [];
      return [
        {
          target: input,
          text: file
            ? t('The picture is too large; make it smaller than {size}.', { size: format.limit(most) })
            : 'Choose the picture first.',
        },
      ];
    },
    get: chosen,
  };
}

/**
 * How many further pictures are wanted.
 * @returns `set(view)`: the answer of the route.
 */
export function inventMoreForm() {
  /** @type {InventionView | null} */
  let view = null;
  const count = countField(
    'Stop after keeping',
    'count',
    t('{least} or more are enough to learn a face well.', pageState().limits.photos_best),
  );
  const budget = countField(
    'Maximum number of pictures',
    'budget',
    'Most are not kept: they show another face, or nearly the same picture again. Painting ends sooner once enough are kept, with views from both sides.',
  );
  const lora = checkbox(
    'Paint with the trained LoRA',
    false,
    () => propose(),
    'It knows the face, so more of the pictures are kept.',
  );
  const mirror = checkbox(
    'Fill a missing side with mirror images',
    true,
    undefined,
    'In a mirror image, partings, moles, writing and one-sided jewellery change sides.',
  );
  const node = el('div', { class: 'sf-form' }, count.node, budget.node, mirror, lora);
  const current = () => (view && view.rounds[lora.input.checked ? 'with' : 'without']) || { painted: 0, kept: 0 };
  let typed = false;
  budget.input.addEventListener('input', () => (typed = true));
  // the usual number counts all of a round, as the command's does; once it is spent, the same number again
  const propose = () => {
    const { usual } = pageState().limits.ranges.budget;
    const left = (usual ?? 0) - current().painted;
    if (!typed) budget.input.value = String(left > 0 ? left : usual);
  };
  return {
    node,
    set: (/** @type {InventionView} */ found) => {
      view = found;
      lora.hidden = !found.lora;
      if (!found.lora) lora.input.checked = false;
      propose();
    },
    start: async (/** @type {string} */ slug) => {
      const round = current();
      refuseForm([...count.faults(), ...budget.faults(round.painted)]);
      // the trainer counts all that were painted this way; here it is what comes now
      const values = {
        count: count.get(),
        budget: round.painted + budget.get(),
        with_lora: lora.input.checked,
        mirror: mirror.input.checked,
      };
      const enough = round.kept >= values.count;
      const said = t('{n} are kept already; enter a larger number to continue.', { n: round.kept });
      refuseForm(enough ? [{ target: count.input, text: said }] : []);
      await api.post('/jobs', { kind: 'more', character: slug, arguments: values });
      await refresh();
    },
  };
}
