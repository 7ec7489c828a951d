/** Where a run goes on: this computer, another machine, or a rented GPU with limits that are given anew. */

import * as api from '../base/api.js';
import { app } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { formField, selectBox } from '../widgets/widgets.js';
import { forGoingOn, rentForm } from './rent_form.js';

const RUNPOD = 'runpod'; // stands for a GPU that is rented
const LOCAL = 'local';

/**
 * @param {() => void} changed is called when the user has chosen, or an API key was kept.
 * @returns {{node, load, update, by, check, ready, chosen, others}} `load()` asks for the other machines; `update(run,
 *   steps)`: which run goes on, or null, and how many steps it shall have in all (null = as before); `by()`: as a job
 *   has it; `check()` refuses wrong limits; `ready()`: whether it can go on there; `others()`: whether there is any.
 */
export function placeChoice(changed) {
  const made = { places: [], runpod: null, picked: '', rental: {}, run: null, steps: null, of: '' };
  const select = selectBox([], LOCAL, (on) => {
    made.picked = on;
    show();
    changed();
  });
  let form = null; // made once it may be needed: there are several of these on the page
  const sent = el('p', { class: 'sf-help' });
  const node = el('div', { class: 'sf-stack' }, formField('Where to go on', select), sent);
  const rents = () => Boolean(made.runpod && made.runpod.available);
  const placeOf = () => made.places.find((one) => one.on === made.picked);
  const chosen = () => (made.picked === RUNPOD && rents() ? RUNPOD : placeOf()?.on || LOCAL);

  function show() {
    const on = chosen();
    const others = made.places.map((one) => ({ value: one.on, text: one.title }));
    const pod = { value: RUNPOD, text: t('RunPod (a rented GPU)') };
    select.setChoices([{ value: LOCAL, text: t('This computer') }, ...others, ...(rents() ? [pod] : [])], on);
    node.hidden = !others.length && !rents();
    const asked = made.run && { run: made.run.id, steps: made.steps };
    if (form) form.set({ account: made.runpod, shown: on === RUNPOD, slug: app.slug, asked, rental: made.rental });
    setText(sent, on === RUNPOD ? made.runpod.sent : placeOf()?.sent || '');
    sent.hidden = !sent.textContent;
  }

  return {
    node,
    load: async () => {
      const [places, runpod] = await Promise.all([
        api.get('/places').catch(() => made.places),
        api.get('/runpod').catch(() => null),
      ]);
      Object.assign(made, { places, runpod });
      if (!form && rents()) {
        form = rentForm((rental) => (made.rental = rental), changed, forGoingOn);
        sent.before(form.node);
      }
      show();
    },
    update: (run, steps) => {
      const of = run ? `${app.slug}|${run.id}` : '';
      if (of !== made.of) Object.assign(made, { of, picked: '', rental: {} });
      Object.assign(made, { run, steps });
      show();
    },
    others: () => made.places.length > 0 || rents(),
    chosen,
    check: () => chosen() === RUNPOD && form.check(),
    ready: () => chosen() !== RUNPOD || form.ready(),
    by: () => (chosen() === RUNPOD ? { on: RUNPOD, rental: form.rental() } : { on: chosen() }),
  };
}
