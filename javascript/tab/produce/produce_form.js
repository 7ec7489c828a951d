/** What is to be produced: the prompts, how many pictures, with which LoRA, by whom. */

import * as api from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import { readStored, writeStored } from '../base/stored.js';
import { plural, t } from '../base/texts.js';
import { beginsWhen } from '../jobs/jobs.js';
import { painterChoice } from '../jobs/painter_choice.js';
import { baseGone, bestCell, cellChoice } from '../jobs/runs.js';
import { refresh } from '../page/polling.js';
import { numberFault, refuseForm, sendForm } from '../widgets/faults.js';
import { checkbox, numberField, radioGroup, wholeNumber } from '../widgets/form_parts.js';
import { actionButton, foldSection, formField, selectBox, toast } from '../widgets/widgets.js';
import { loraInPrompts } from './lora_in_prompts.js';
import { isTable, promptLines } from './prompt_text.js';

const EXAMPLE = ['in a café, smiling, morning light', 'on a beach at sunset, {red|blue} dress, full body'].join('\n');
const COMFYUI = 'comfyui'; // its address, as it was used last
const STORED = 'prompts'; // of each character, as they were last produced

/**
 * @param {(production: string) => void} begun is called with the production that was begun.
 * @returns `node`, `update(runs)`, `produce()`, `count()`: how many pictures are asked for, `gone()`: that the base
 *   model is gone, or an empty text.
 */
export function produceForm(begun) {
  /** @type {{slug: string, runs: RunRecord[]}} */
  const form = { slug: '', runs: [] };
  const { ranges, produced } = pageState().limits;
  const cell = cellChoice(ranges.weight, () => showGone());
  const prompts = el('textarea', { class: 'sf-input sf-prompts', spellcheck: false, placeholder: EXAMPLE, rows: 7 });
  prompts.addEventListener('input', () => label());
  const file = el('input', { type: 'file', accept: '.txt,.csv,.tsv,text/*', hidden: true });
  file.addEventListener('change', () => takeFile());
  const choose = actionButton('Open a file …', () => file.click(), { small: true });
  const count = numberField(produced.count, 1);
  count.placeholder = t('one for each prompt');
  count.addEventListener('input', () => label());
  const ours = { value: 'comfyui', text: 'ComfyUI', help: 'A running ComfyUI, with its own nodes and samplers.' };
  const painter = painterChoice([ours], () => showPainter());
  const comfyui = el('input', { class: 'sf-input', type: 'text', spellcheck: false, autocomplete: 'off' });
  comfyui.value = readStored(COMFYUI, '');
  comfyui.placeholder = pageState().limits.comfyui;
  const addressField = formField('Address of ComfyUI', comfyui);
  const line = radioGroup(
    'Which pictures are kept',
    [
      { value: 'keep', text: 'Those above the keep line', help: 'As close as the character’s own photos.' },
      { value: 'same', text: 'Those that certainly show this person', help: 'More pictures, with a weaker likeness.' },
    ],
    'keep',
  );
  const several = checkbox('Other people may be in the picture', false);
  const trigger = checkbox('Add the trigger word to prompts that lack it', true);
  const again = checkbox('Repaint small faces at full size', false);
  const byWhom = el('p', { class: 'sf-help' });
  const tries = numberField(produced.tries, 1);
  const steps = numberField(produced.steps, 1);
  const cfg = numberField(produced.cfg, 0.5);
  cfg.placeholder = t('as usual');
  const side = numberField(produced.side, 8);
  side.placeholder = t('as trained');
  const seed = numberField(produced.seed, 1);
  const sampler = selectBox([]);
  const negative = el('input', { class: 'sf-input', type: 'text', placeholder: t('as in the tests') });
  const fine = foldSection(
    'How they are painted',
    el(
      'div',
      { class: 'sf-three' },
      formField('Sampler', sampler),
      formField('Sampling steps', steps),
      formField('Guidance (CFG)', cfg),
      formField('Width and height (pixels)', side, 'A table of prompts may have a column size, such as 512x768.'),
      formField('First seed', seed),
    ),
    formField('Negative prompt', negative),
    several,
    trigger,
    el('div', {}, again, byWhom),
  );
  const triesField = formField(
    'Tries for each picture',
    tries,
    'A picture that fails is painted again, up to this many times in all.',
  );
  const other = loraInPrompts(prompts, () => label());
  const later = el('p', { class: 'sf-help' });
  const start = actionButton('', () => actions.produce(), { main: true });
  const promptsField = formField(
    'Prompts, one per line',
    prompts,
    'Or a table with a first line such as prompt, negative, seed, size, weight. {red|blue} and __wildcards__ are filled.',
  );
  const node = el(
    'div',
    { class: 'sf-stack' },
    promptsField,
    el('div', { class: 'sf-row' }, choose, file),
    other,
    el('div', { class: 'sf-halves' }, formField('Pictures', count), triesField),
    cell.node,
    el('div', { class: 'sf-halves' }, line, el('div', { class: 'sf-stack' }, painter.node, addressField)),
    painter.rent,
    fine,
    later,
    el('div', { class: 'sf-row' }, start),
  );
  const targets = {
    prompts,
    count,
    tries,
    steps,
    cfg,
    side,
    seed,
    sampler,
    negative,
    painter: painter.node,
    comfyui,
    weight: cell.weight,
  };

  async function takeFile() {
    const chosen = file.files?.[0];
    file.value = '';
    if (!chosen) return;
    prompts.value = await decoded(chosen);
    label();
  }

  function asked() {
    const { length } = promptLines(prompts.value);
    const lines = length - Number(isTable(prompts.value)); // a table's first line is no prompt
    return count.value === '' ? lines : Math.round(Number(count.value));
  }

  function label() {
    const n = asked();
    setText(start.firstElementChild, n ? plural(n, 'Paint {n} picture', 'Paint {n} pictures') : t('Paint pictures'));
  }

  function showGone() {
    const gone = actions.gone();
    start.disabled = Boolean(gone);
    setText(later, gone || beginsWhen(null));
    later.hidden = !later.textContent;
  }

  function showPainters() {
    painter.update(
      form.runs.find((one) => one.id === cell.value.run),
      { production: asked() || 1, steps: wholeNumber(steps, produced.steps.usual), side: wholeNumber(side, null) },
    );
  }

  function showPainter() {
    addressField.hidden = painter.chosen() !== 'comfyui';
    const { detailer } = pageState().host;
    const own = t('Done by SameFace, for full-body pictures. Takes longer.');
    const webuis = t('Done by {name} of this webui, for full-body pictures. Takes longer.', { name: detailer });
    setText(byWhom, painter.chosen() === 'webui' && detailer ? webuis : own);
  }

  function body() {
    const { run, step, weight } = cell.value;
    return {
      prompts: prompts.value,
      count: count.value === '' ? 0 : Math.round(Number(count.value)),
      run,
      step,
      weight,
      tries: wholeNumber(tries, produced.tries.usual ?? undefined),
      seed: wholeNumber(seed, produced.seed.usual ?? undefined),
      line: /** @type {ProductionLine} */ (line.chosen),
      several: several.input.checked,
      negative: negative.value.trim() || null,
      side: wholeNumber(side, null),
      steps: wholeNumber(steps, produced.steps.usual ?? undefined),
      cfg: cfg.value === '' ? null : Number(cfg.value),
      sampler: sampler.value,
      trigger: trigger.input.checked,
      second_pass: again.input.checked ? pageState().limits.second_pass : 0,
      ...painter.by(),
      comfyui: comfyui.value.trim() || undefined,
    };
  }

  const actions = {
    node,
    count: asked,
    gone: () => baseGone(form.runs.find((run) => run.id === cell.value.run)),
    produce: async () => {
      painter.check();
      refuseForm([
        prompts.value.trim() ? null : { target: prompts, text: 'Write at least one prompt.' },
        ...[count, tries, steps, cfg, side, seed, cell.weight].map((input) => numberFault(input)),
      ]);
      const { slug } = app;
      const send = () => api.post(`/characters/${slug}/productions`, body());
      const { production, job } = await sendForm(targets, send);
      writeStored(COMFYUI, comfyui.value.trim());
      writeStored(`${STORED}-${slug}`, prompts.value.slice(0, 20000));
      begun(production);
      await refresh();
      const when = beginsWhen(job);
      toast(when ? `${t('Added to the queue.')} ${when}` : t('The production begins.'), 'good');
    },
    update: (/** @type {RunRecord[]} */ runs) => {
      if (form.slug !== app.slug) {
        form.slug = app.slug;
        cell.reset();
        prompts.value = readStored(`${STORED}-${app.slug}`, '');
        painter.load().then(showPainters);
        label();
      }
      form.runs = runs;
      const best = bestCell(runs);
      cell.setRuns(runs, best);
      const { host } = pageState();
      sampler.setChoices(host.samplers.map((name) => ({ value: name, text: name })));
      showPainters();
      showPainter();
      showGone();
    },
  };
  label();
  return actions;
}

/**
 * The text of a file: UTF-16 and UTF-8 by their marks, else UTF-8, else Windows' western code page.
 * @param {File} file
 */
async function decoded(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}
