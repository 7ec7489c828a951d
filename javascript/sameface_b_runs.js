/** The runs of the chosen character, kept for the panels that show them, and what can be said about a run. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});
  const store = { slug: '', mark: '', runs: null, error: '' };

  /** What must have changed before runs are asked for again. */
  function markOf(character) {
    const jobs = sameface.state.queue.jobs.filter((job) => job.slug === character.slug && job.kind !== 'audit');
    const told = jobs.map((job) => [job.id, job.state, job.run]);
    return JSON.stringify([character.slug, character.train.run, character.test.run, character.test.grid, told]);
  }

  /** The runs of the chosen character, the newest first; null until they are known. Asks anew after a change. */
  sameface.runs = function () {
    const character = sameface.character();
    if (!character) return null;
    if (store.slug !== character.slug) Object.assign(store, { slug: character.slug, runs: null, error: '' });
    const mark = markOf(character);
    if (store.mark !== mark) {
      store.mark = mark;
      load(character.slug);
    }
    return store.runs;
  };

  /** Why the runs are not known; empty where they are, or are on their way. */
  sameface.runsError = () => store.error;

  /** Ask for the runs anew, whatever has changed. */
  sameface.reloadRuns = function () {
    store.mark = '';
    return sameface.runs();
  };

  async function load(slug) {
    const mark = store.mark;
    try {
      const runs = await sameface.api.get(`/characters/${slug}/runs`);
      if (slug !== store.slug || mark !== store.mark) return;
      Object.assign(store, { runs, error: '' });
    } catch (error) {
      if (slug !== store.slug || mark !== store.mark) return;
      store.error = error.message;
      setTimeout(() => store.mark === mark && sameface.reloadRuns(), 5000);
    }
    sameface.draw();
  }

  /** What a verdict sounds like: good, warn, bad, or none where nothing could be judged. */
  sameface.verdictTone = function (verdict) {
    if (!verdict.judged) return 'none';
    if (verdict.kind === 'consistent') return 'good';
    return ['slightly undertrained', 'overtrained'].includes(verdict.kind) ? 'warn' : 'bad';
  };

  /** "Run 003, step 2,000, weight 0.8". */
  sameface.cellName = function (run, step, weight) {
    const words = weight === undefined ? 'Run {run}, step {step}' : 'Run {run}, step {step}, weight {weight}';
    return sameface.t(words, { run, step: sameface.format.number(step), weight: sameface.format.number(weight, 2) });
  };

  /** Every judged grid of some runs: [{run, grid}], the newest first. */
  sameface.gridsOf = function (runs) {
    const all = (runs || []).flatMap((run) => run.grids.map((grid) => ({ run, grid })));
    return all.sort((a, b) => (b.grid.made || 0) - (a.grid.made || 0));
  };

  /**
   * The step and weight that the tests speak for: of the runs that hold, the newest, and in it the most alike one;
   * else the most alike of all; null where nothing is judged.
   */
  sameface.bestGrid = function (runs) {
    const judged = sameface.gridsOf(runs).filter(({ grid }) => grid.judged && grid.retention !== null);
    const holds = judged.filter(({ grid }) => grid.kind === 'consistent');
    const newest = holds.length
      ? holds.map(({ run }) => run).sort((a, b) => runs.indexOf(a) - runs.indexOf(b))[0]
      : null;
    const among = newest ? holds.filter(({ run }) => run === newest) : judged;
    return among.sort((a, b) => b.grid.retention - a.grid.retention)[0] || null;
  };

  /**
   * The choice of run, step and weight, as three fields in a row.
   * @param {function} changed is called when the user has chosen.
   * @returns {{node: Element, value: {run, step, weight}, setRuns: function(Array), choose: function(Object)}}
   */
  sameface.cellChoice = function (changed) {
    let runs = [];
    const value = { run: '', step: 0, weight: 1 };
    const run = sameface.select([], '', (to) => pick({ run: to }));
    const step = sameface.select([], '', (to) => pick({ step: Number(to) }));
    const weight = sameface.el('input', { class: 'sf-input', type: 'number', min: 0, max: 2, step: 0.05, value: 1 });
    weight.addEventListener(
      'input',
      () => weight.value !== '' && weight.validity.valid && pick({ weight: Number(weight.value) }),
    );

    function pick(to) {
      set(to);
      changed();
    }

    function set(to) {
      Object.assign(value, to);
      const known = runs.find((one) => one.id === value.run) || runs[0];
      if (!known) return;
      value.run = known.id;
      const steps = [...known.checkpoints].sort((a, b) => b - a);
      if (!steps.includes(value.step)) value.step = steps[0] || 0;
      run.setChoices(
        runs.map((one) => ({ value: one.id, text: runText(one) })),
        value.run,
      );
      step.setChoices(
        steps.map((one) => ({ value: one, text: stepText(known, one) })),
        value.step,
      );
      if (document.activeElement !== weight) weight.value = String(value.weight);
    }

    return {
      node: sameface.el(
        'div',
        { class: 'sf-three' },
        sameface.field('Run', run),
        sameface.field('Step', step),
        sameface.field('Weight', weight),
      ),
      value,
      setRuns: (all) => {
        runs = all.filter((one) => one.checkpoints.length);
        set({});
      },
      choose: set,
    };
  };

  function runText(run) {
    return sameface.t('{id}: {steps} steps, {base}', {
      id: run.id,
      steps: sameface.format.number(run.trained),
      base: run.base,
    });
  }

  /** A checkpoint's step, with what is known of it. */
  function stepText(run, step) {
    const judged = run.grids.filter((grid) => grid.step === step && grid.judged && grid.retention !== null);
    const best = judged.sort((a, b) => b.retention - a.retention)[0];
    const words = best ? 'step {step} ({kept} kept at weight {weight})' : 'step {step}';
    const values = {
      step: sameface.format.number(step),
      kept: best && sameface.format.percent(best.retention),
      weight: best && best.weight,
    };
    return sameface.t(words, values);
  }
})();
