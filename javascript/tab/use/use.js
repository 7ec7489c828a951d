/** The panel "Use": put a LoRA where it can be painted with, and its prompt into txt2img. */

import * as api from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { chosenCharacter, goTo } from '../base/choice.js';
import { appendTo, el, fillWith } from '../base/dom.js';
import * as format from '../base/format.js';
import { readStored, writeStored } from '../base/stored.js';
import { t } from '../base/texts.js';
import { loraFile } from '../jobs/lora_file.js';
import { bestCell, cellChoice, cellName, gridsOf, knownRuns, reloadRuns, runsError } from '../jobs/runs.js';
import { postWithCode } from '../widgets/confirmation_code.js';
import { refuseForm, sendForm } from '../widgets/faults.js';
import { copyBox, copyText } from '../widgets/form_parts.js';
import { actionButton, foldSection, formField, leadLine, notice, toast } from '../widgets/widgets.js';
import { addToPrompt, refreshCards, rememberSent, sendPrompt, wantedInTxt2img } from './txt2img.js';

/** @type {UsePanel} what `mount` has made. */
let view;

export const panel = {
  mount: (/** @type {HTMLElement} */ root) => (view = make(root)),
  update: () => update(view),
  shown: () => {
    reloadRuns();
    loadSettings(view);
  },
};

/** @param {HTMLElement} root */
function make(root) {
  const made = /** @type {UsePanel} */ ({ slug: '', settings: null });
  made.lead = leadLine();
  made.cell = cellChoice(pageState().limits.prompt_weight, () => {
    made.result.hidden = true;
    update(made);
  });
  made.known = el('div', {});
  made.file = loraFile();
  made.comfy = folderRow('ComfyUI folder', 'Where ComfyUI is installed; the LoRA goes to models/loras in it.');
  made.folder = folderRow(
    'Folder',
    'Any folder, such as models/Lora of SD.Next; the LoRA and its preview are copied there.',
  );
  made.folder.input.value = readStored('folder', '');
  const comfyButton = actionButton('Copy to ComfyUI', () => toComfy(made));
  const folderButton = actionButton('Copy to this folder', () => toFolder(made));
  made.comfyRow = el('div', { class: 'sf-copy' }, made.comfy.node, comfyButton);
  made.folderRow = el('div', { class: 'sf-copy' }, made.folder.node, folderButton);
  made.elsewhere = foldSection('Use it elsewhere', made.comfyRow, made.folderRow);
  made.result = results();
  made.choice = el('div', { class: 'sf-card' }, made.cell.node, made.known, made.file);
  appendTo(root, [made.lead, made.choice, made.result, made.elsewhere]);
  return made;
}

/**
 * @param {string} label
 * @param {string} help
 */
function folderRow(label, help) {
  const input = el('input', { class: 'sf-input', type: 'text', spellcheck: false, autocomplete: 'off' });
  return { input, node: formField(label, input, help) };
}

function results() {
  const said = el('div', { class: 'sf-stack' });
  const prompt = copyBox('Prompt');
  const infotext = copyBox('Whole generation text');
  const file = copyBox('File');
  const more = foldSection('With sampler, seed and size', infotext);
  const node = el('div', { class: 'sf-card', hidden: true, aria: { live: 'polite' } }, said, prompt, file, more);
  const set = (/** @type {UsedLora} */ used, /** @type {string | undefined} */ text = undefined) => {
    node.hidden = false;
    fillWith(
      said,
      notice('good', text || used.text),
      used.shown === false && used.why ? notice('warn', used.why) : null,
    );
    prompt.set(used.prompt);
    infotext.set(used.infotext);
    more.hidden = !used.infotext;
    file.set(used.file);
  };
  return Object.assign(node, { set });
}

/** @param {UsePanel} made */
async function loadSettings(made) {
  try {
    made.settings = await api.get('/settings');
    if (!made.comfy.input.value) made.comfy.input.value = made.settings.comfyui || '';
  } catch {
    made.settings = {}; // the folder is then asked for again
  }
}

// What is there

/** @param {UsePanel} made */
function update(made) {
  const character = chosenCharacter();
  if (!character) return;
  const runs = knownRuns();
  if (made.slug !== character.slug) {
    made.slug = character.slug;
    made.cell.reset();
    made.result.hidden = true;
  }
  if (runs) preselect(made, runs);
  const trained = Boolean(runs && runs.some((run) => run.checkpoints.length));
  const far = pageState().host.remote; // then no folder may be named
  made.comfy.input.disabled = far;
  made.folderRow.hidden = far;
  made.choice.hidden = made.elsewhere.hidden = !trained;
  made.lead.set(words(made, runs, trained));
  if (runs && trained) showKnown(made, runs);
  if (trained) made.file.set(made.slug, made.cell.value);
}

/**
 * What the test panel asked for, else the best of what was judged, else the step to use of the newest run.
 * @param {UsePanel} made
 * @param {RunRecord[]} runs
 */
function preselect(made, runs) {
  const before = JSON.stringify(made.cell.value);
  const best = bestCell(runs);
  made.cell.setRuns(runs, best);
  const wanted = app.wantedCell;
  if (wanted && wanted.slug === made.slug) {
    app.wantedCell = null;
    made.cell.choose({ run: wanted.run, step: wanted.step, weight: wanted.weight });
  }
  if (JSON.stringify(made.cell.value) !== before) made.result.hidden = true; // it was another LoRA's
}

/**
 * The judged grid of the chosen step and weight; null where it was not tested.
 * @param {UsePanel} made
 * @param {RunRecord[]} runs
 */
function testOf(made, runs) {
  const { run, step, weight } = made.cell.value;
  const mine = gridsOf(runs.filter((one) => one.id === run));
  const same = mine.filter(({ grid }) => grid.kind && grid.step === step && Math.abs(grid.weight - weight) < 1e-6);
  return same.length ? same[0].grid : null;
}

/**
 * @param {UsePanel} made
 * @param {RunRecord[] | null} runs
 * @param {boolean} trained
 * @returns {Lead}
 */
function words(made, runs, trained) {
  if (!runs) return { tone: 'none', text: runsError() || 'Loading …' };
  if (!trained) {
    const train = { label: 'Go to training', main: true, do: () => goTo({ step: 'train' }) };
    return { tone: 'none', text: 'There is no LoRA yet.', buttons: [train] };
  }
  const { run, step, weight } = made.cell.value;
  const text = cellName(run, step, weight);
  const found = testOf(made, runs);
  const detail = found ? t(found.headline) : t('Not tested yet.');
  const tone = found ? found.tone : 'none';
  return { tone, text, detail, buttons: [alone() ? keepFile(made) : toWebui(made), copyPrompt(made)] };
}

function alone() {
  return pageState().host.name === 'alone';
}

/**
 * @param {UsePanel} made
 * @param {RunRecord[]} runs
 */
function showKnown(made, runs) {
  const found = testOf(made, runs);
  const mark = JSON.stringify([made.cell.value, found]);
  if (made.known.dataset.of === mark) return;
  made.known.dataset.of = mark;
  if (!found) {
    const go = actionButton('Test it first', () => goTo({ step: 'test' }), { small: true });
    return fillWith(made.known, notice('none', 'This step and weight have not been tested.', go));
  }
  const kept = Number.isFinite(found.retention)
    ? t('{kept} of the identity is kept.', { kept: format.percent(found.retention) })
    : '';
  const tone = found.tone;
  const { run } = made.cell.value;
  const see = () => {
    app.wantedGrid = { slug: made.slug, run, id: found.id };
    goTo({ step: 'test' });
  };
  const report = actionButton('See the test', see, { small: true });
  return fillWith(made.known, notice(tone, `${t(found.headline)}. ${kept}`, report));
}

// Doing

/**
 * @param {UsePanel} made
 * @param {string} to
 * @param {string} [folder]
 */
async function use(made, to, folder = undefined) {
  const { run, step, weight } = made.cell.value;
  const body = { run, step, weight, to, ...(folder === undefined ? {} : { folder }) };
  return postWithCode(`/characters/${made.slug}/use`, body);
}

/** @param {UsePanel} made */
function toWebui(made) {
  const put = async () => {
    const how = await wantedInTxt2img();
    if (!how) return;
    const { slug } = made;
    const used = await use(made, 'webui');
    refreshCards();
    const done = how === 'add' ? addToPrompt(used) : await sendPrompt(used);
    const said = how === 'add' ? 'The LoRA is in your prompt in txt2img' : 'The prompt is in txt2img';
    const text = done ? `${t(said)}; ${t('press “Generate” there.')}` : used.text;
    if (made.slug === slug) made.result.set(used, text);
    if (how !== 'add' && done !== false) rememberSent(used);
    if (done) toast(text, 'good');
    else if (done === null) toast(t('The prompt has not arrived in txt2img; press the button again.'), 'warn');
  };
  return { label: 'Put into txt2img', main: true, do: put };
}

/** @param {UsePanel} made */
function keepFile(made) {
  return { label: 'Download the LoRA', main: true, do: () => made.file.download() };
}

/** @param {UsePanel} made */
function copyPrompt(made) {
  const copy = async () => {
    const used = await use(made, 'webui');
    refreshCards();
    made.result.set(used);
    await copyText(used.prompt);
  };
  return { label: 'Copy the prompt', do: copy };
}

/** @param {UsePanel} made */
async function toComfy(made) {
  const folder = made.comfy.input.value.trim();
  refuseForm(folder ? [] : [{ target: made.comfy.input, text: 'Enter the folder of ComfyUI.' }]);
  if (!made.settings || folder !== made.settings.comfyui) {
    const keep = () => postWithCode('/settings', { comfyui: folder });
    made.settings = await sendForm({ comfyui: made.comfy.input }, keep);
  }
  made.result.set(await use(made, 'comfyui'));
}

/** @param {UsePanel} made */
async function toFolder(made) {
  const folder = made.folder.input.value.trim();
  refuseForm(folder ? [] : [{ target: made.folder.input, text: 'Enter the path of the folder.' }]);
  const used = await use(made, 'folder', folder);
  writeStored('folder', folder);
  made.result.set(used);
}
