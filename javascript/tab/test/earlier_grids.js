/** The test grids that were painted before, to look at again. */

import { app } from '../base/app.js';
import { el } from '../base/dom.js';
import * as format from '../base/format.js';
import { t } from '../base/texts.js';
import { cellName } from '../jobs/runs.js';
import { foldSection, keyedList, toneBadge } from '../widgets/widgets.js';

/**
 * The judged grids, each a button that opens it: {node, set(grids, shown)}.
 * @param {(which: GridChoice) => void} open
 */
export function earlierGrids(open) {
  const list = el('div', { class: 'sf-grids' });
  const node = foldSection('Earlier tests', list);
  const set = (/** @type {RunGrid[]} */ grids, /** @type {GridChoice | null} */ shown) => {
    const judged = grids.filter(({ grid }) => grid.kind);
    node.hidden = judged.length < 2;
    keyedList(
      list,
      judged,
      ({ run, grid }) => `${app.slug}|${run.id}|${grid.id}`, // every character has a run 001
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
}

/**
 * With which further LoRAs a grid was painted; empty = with none.
 * @param {string[] | undefined} more
 */
export function besideText(more) {
  return more && more.length ? t('with {loras}', { loras: more.join(', ') }) : '';
}

/**
 * @param {RunGrid} given
 * @param {(which: GridChoice) => void} open
 */
function entry({ run, grid }, open) {
  const kept = Number.isFinite(grid.retention) ? t('{kept} kept', { kept: format.percent(grid.retention) }) : '';
  const beside = besideText(grid.more);
  const said = [cellName(run.id, grid.step, grid.weight), beside, kept, grid.made ? format.ago(grid.made) : ''];
  return el(
    'button',
    { class: 'sf-grid-entry', on: { click: () => open({ run: run.id, id: grid.id }) } },
    toneBadge(grid.tone, t(grid.headline)),
    el('span', { class: 'sf-quiet', text: said.filter(Boolean).join(' · ') }),
  );
}
