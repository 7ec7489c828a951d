/** Who paints pictures with a trained LoRA: the webui, SameFace itself, another machine, or a rented GPU. */

import { app, pageState } from '../base/app.js';
import { el, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { isRented, loadPlaces } from '../elsewhere/other_places.js';
import { rentForm } from '../elsewhere/rent_form.js';
import { forPainting } from '../elsewhere/rent_words.js';
import { radioGroup } from '../widgets/form_parts.js';

/**
 * @param {Array<{value: string, text: string, help: string}>} further painters beside these.
 * @param {Action} changed is called when the user has chosen.
 * @returns `rent`: what may be rented, shown where that is chosen; `load()` asks for the
 *   other machines; `update(run, pictures)`: with whose base model is painted, or null, and how much, as the route for
 *   a rented GPU has it; `check()` refuses wrong limits; `by()`: as a job has it.
 */
export function painterChoice(further, changed) {
  /** @type {{places: Place[], runpod: RunpodAccount | null, picked: string, rental: RentalWish, of: RentRequest | null}} */
  const made = { places: [], runpod: null, picked: '', rental: {}, of: null };
  const node = radioGroup('Painted by', [], '', (to) => {
    made.picked = to;
    showRent();
    changed();
  });
  const elsewhere = (/** @type {string} */ value) => made.places.some((one) => one.on === value);
  const sent = el('p', { class: 'sf-help' });
  const form = rentForm(
    (rental) => (made.rental = rental),
    () => {},
    forPainting,
  );
  const rent = el('div', { class: 'sf-stack' }, form.node, sent);

  function showRent() {
    const { runpod, of, rental } = made;
    const shown = isRented(node.chosen, runpod);
    rent.hidden = !shown;
    setText(sent, (runpod && runpod.sent_to_paint) || '');
    form.set({ account: runpod, shown, slug: app.slug, asked: of, rental });
  }

  return {
    node,
    rent,
    load: async () => {
      Object.assign(made, { ...(await loadPlaces(made.places)), rental: {} });
    },
    chosen: () => node.chosen,
    check: () => isRented(node.chosen, made.runpod) && form.check(),
    by: () => {
      const rented = isRented(node.chosen, made.runpod);
      if (rented) return { painter: 'worker', on: node.chosen, rental: form.rental() };
      return elsewhere(node.chosen) ? { painter: 'worker', on: node.chosen } : { painter: node.chosen, on: 'local' };
    },
    update: (/** @type {RunRecord | null | undefined} */ run, /** @type {RentRequest} */ pictures) => {
      const { host } = pageState();
      const refused = (run && host.refuses[run.family]) || '';
      const paints = host.paints && !refused;
      const rents = made.runpod && made.runpod.available;
      const webui = {
        value: 'webui',
        text: 'This webui',
        help: refused || 'As you will see the character in txt2img.',
        disabled: !paints,
      };
      const pod = {
        value: made.runpod?.on ?? '',
        text: 'A rented GPU at RunPod',
        help: 'It is rented for these pictures, and costs money.',
      };
      node.setChoices([
        ...(host.name === 'alone' ? [] : [webui]),
        { value: 'worker', text: 'SameFace itself', help: 'With diffusers, outside the webui.' },
        ...further,
        ...made.places.map((one) => ({
          value: one.on,
          text: one.title,
          help: t('The LoRA is sent there, but no photos.'),
        })),
        ...(rents ? [pod] : []),
      ]);
      // what was picked counts again where it can
      const known = elsewhere(made.picked) || further.some((one) => one.value === made.picked);
      const here = paints && made.picked !== 'worker' ? 'webui' : 'worker';
      node.chosen = known || (rents && isRented(made.picked, made.runpod)) ? made.picked : here;
      node.hidden = !host.paints && !made.places.length && !further.length && !rents;
      made.of = run ? { run: run.id, ...pictures } : null;
      showRent();
    },
  };
}
