/** The panel "Library": what the models are on Civitai, what may be done with them, and fetching others. */

import * as api from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { appendTo, el, fillWith, setText } from '../base/dom.js';
import { bytes } from '../base/format.js';
import { asError } from '../base/page_error.js';
import { capital, plural, t } from '../base/texts.js';
import { keyField } from '../elsewhere/key_field.js';
import { refuseForm, sendForm } from '../widgets/faults.js';
import {
  actionButton,
  foldSection,
  formField,
  leadLine,
  notice,
  progressBar,
  selectBox,
  toast,
} from '../widgets/widgets.js';
import { findModel } from './find_model.js';
import { lightBadge, lightList, warnings } from './licence_lights.js';
import { countsSentence, filtered, modelCards } from './model_cards.js';
import { starterCards } from './starter_cards.js';

const SOON = 700; // milliseconds between two looks while something is under way
const NO_ADVICE = 'This shows what pages and licences say; it is not legal advice, and decides nothing.';
const ONLY = { '': 'All', base: 'Base models', lora: 'LoRAs' };
/** @type {KeyService} */
const KEY = {
  service: 'civitai',
  path: '/library/token',
  forget: '/library/token/forget',
  label: 'API key of Civitai',
  where: 'Needed for files that only members may download. Make one on Civitai under Account settings, API Keys.',
  forgotten: 'The API key has been removed here; delete it on Civitai too.',
};

/** @type {LibraryPanel} what `mount` has made. */
let view;

export const panel = {
  mount: (/** @type {HTMLElement} */ root) => (view = make(root)),
  shown: () => load(view),
  hidden: () => clearTimeout(view.timer),
};

/** @param {HTMLElement} root */
function make(root) {
  /** @type {Partial<LibraryPanel>} */
  const begunMade = {
    library: null,
    tasks: {},
    purpose: 'pictures',
    ended: '',
    timer: 0,
    files: [],
  };
  const made = /** @type {LibraryPanel} */ (begunMade);
  const begun = () => follow(made).catch(() => null);
  made.lead = leadLine();
  made.fetching = el('div', { class: 'sf-stack sf-sticky sf-fetching', hidden: true, role: 'status' });
  made.purposes = selectBox([], '', (purpose) => {
    made.purpose = /** @type {LicencePurpose} */ (purpose);
    showTogether(made, made.files);
    show(made);
  });
  made.words = el('input', { class: 'sf-input', type: 'search', autocomplete: 'off', on: { input: () => show(made) } });
  made.only = selectBox(
    [
      ...Object.entries(ONLY).map(([value, text]) => ({ value, text: t(text) })),
      ...Object.entries(pageState().words.lights).map(([value, { word }]) => ({ value, text: capital(t(word)) })),
    ],
    '',
    () => show(made),
  );
  const choices = [formField('Show the light for', made.purposes), formField('Name', made.words)];
  made.choice = el('div', { class: 'sf-three' }, choices, formField('Show', made.only));
  made.cards = modelCards((files) => showTogether(made, files));
  made.none = el('p', { class: 'sf-help', hidden: true });
  made.together = el('div', { class: 'sf-card sf-sticky', hidden: true });
  made.find = findModel(begun);
  made.starters = starterCards(begun);
  made.settings = settingsFold(made);
  const advice = el('p', { class: 'sf-help', text: t(NO_ADVICE) });
  const find = el('div', { class: 'sf-stack' }, el('h3', { text: t('Find and download') }), made.find);
  made.findPart = find;
  const starters = el('div', { class: 'sf-stack' }, el('h3', { text: t('Base models to begin with') }), made.starters);
  made.startersPart = starters;
  const models = el('div', { class: 'sf-stack' }, el('h3', { text: t('Your models') }), made.choice, made.together);
  appendTo(models, [made.cards, made.none]);
  appendTo(root, [made.lead, made.fetching, find, models, advice, starters, made.settings]);
  made.lead.set({ tone: 'busy', text: 'Loading …' });
  return made;
}

/** @param {LibraryPanel} made */
async function load(made) {
  try {
    made.library = await api.get('/library');
  } catch (error) {
    const again = { label: 'Try again', do: () => load(made) };
    made.lead.set({ tone: 'bad', text: asError(error).message, buttons: [again] });
    return;
  }
  await follow(made);
}

/**
 * Ask how far the tasks are, as long as one is under way; when one has ended, the list is read anew.
 * @param {LibraryPanel} made
 */
async function follow(made) {
  clearTimeout(made.timer);
  const tasks = await api.get('/library/tasks');
  made.tasks = {};
  for (const one of tasks) Object.assign(made.tasks, { [one.kind]: one });
  const ended = tasks
    .filter((one) => one.state !== 'running')
    .map((one) => `${one.kind}${one.number}`)
    .join();
  if (ended !== made.ended) {
    made.ended = ended;
    made.library = await api.get('/library');
  }
  show(made);
  const running = tasks.some((one) => one.state === 'running');
  if (running && app.step === 'library') made.timer = setTimeout(() => follow(made).catch(() => null), SOON);
}

/** @param {LibraryPanel} made */
function show(made) {
  const { library, tasks } = made;
  if (!library) return;
  const closed = library.remote || library.civitai.state === 'off';
  made.lead.set(leading(made, library));
  made.purposes.setChoices(
    Object.entries(library.purposes).map(([value, text]) => ({ value, text: t(text) })),
    made.purpose,
  );
  const shown = filtered(library.models, made.words.value, made.only.value, made.purpose);
  made.cards.set(shown, library.purposes, made.purpose);
  made.none.hidden = shown.length > 0;
  setText(made.none, t(library.models.length ? 'No matching models.' : 'The webui has no models yet.'));
  made.choice.hidden = !library.models.length;
  made.findPart.hidden = closed;
  made.find.set(tasks.find, library);
  made.startersPart.hidden = library.remote;
  const fetching = tasks.fetch && tasks.fetch.state === 'running';
  made.starters.set(library.starters, Boolean(fetching));
  showFetch(made, tasks.fetch);
  made.settings.hidden = library.remote;
  made.settings.take(library.civitai);
}

/**
 * @param {LibraryPanel} made
 * @param {Library} library
 * @returns {Lead}
 */
function leading(made, library) {
  const { tasks } = made;
  const { civitai, models } = library;
  if (library.remote)
    return {
      tone: 'none',
      text: 'This webui is open to other machines, so Civitai can be neither set up nor asked from here.',
      detail: countsSentence(models),
    };
  const set = (/** @type {CivitaiSettings['state']} */ state) => async () => {
    const civitai = await api.post('/library/consent', { state });
    if (made.library) made.library.civitai = civitai; // the list may have been read anew meanwhile
    show(made);
  };
  const look = (/** @type {boolean} */ refresh) => async () => {
    await api.post('/library/look', { refresh });
    await follow(made);
  };
  const off = { label: 'Switch Civitai off', do: set('off') };
  if (civitai.state === 'off')
    return {
      tone: 'none',
      text: 'Civitai is turned off: no requests are sent to it.',
      detail: countsSentence(models),
      buttons: [{ label: 'Switch it on …', do: set('') }],
    };
  if (civitai.state !== 'agreed')
    return {
      tone: 'none',
      text: 'Find out what your models may be used for.',
      detail: civitai.sent,
      buttons: [{ label: 'Agree, and look them up', main: true, do: () => set('agreed')().then(look(false)) }, off],
    };
  const task = tasks.look;
  if (task && task.state === 'running') {
    const words = task.total ? 'Looking up {name} ({n} of {all})' : 'Looking up models …';
    const text = t(words, { name: task.about, n: task.done + 1, all: task.total });
    const stop = { label: 'Stop', do: () => api.post('/library/stop', { kind: 'look' }).then(() => follow(made)) };
    return { tone: 'busy', text, buttons: [stop] };
  }
  const unasked = models.some((one) => !one.civitai || !one.civitai.asked);
  const buttons = [
    unasked && { label: 'Look them up', main: true, do: look(false) },
    {
      label: 'Ask again',
      title: 'Asks Civitai about every model, also where an answer is less than a week old',
      do: look(true),
    },
    off,
  ];
  if (task && task.error) return { tone: 'bad', text: task.error.message, detail: countsSentence(models), buttons };
  const { length } = (task && task.result && task.result.troubles) || [];
  const trouble = length && plural(length, 'One model could not be looked up.', '{n} models could not be looked up.');
  return { tone: trouble ? 'warn' : 'good', text: countsSentence(models), detail: trouble || library.trouble, buttons };
}

/**
 * @param {LibraryPanel} made
 * @param {FetchTask | undefined} task
 */
function showFetch(made, task) {
  made.fetching.hidden = !task;
  if (!task) return;
  if (task.state === 'running') {
    const share = task.total ? task.done / task.total : null;
    const values = { name: task.about, done: bytes(task.done), all: bytes(task.total) };
    const text = t(task.total ? 'Downloading {name}: {done} of {all}' : 'Downloading {name}', values);
    const stop = actionButton('Stop', () => api.post('/library/stop', { kind: 'fetch' }), { small: true });
    fillWith(made.fetching, el('div', { class: 'sf-row' }, el('span', { text }), stop), progressBar(share, text));
  } else if (task.state === 'stopped') {
    const values = { name: task.about, done: bytes(task.done), all: bytes(task.total) };
    const text = t('Stopped at {done} of {all}. Download {name} again to continue.', values);
    fillWith(made.fetching, notice('warn', el('span', { text })));
  } else if (task.error) fillWith(made.fetching, notice('bad', el('span', { text: task.error.message })));
  else if (task.result) {
    const text = t('{name} has been downloaded: {file}', task.result);
    fillWith(made.fetching, notice('good', el('span', { text })));
  }
}

/**
 * @param {LibraryPanel} made
 * @param {string[]} files
 */
async function showTogether(made, files) {
  made.files = files;
  made.together.hidden = files.length < 2;
  if (files.length < 2) return;
  const found = await api.post('/library/together', { files });
  const title = plural(files.length, 'One model', 'These {n} models together, in a picture or a training');
  const { purposes } = /** @type {Library} */ (made.library);
  const head = el(
    'div',
    { class: 'sf-check-head' },
    el('b', { text: title }),
    lightBadge(found.lights[made.purpose].light),
  );
  const about = el('p', { class: 'sf-help', text: t(purposes[made.purpose]) });
  fillWith(
    made.together,
    head,
    about,
    warnings(found),
    foldSection('What you may do with them', lightList(found, purposes)),
  );
}

/** @param {LibraryPanel} made */
function settingsFold(made) {
  const address = el('input', { class: 'sf-input', type: 'text', autocomplete: 'off', spellcheck: false });
  const help =
    'Use https://civitai.red if civitai.com is unreachable, or for adult content. Leave empty for the default.';
  const keep = actionButton('Save the address', async () => {
    refuseForm([]);
    const civitai = await sendForm({ address }, () => api.post('/library/site', { address: address.value }));
    if (made.library) made.library.civitai = civitai;
    const other = address.value.trim() && !civitai.site.includes(address.value.trim().replace(/^https?:\/\//, ''));
    if (other)
      toast('The address is saved, but the variable SAMEFACE_CIVITAI names another one, which comes first.', 'warn');
    else toast(t('Requests now go to {site}.', { site: civitai.site }), 'good');
    show(made);
  });
  const key = keyField(() => load(made), KEY);
  const fold = foldSection('Settings for Civitai', formField('Address of Civitai', address, help), keep, key);
  /** @param {CivitaiSettings} civitai */
  const take = (civitai) => {
    if (document.activeElement !== address && address.dataset.site !== civitai.site) address.value = civitai.site;
    address.dataset.site = civitai.site;
    key.set(civitai.kept_in);
  };
  return Object.assign(fold, { take });
}
