/** What is painted for a test, and by whom. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});

  /**
   * @param {function} changed is called when the user has chosen another run, step or weight.
   * @returns {{node, update(runs), paint(quick), choose(), common(), painter(), cell(), gone()}} `cell()`: the chosen
   *   run, step and weight, or null; `gone()`: that the run's base model is gone, or an empty text.
   */
  sameface.testForm = function (changed) {
    const form = { slug: '', runs: [] };
    form.cell = sameface.cellChoice(() => {
      showGone();
      changed();
    });
    const sampler = sameface.select([]);
    const steps = number(20, 1, 150, 1);
    const cfg = number('', 1, 30, 0.5);
    const seed = number(1000, 0, 4294967295, 1);
    cfg.placeholder = sameface.t('as usual');
    const side = number('', 64, 2048, 8);
    side.placeholder = sameface.t('as trained');
    const many = sameface.radios(
      'Pictures',
      [
        { value: 'all', text: 'All 20', help: 'A sure verdict.' },
        { value: 'quick', text: 'Quick: 8', help: 'A first look; small changes are not seen.' },
      ],
      'all',
    );
    const painter = sameface.radios('Painted by', [], '', (to) => (form.picked = to));
    const paint = sameface.button('Paint 20 test pictures and judge', () => api.paint());
    const find = sameface.button('Find the best step and weight', () => api.choose());
    many.addEventListener('change', () => label());
    const base = sameface.select([{ value: '', text: sameface.t('The one it was trained on') }], '');
    const baseField = sameface.field('Base model', base, 'Another one of the same kind shows how the face holds there.');
    const later = sameface.el('p', { class: 'sf-help' });
    const fine = sameface.fold(
      'How they are painted',
      sameface.el(
        'div',
        { class: 'sf-three' },
        baseField,
        sameface.field('Sampler', sampler),
        sameface.field('Sampling steps', steps),
        sameface.field('Guidance (CFG)', cfg),
        sameface.field('Width and height (pixels)', side),
        sameface.field('First seed', seed, 'The same seeds make tests comparable.'),
      ),
    );
    fine.addEventListener('toggle', () => fine.open && loadBases());
    const sides = sameface.el('div', { class: 'sf-halves' }, many, painter);
    const row = sameface.el('div', { class: 'sf-row' }, paint, find);
    const node = sameface.el('div', { class: 'sf-test-form' }, form.cell.node, sides, fine, later, row);

    function label() {
      const words = many.chosen === 'quick' ? 'Paint 8 test pictures and judge' : 'Paint 20 test pictures and judge';
      sameface.setText(paint.firstChild, sameface.t(words));
    }

    async function loadBases() {
      form.bases = await sameface.api.get('/bases').catch(() => form.bases);
      showBases();
    }

    /** Those that this LoRA can be painted with: another family has other layers. */
    function showBases() {
      const run = (form.runs || []).find((one) => one.id === form.cell.value.run);
      const fit = (form.bases || []).filter((one) => run && one.family === run.family && one.path !== run.base_path);
      const kept = fit.some((one) => one.path === base.value) ? base.value : '';
      const own = { value: '', text: sameface.t('The one it was trained on') };
      base.setChoices([own, ...fit.map((one) => ({ value: one.path, text: one.title }))], kept);
      baseField.hidden = painter.chosen !== 'webui'; // SameFace itself paints with the run's own only
    }

    function showGone() {
      const gone = goneOf(form);
      paint.disabled = find.disabled = Boolean(gone);
      sameface.setText(later, gone || sameface.begins(null));
      later.hidden = !later.textContent;
    }

    /** What is no number, or none that can be painted with, is said below its field. */
    function check() {
      sameface.refuse([form.cell.weight, steps, cfg, side, seed].map((input) => sameface.numberFault(input)));
    }

    const painted = (quick) => sameface.startJob('test', { ...cellOf(form), ...api.common(), quick }, 'The test begins.');

    const searched = () => {
      const values = { run: cellOf(form).run, grid_steps: whole(steps, 20), painter: painter.chosen };
      return sameface.startJob('choose', values, 'The search begins.');
    };

    const api = {
      node,
      cell: () => (form.cell.value.step ? form.cell.value : null),
      gone: () => goneOf(form),
      painter: () => painter.chosen,
      common: () => ({
        painter: painter.chosen,
        base: (painter.chosen === 'webui' && base.value) || null,
        sampler: sampler.value || undefined,
        grid_steps: whole(steps, 20),
        cfg: cfg.value === '' ? null : Number(cfg.value),
        side: whole(side, null),
        first_seed: whole(seed, 1000),
      }),
      paint: async (quick = many.chosen === 'quick') => {
        check();
        const targets = { sampler, side, cfg, grid_steps: steps, first_seed: seed, weight: form.cell.weight, base };
        await sameface.sending(targets, () => painted(quick));
      },
      choose: async () => {
        sameface.refuse([sameface.numberFault(steps)]);
        await sameface.sending({ grid_steps: steps }, searched);
      },
      update: (runs) => {
        if (form.slug !== sameface.slug) {
          form.slug = sameface.slug;
          form.cell.reset();
        }
        form.runs = runs;
        form.cell.setRuns(runs);
        const { host } = sameface.state;
        const samplers = host.samplers || ['Euler'];
        sampler.setChoices(samplers.map((name) => ({ value: name, text: name })));
        painter.setChoices([
          {
            value: 'webui',
            text: 'This webui',
            help: 'As you will see the character in txt2img.',
            disabled: !host.paints,
          },
          { value: 'worker', text: 'SameFace itself', help: 'With diffusers; the webui stays free of it.' },
        ]);
        if (!host.paints || !form.picked) painter.chosen = host.paints ? 'webui' : 'worker';
        painter.hidden = !host.paints;
        showBases();
        showGone();
      },
    };
    return api;
  };

  function cellOf(form) {
    const { run, step, weight } = form.cell.value;
    if (!run || !step) throw new Error(sameface.t('Choose a run and a step.'));
    return { run, step, weight };
  }

  function goneOf(form) {
    return sameface.baseGone(form.runs.find((run) => run.id === form.cell.value.run));
  }

  function number(value, min, max, step) {
    return sameface.el('input', { class: 'sf-input', type: 'number', min, max, step, value });
  }

  function whole(input, otherwise) {
    const value = Math.round(Number(input.value));
    return input.value === '' || !Number.isFinite(value) ? otherwise : value;
  }
})();
