/** The panel "Doctor": whether everything works here, where things lie, and the settings. */

import * as api from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { appendTo, el, setText } from '../base/dom.js';
import { asError } from '../base/page_error.js';
import { plural, say, t } from '../base/texts.js';
import { livingPods } from '../elsewhere/living_pods.js';
import { placesPanel } from '../elsewhere/places_panel.js';
import { postWithCode } from '../widgets/confirmation_code.js';
import { clearFaults, numberFault, refuseForm, sendForm } from '../widgets/faults.js';
import { checkbox, copyBox, copyText, radioGroup } from '../widgets/form_parts.js';
import { actionButton, formField, keyedList, leadLine, notice, toast, toneBadge } from '../widgets/widgets.js';

/** @type {DoctorPanel} what `mount` has made. */
let view;

export const panel = {
  mount: (/** @type {HTMLElement} */ root) => (view = make(root)),
  shown: () => load(view),
};

/** @param {HTMLElement} root */
function make(root) {
  const made = /** @type {DoctorPanel} */ ({});
  made.lead = leadLine();
  made.checks = el('ul', { class: 'sf-checks' });
  made.folders = el('div', { class: 'sf-folders' });
  made.settings = settingsForm();
  made.pods = livingPods();
  made.places = placesPanel();
  const left = el('div', { class: 'sf-stack' }, el('h3', { text: t('Checks') }), made.checks);
  made.others = el('div', { class: 'sf-stack' }, el('h3', { text: t('Other machines') }), made.places);
  const folders = el('h3', { text: t('Folders') });
  const right = el('div', { class: 'sf-stack' }, folders, made.folders, made.others);
  const heading = el('h3', { text: t('Settings') });
  const checks = el('div', { class: 'sf-halves' }, left, right);
  appendTo(root, [made.lead, made.pods, checks, heading, made.settings.node]);
  made.lead.set({ tone: 'busy', text: 'Checking …' });
  return made;
}

/** @param {DoctorPanel} made */
async function load(made) {
  const again = { label: 'Check again', do: () => load(made) };
  try {
    const [doctor, settings] = await Promise.all([api.get('/doctor'), api.get('/settings')]);
    const copy = { label: 'Copy for a report', do: () => copyText(doctor.text) };
    made.lead.set({ ...summary(doctor.checks), buttons: [again, copy] });
    showChecks(made, doctor.checks);
    showFolders(made, doctor.folders);
    made.settings.take(settings);
    made.others.hidden = pageState().host.remote;
    made.pods.update();
    made.places.update();
  } catch (error) {
    made.lead.set({ tone: 'bad', text: asError(error).message, buttons: [again] });
  }
}

/**
 * @param {DoctorCheck[]} checks
 * @returns {Lead}
 */
function summary(checks) {
  const wrong = checks.filter((one) => one.tone === 'bad').length;
  const odd = checks.filter((one) => one.tone === 'warn').length;
  const { supervisor, host } = pageState();
  const values = { version: pageState().version, host: host.name, its: host.version || '' };
  const words = host.name === 'alone' ? 'SameFace {version}, without a webui' : 'SameFace {version} in {host} {its}';
  const detail = t(words, values).trim();
  if (!supervisor.active) return { tone: 'bad', text: supervisor.reason, detail };
  if (wrong)
    return {
      tone: 'bad',
      text: plural(wrong, '{n} thing does not work.', '{n} things do not work.'),
      detail,
    };
  if (odd)
    return {
      tone: 'warn',
      text: plural(
        odd,
        'Everything works; one thing is worth knowing.',
        'Everything works; {n} things are worth knowing.',
      ),
      detail,
    };
  return { tone: 'good', text: 'Everything works.', detail };
}

/** @type {Tone[]} */
const ORDER = ['bad', 'warn', 'none', 'good'];
/** @type {Record<Tone, string>} */
const WORDS = { good: 'fine', warn: 'note', bad: 'does not work', none: 'not there' };

/**
 * @param {DoctorPanel} made
 * @param {DoctorCheck[]} checks
 */
function showChecks(made, checks) {
  const sorted = [...checks].sort((a, b) => ORDER.indexOf(a.tone) - ORDER.indexOf(b.tone));
  const entry = (/** @type {DoctorCheck} */ one) =>
    el(
      'li',
      { class: `sf-check sf-${one.tone}` },
      el('div', { class: 'sf-check-head' }, el('b', { text: say(one.title) }), toneBadge(one.tone, t(WORDS[one.tone]))),
      el('p', { text: say(one.message) }),
      one.remedy ? el('p', { class: 'sf-mend' }, el('b', { text: t('What to do:') }), ' ', say(one.remedy)) : null,
    );
  keyedList(made.checks, sorted, (one) => JSON.stringify(one), entry);
}

/** @type {Record<string, string>} */
const FOLDERS = { data: 'Characters, runs and settings', loras: 'LoRAs', log: 'Jobs and their logs' };

/**
 * @param {DoctorPanel} made
 * @param {DoctorView['folders']} folders
 */
function showFolders(made, folders) {
  const entries = Object.entries(folders).flatMap(([name, path]) =>
    [path]
      .flat()
      .flatMap((one) => one ?? [])
      .map((one) => ({ name, path: one })),
  );
  keyedList(
    made.folders,
    entries,
    ({ name, path }) => `${name}|${path}`,
    ({ name, path }) => {
      const box = copyBox(FOLDERS[name] || name);
      box.set(path);
      return box;
    },
  );
}

// Settings

function settingsForm() {
  const packName = pageState().limits.engine_pack;
  /** @type {Record<string, string | number | boolean>} */
  let kept = {};
  const changed = () => show();
  const painting = radioGroup(
    'While a LoRA is being trained',
    [
      {
        value: 'no',
        text: 'Painting waits',
        help: 'Training gets the whole machine; pictures wait until it ends or is paused.',
      },
      {
        value: 'yes',
        text: 'Painting is allowed',
        help: 'Needs memory for both; training becomes slower, and may run out of memory.',
      },
    ],
    'no',
    changed,
  );
  const then = checkbox('Paint and judge the test grid after each training', true, changed);
  const comfyui = text('ComfyUI folder', 'For “Copy to ComfyUI”.');
  const python = text(
    'Python that trains',
    'A program; leave it empty for the Python that SameFace runs in. For a separate environment with torch and diffusers.',
  );
  const engine = radioGroup(
    'Faces are compared with',
    [
      { value: 'own', text: 'SFace and YuNet', help: 'Included in SameFace; free for commercial use, too.' },
      {
        value: 'pack',
        text: 'InsightFace',
        help: 'A model pack that you already have; needs the package insightface.',
      },
    ],
    'own',
    changed,
  );
  const pack = text('Folder of the model pack', 'For example …/models/buffalo_l.');
  const licence = checkbox(
    'I use these models for non-commercial research only, or hold a licence from InsightFace',
    false,
    changed,
    'Their models may not be used for anything else. Characters are measured again, and old verdicts are not ' +
      'compared with new ones.',
  );
  const currency = text('Currency', 'Three-letter code used to display amounts.');
  const rate = text(
    'Exchange rate (1 USD =)',
    'Amount in that currency. RunPod bills in USD, and no rate is looked up.',
  );
  const { least, most } = pageState().limits.per_usd;
  Object.assign(rate.input, { type: 'number', step: 'any', min: least, max: most });
  const packs = el('div', { class: 'sf-pack' }, pack.node, licence);
  const save = actionButton('Save the settings', () => store(), { main: true });
  const said = el('span', { class: 'sf-quiet', role: 'status' });
  const remote = notice('none', 'Folders and programs can only be set on the computer where the webui runs.');
  const left = el('div', { class: 'sf-stack' }, painting, then, engine, packs);
  const right = el('div', { class: 'sf-stack' }, comfyui.node, python.node, remote, currency.node, rate.node);
  const node = el(
    'div',
    { class: 'sf-card' },
    el('div', { class: 'sf-halves' }, left, right),
    el('div', { class: 'sf-row' }, save, said),
  );
  node.inert = true; // until it is known what is set: what is chosen sooner would be lost

  function text(/** @type {string} */ label, /** @type {string} */ help) {
    const input = el('input', {
      class: 'sf-input',
      type: 'text',
      spellcheck: false,
      autocomplete: 'off',
      on: { input: changed },
    });
    return { input, node: formField(label, input, help) };
  }

  function chosen() {
    return {
      allow_painting: painting.chosen === 'yes',
      then_test: then.input.checked,
      comfyui: comfyui.input.value.trim(),
      worker_python: python.input.value.trim(),
      currency: currency.input.value.trim().toUpperCase(),
      per_usd: rate.input.value === '' ? Number(kept.per_usd) : Number(rate.input.value),
      engine: engine.chosen === 'pack' ? packName + pack.input.value.trim() : '',
    };
  }

  function differing() {
    return Object.fromEntries(
      Object.entries(chosen()).filter(
        ([key, value]) => value !== (kept[key] ?? (typeof value === 'string' ? '' : value)),
      ),
    );
  }

  function show() {
    packs.hidden = engine.chosen !== 'pack';
    if (packs.hidden) clearFaults([pack.input, licence.input]);
    const dirty = Object.keys(differing()).length > 0;
    save.disabled = !dirty;
    setText(said, dirty ? t('Not saved yet.') : '');
  }

  async function store() {
    const values = differing();
    const packed = 'engine' in values ? String(values.engine) : '';
    refuseForm([
      numberFault(rate.input, true),
      packed === packName && { target: pack.input, text: 'In which folder is the model pack?' },
      packed &&
        !licence.input.checked && {
          target: licence.input,
          text: 'Read the licence of the models and check its box first.',
        },
    ]);
    const targets = { comfyui: comfyui.input, worker_python: python.input, engine: pack.input };
    Object.assign(targets, { currency: currency.input, per_usd: rate.input });
    take(await sendForm(targets, () => postWithCode('/settings', values)));
    toast('The settings are saved.', 'good');
  }

  /** Take what the routes say; what has been typed and not saved stays. */
  function take(/** @type {Preferences} */ settings) {
    node.inert = false;
    const mine = Object.keys(kept).length ? differing() : {};
    kept = Object.fromEntries(Object.entries(settings).map(([key, value]) => [key, value === null ? '' : value]));
    const now = {
      ...kept,
      ...Object.fromEntries(Object.entries(mine).filter(([key, value]) => kept[key] !== value)),
    };
    painting.chosen = now.allow_painting ? 'yes' : 'no';
    then.input.checked = now.then_test !== false;
    app.usualTest = settings.then_test !== false;
    write(comfyui.input, now.comfyui);
    write(python.input, now.worker_python);
    write(currency.input, now.currency);
    write(rate.input, now.per_usd);
    const own = !String(now.engine || '').startsWith(packName);
    engine.chosen = own ? 'own' : 'pack';
    if (!own) write(pack.input, String(now.engine).slice(packName.length));
    if (!own && kept.engine === now.engine) licence.input.checked = true;
    const far = pageState().host.remote;
    remote.hidden = !far;
    for (const field of [comfyui.input, python.input, pack.input]) field.disabled = far;
    show();
  }

  function write(
    /** @type {HTMLInputElement} */ input,
    /** @type {string | number | boolean | null | undefined} */ value,
  ) {
    if (document.activeElement !== input) input.value = String(value || '');
  }

  return { node, take };
}
