/** What is painted for a test, and by whom. */

import * as api from '../base/api.js';
import { app, pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { beginsWhen, startJob } from '../jobs/jobs.js';
import { painterChoice } from '../jobs/painter_choice.js';
import { baseGone, cellChoice } from '../jobs/runs.js';
import { numberFault, refuseForm, sendForm } from '../widgets/faults.js';
import { numberField, radioGroup, wholeNumber } from '../widgets/form_parts.js';
import { actionButton, foldSection, formField, selectBox } from '../widgets/widgets.js';
import { otherLora } from './other_lora.js';

/**
 * @param {Action} changed is called when the user has chosen another run, step or weight.
 * @returns `by()`: who paints, and on
 *   which machine; `cell()`: the chosen run, step and weight, or null; `gone()`: that the run's base model is gone, or an
 *   empty text.
 */
export function testForm(changed) {
  /** @type {Partial<TestFormState>} */
  const begunForm = { slug: '', runs: [] };
  const form = /** @type {TestFormState} */ (begunForm);
  const { limits } = pageState();
  const { ranges } = limits;
  form.cell = cellChoice(ranges.weight, () => {
    showGone();
    changed();
  });
  const sampler = selectBox([]);
  const steps = numberField(ranges.grid_steps, 1);
  const cfg = numberField(ranges.cfg, 0.5);
  const seed = numberField(ranges.first_seed, 1);
  cfg.placeholder = t('as usual');
  const side = numberField(ranges.side, 8);
  side.placeholder = t('as trained');
  const many = radioGroup(
    'Pictures',
    [
      { value: 'all', text: t('All {n}', { n: limits.test_pictures }), help: 'A reliable verdict.' },
      {
        value: 'quick',
        text: t('Quick: {n}', { n: limits.quick_pictures }),
        help: 'A first look; small changes are not seen.',
      },
    ],
    'all',
  );
  const painter = painterChoice([], () => showBases());
  const paint = actionButton(paintLabel(limits.test_pictures), () => actions.paint());
  const find = actionButton('Find the best step and weight', () => actions.choose());
  many.addEventListener('change', () => {
    label();
    showPainters();
  });
  for (const input of [steps, side]) input.addEventListener('change', () => showPainters());
  const base = selectBox([{ value: '', text: t('The one it was trained on') }], '');
  const baseField = formField('Base model', base, 'Another one of the same kind shows how the face holds there.');
  const later = el('p', { class: 'sf-help' });
  const fine = foldSection(
    'How they are painted',
    el(
      'div',
      { class: 'sf-three' },
      baseField,
      formField('Sampler', sampler),
      formField('Sampling steps', steps),
      formField('Guidance (CFG)', cfg),
      formField('Width and height (pixels)', side),
      formField('First seed', seed, 'The same seeds make tests comparable.'),
    ),
  );
  fine.addEventListener('toggle', () => fine.open && loadBases());
  const other = otherLora(
    () => label(),
    () => actions.combine(),
  );
  const sides = el('div', { class: 'sf-halves' }, many, painter.node);
  const row = el('div', { class: 'sf-row' }, paint, find);
  const node = el('div', { class: 'sf-test-form' }, form.cell.node, sides, painter.rent, other.node, fine, later, row);

  function label() {
    setText(paint.firstChild, paintLabel(many.chosen === 'quick' ? limits.quick_pictures : limits.test_pictures));
  }

  function showPainters() {
    const run = (form.runs || []).find((one) => one.id === form.cell.value.run);
    painter.update(run, {
      prompts: many.chosen === 'quick' ? limits.quick_pictures : limits.test_pictures,
      steps: wholeNumber(steps, ranges.grid_steps.usual),
      side: wholeNumber(side, null),
    });
  }

  async function loadBases() {
    form.bases = await api.get('/bases').catch(() => form.bases);
    showBases();
  }

  /** Those that this LoRA can be painted with: another family has other layers. */
  function showBases() {
    const run = (form.runs || []).find((one) => one.id === form.cell.value.run);
    const fit = (form.bases || []).filter((one) => run && one.family === run.family && one.path !== run.base_path);
    const kept = fit.some((one) => one.path === base.value) ? base.value : '';
    const own = { value: '', text: t('The one it was trained on') };
    base.setChoices([own, ...fit.map((one) => ({ value: one.path, text: one.title }))], kept);
    baseField.hidden = painter.chosen() !== 'webui'; // SameFace itself paints with the run's own only
  }

  function showGone() {
    const gone = goneOf(form);
    paint.disabled = find.disabled = Boolean(gone);
    other.refuse(Boolean(gone));
    setText(later, gone || beginsWhen(null));
    later.hidden = !later.textContent;
  }

  /** What is not a number, or cannot be painted with, is said below its field. */
  function check() {
    painter.check();
    refuseForm([form.cell.weight, steps, cfg, side, seed, other.weight].map((input) => numberFault(input)));
  }

  const painted = (/** @type {boolean} */ quick) => {
    const values = { ...cellOf(form), ...actions.common(), quick, loras: other.loras() };
    return startJob('test', values, 'The test begins.');
  };

  const combined = () => {
    const values = {
      ...cellOf(form),
      lora: other.file(),
      weights: other.weights(),
      grid_steps: wholeNumber(steps, ranges.grid_steps.usual),
      ...actions.by(),
    };
    return startJob('combine', values, 'Painting with the other LoRA begins.');
  };

  const searched = () => {
    const values = {
      run: cellOf(form).run,
      grid_steps: wholeNumber(steps, ranges.grid_steps.usual),
      ...actions.by(),
    };
    return startJob('choose', values, 'The search begins.');
  };

  const actions = {
    node,
    cell: () => (form.cell.value.step ? form.cell.value : null),
    gone: () => goneOf(form),
    by: painter.by,
    common: () => ({
      ...actions.by(),
      base: (painter.chosen() === 'webui' && base.value) || null,
      sampler: sampler.value || undefined,
      grid_steps: wholeNumber(steps, ranges.grid_steps.usual),
      cfg: cfg.value === '' ? null : Number(cfg.value),
      side: wholeNumber(side, null),
      first_seed: wholeNumber(seed, ranges.first_seed.usual),
    }),
    paint: async (quick = many.chosen === 'quick') => {
      check();
      const targets = {
        sampler,
        side,
        cfg,
        grid_steps: steps,
        first_seed: seed,
        weight: form.cell.weight,
        base,
        lora: other.select,
      };
      await sendForm(targets, () => painted(quick));
    },
    choose: async () => {
      painter.check();
      refuseForm([numberFault(steps)]);
      await sendForm({ grid_steps: steps }, searched);
    },
    combine: async () => {
      painter.check();
      refuseForm([form.cell.weight, steps].map((input) => numberFault(input)));
      const targets = { grid_steps: steps, weight: form.cell.weight, lora: other.select, weights: other.tried };
      await sendForm(targets, combined);
    },
    update: (/** @type {RunRecord[]} */ runs) => {
      if (form.slug !== app.slug) {
        form.slug = app.slug;
        form.cell.reset();
        painter.load().then(showPainters);
        other.load();
      }
      form.runs = runs;
      form.cell.setRuns(runs);
      const { host } = pageState();
      sampler.setChoices(host.samplers.map((name) => ({ value: name, text: name })));
      showPainters();
      showBases();
      showGone();
    },
  };
  return actions;
}

/**
 * What the button says that paints `n` pictures.
 * @param {number} n
 */
export function paintLabel(n) {
  return t('Paint {n} test pictures and judge', { n });
}

/** @param {TestFormState} form */
function cellOf(form) {
  const { run, step, weight } = form.cell.value;
  if (!run || !step) throw new Error(t('Choose a run and a step.'));
  return { run, step, weight };
}

/** @param {TestFormState} form */
function goneOf(form) {
  return baseGone(form.runs.find((run) => run.id === form.cell.value.run));
}
