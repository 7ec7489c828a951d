/** Where a run goes on: this computer, another machine, or a rented GPU with limits that are given anew. */

import { app } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { formField, selectBox } from '../widgets/widgets.js';
import { isRented, loadPlaces } from './other_places.js';
import { rentForm } from './rent_form.js';
import { forGoingOn } from './rent_words.js';

const LOCAL = 'local';

/**
 * @param {() => void} changed is called when the user has chosen, an API key was kept, or RunPod has answered.
 * @returns `load()` asks for the other machines; `update(run, steps)`:
 *   which run goes on, or null, and how many steps it shall have in all (null = as before); `reset()` forgets what was
 *   chosen, as limits that were written are given once; `by()`: as a job has it; `check()` refuses wrong limits;
 *   `ready()`: whether it can go on there.
 */
export function placeChoice(changed) {
  /**
   * @type {{places: Place[], runpod: RunpodAccount | null, picked: string, rental: RentalWish, run: RunRecord | null,
   *   steps: number | null, of: string}}
   */
  const made = { places: [], runpod: null, picked: '', rental: {}, run: null, steps: null, of: '' };
  const select = selectBox([], LOCAL, (on) => {
    made.picked = on;
    show();
    changed();
  });
  /** @type {ReturnType<typeof rentForm> | null} */
  let form = null; // made once it may be needed: there are several of these on the page
  const sent = el('p', { class: 'sf-help' });
  const node = el('div', { class: 'sf-stack' }, formField('Where to continue', select), sent);
  const rents = () => Boolean(made.runpod && made.runpod.available);
  const placeOf = () => made.places.find((one) => one.on === made.picked);
  const chosen = () => (rents() && isRented(made.picked, made.runpod) ? made.picked : placeOf()?.on || LOCAL);

  function show() {
    const on = chosen();
    const others = made.places.map((one) => ({ value: one.on, text: one.title }));
    const pod = { value: made.runpod?.on ?? '', text: t('RunPod (a rented GPU)') };
    select.setChoices([{ value: LOCAL, text: t('This computer') }, ...others, ...(rents() ? [pod] : [])], on);
    node.hidden = !others.length && !rents();
    const asked = made.run ? { run: made.run.id, steps: made.steps } : null;
    const rented = isRented(on, made.runpod);
    if (form) form.set({ account: made.runpod, shown: rented, slug: app.slug, asked, rental: made.rental });
    setText(sent, (rented ? made.runpod?.sent : placeOf()?.sent) || '');
    sent.hidden = !sent.textContent;
  }

  function write(/** @type {RentalWish} */ rental) {
    made.rental = rental;
    changed();
  }

  return {
    node,
    load: async () => {
      Object.assign(made, await loadPlaces(made.places));
      if (!form && rents()) {
        form = rentForm(write, changed, forGoingOn);
        sent.before(form.node);
      }
      show();
    },
    update: (/** @type {RunRecord | null} */ run, /** @type {number | null} */ steps) => {
      const of = run ? `${app.slug}|${run.id}` : '';
      if (of !== made.of) Object.assign(made, { of, picked: '', rental: {} });
      Object.assign(made, { run, steps });
      show();
    },
    reset: () => {
      Object.assign(made, { picked: '', rental: {} });
      show();
      changed();
    },
    check: () => isRented(chosen(), made.runpod) && form?.check(),
    ready: () => !isRented(chosen(), made.runpod) || Boolean(form?.ready()),
    by: () => ({ on: chosen(), ...(isRented(chosen(), made.runpod) ? { rental: form?.rental() } : {}) }),
  };
}
