/** A training that has ended early goes on somewhere else, or on a rented GPU with other limits. */

import { pageState } from '../base/app.js';
import { el } from '../base/dom.js';
import { placeChoice } from '../elsewhere/place_choice.js';
import { startJob } from '../jobs/jobs.js';
import { baseGone, thenTest } from '../jobs/runs.js';
import { actionButton, foldSection } from '../widgets/widgets.js';

/** A fold that is there where a run can go on: {node, set(situation)}. */
export function goOnElsewhere() {
  /** @type {RunRecord | null} */
  let run = null;
  const where = placeChoice(() => show());
  const begin = async () => {
    where.check();
    await startJob('train', { run: run?.id, then_test: await thenTest(), ...where.by() }, 'The training continues.');
    where.reset();
  };
  const button = actionButton('Continue there', begin);
  const node = foldSection(
    'Continue elsewhere, or with other limits',
    where.node,
    el('div', { class: 'sf-row' }, button),
  );
  const show = () => (button.disabled = !where.ready());
  node.addEventListener('toggle', () => node.open && where.load().then(show));
  const set = (/** @type {TrainSituation} */ now) => {
    const ended = now.job ? now.job.unfinished : now.kind === 'stopped';
    const can = ended && now.run && now.run.resumable && !baseGone(now.run);
    run = can && now.run && !now.run.lent && !pageState().host.remote ? now.run : null; // else its job brings home what was made
    node.hidden = !run;
    where.update(run, null);
    show();
  };
  return { node, set };
}
