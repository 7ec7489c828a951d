/** What can be done with runs that are there: train one on, and look at earlier ones. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});

  /** A fold that trains a finished run on: {node, set(situation)}. */
  sameface.moreSteps = function () {
    const steps = sameface.el('input', { class: 'sf-input', type: 'number', min: 1, step: 10, value: 100 });
    const after = sameface.tick('Paint and judge the test grid afterwards', true);
    let run = null;
    let typed = false;
    let ticked = false;
    let shown = '';
    after.input.addEventListener('change', () => (ticked = true));
    steps.addEventListener('input', () => (typed = true));
    const train = async () => {
      const few = !(Number(steps.value) >= 1); // a step between two tens is as good
      sameface.refuse(few ? [{ target: steps, text: 'How many more steps?' }] : []);
      const gone = sameface.baseGone(run);
      if (gone) throw new Error(gone);
      const total = sameface.savedStep(run) + Math.round(Number(steps.value));
      await sameface.startJob('train', { run: run.id, steps: total, then_test: after.input.checked }, 'It goes on.');
      typed = ticked = false;
    };
    const button = sameface.button('Train more steps', train);
    const help = sameface.el('p', { class: 'sf-help' });
    const row = sameface.el('div', { class: 'sf-row' }, sameface.field('More steps', steps), button);
    const node = sameface.fold('Train more steps', row, after, help);
    const set = (now) => {
      const which = now.run ? `${sameface.slug}|${now.run.id}` : '';
      const other = which !== shown;
      shown = which;
      run = now.kind === 'trained' ? now.run : null;
      node.hidden = !run;
      if (!run) return;
      if (other) typed = ticked = false;
      if (!ticked) after.input.checked = sameface.usualTest !== false;
      const gone = sameface.baseGone(run);
      button.disabled = Boolean(gone);
      if (!typed && document.activeElement !== steps)
        steps.value = String(Math.max(10, Math.round(run.total / 40) * 10));
      sameface.setText(
        help,
        gone ||
          sameface.t('Run {run} goes on after step {step}; its steps so far stay.', {
            run: run.id,
            step: sameface.format.number(sameface.savedStep(run)),
          }),
      );
    };
    return { node, set };
  };

  /**
   * The other runs, each in a fold with its numbers and its loss: {node, set(runs, shown)}.
   * @param {function(string, string)} compare lays two runs over each other.
   */
  sameface.earlierRuns = function (compare) {
    const list = sameface.el('div', { class: 'sf-runs' });
    const node = sameface.fold('Earlier trainings', list);
    const set = (runs, shown) => {
      const others = runs.filter((run) => run.id !== shown);
      node.hidden = !others.length;
      sameface.keyed(
        list,
        others,
        (run) => `${sameface.slug}|${run.id}`, // every character has a run 001
        () => runFold(compare),
        (made, run) => made.set(run, shown),
      );
    };
    return { node, set };
  };

  function runFold(compare) {
    const line = sameface.el('span', {});
    const chart = sameface.trainingView();
    const facts = sameface.facts();
    const over = sameface.button('', () => compare(other, run.id), { small: true });
    const fold = sameface.fold('', facts, sameface.el('div', { class: 'sf-row' }, over), chart);
    fold.querySelector('summary').replaceChildren(line);
    const slug = sameface.slug;
    let run = null;
    let other = '';
    let asked = false;
    fold.addEventListener('toggle', async () => {
      if (!fold.open || asked) return;
      asked = true;
      try {
        chart.set({ job: null, details: await sameface.api.get(`/characters/${slug}/runs/${run.id}`) });
      } catch (error) {
        asked = false;
        sameface.toast(error.message, 'bad');
      }
    });
    fold.set = (to, shown) => {
      run = to;
      other = shown;
      over.hidden = !other || !run.steps;
      sameface.setText(over.firstChild, sameface.t('Compare with run {run}', { run: other }));
      sameface.setText(
        line,
        sameface.t('Run {run}: {steps} steps, {ago}', {
          run: to.id,
          steps: sameface.format.number(sameface.savedStep(to)),
          ago: sameface.format.ago(to.created),
        }),
      );
      const judged = to.grids.filter((grid) => grid.kind);
      facts.set([
        { name: 'Base model', text: to.base },
        { name: 'Preset', text: to.preset },
        { name: 'Saved steps', text: to.checkpoints.map((step) => sameface.format.number(step)).join(', ') },
        {
          name: 'Tests',
          text: judged.map((grid) => `${sameface.format.number(grid.step)}: ${grid.headline}`).join('; '),
        },
      ]);
    };
    return fold;
  }
})();
