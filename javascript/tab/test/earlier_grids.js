/** The test grids that were painted before, to look at again. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});

  /** The judged grids, each a button that opens it: {node, set(grids, shown)}. */
  sameface.earlierGrids = function (open) {
    const list = sameface.el('div', { class: 'sf-grids' });
    const node = sameface.fold('Earlier tests', list);
    const set = (grids, shown) => {
      const judged = grids.filter(({ grid }) => grid.kind);
      node.hidden = judged.length < 2;
      sameface.keyed(
        list,
        judged,
        ({ run, grid }) => `${sameface.slug}|${run.id}|${grid.id}`, // every character has a run 001
        (one) => entry(one, open),
        (made, one) => {
          made.setAttribute(
            'aria-current',
            String(Boolean(shown && shown.run === one.run.id && shown.id === one.grid.id)),
          );
        },
      );
    };
    return { node, set };
  };

  function entry({ run, grid }, open) {
    const kept = Number.isFinite(grid.retention)
      ? sameface.t('{kept} kept', { kept: sameface.format.percent(grid.retention) })
      : '';
    const said = [
      sameface.cellName(run.id, grid.step, grid.weight),
      kept,
      grid.made ? sameface.format.ago(grid.made) : '',
    ];
    return sameface.el(
      'button',
      { class: 'sf-grid-entry', on: { click: () => open({ run: run.id, id: grid.id }) } },
      sameface.badge(sameface.verdictTone(grid), sameface.t(grid.headline)),
      sameface.el('span', { class: 'sf-quiet', text: said.filter(Boolean).join(' · ') }),
    );
  }
})();
