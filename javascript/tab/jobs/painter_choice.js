/** Who paints pictures with a trained LoRA: the webui, SameFace itself, or another machine. */

import * as api from '../base/api.js';
import { app } from '../base/app.js';
import { t } from '../base/texts.js';
import { radioGroup } from '../widgets/form_parts.js';

/**
 * @param {Array<{value: string, text: string, help: string}>} further painters beside these.
 * @param {Run} changed is called when the user has chosen.
 * @returns {{node: any, load: Run, update: (run: any) => void, chosen: () => string,
 *   by: () => {painter: string, on: string}}} `load()` asks for the other machines; `update(run)`: with whose base model is
 *   painted, or null; `by()`: as a job has it.
 */
export function painterChoice(further, changed) {
  let places = [];
  let picked = '';
  const node = radioGroup('Painted by', [], '', (to) => {
    picked = to;
    changed();
  });
  const elsewhere = (value) => places.some((one) => one.on === value);

  return {
    node,
    load: async () => {
      places = await api.get('/places').catch(() => places);
    },
    chosen: () => node.chosen,
    by: () => (elsewhere(node.chosen) ? { painter: 'worker', on: node.chosen } : { painter: node.chosen, on: 'local' }),
    update: (run) => {
      const { host } = app.state;
      const refused = (run && (host.refuses || {})[run.family]) || '';
      const paints = host.paints && !refused;
      const webui = {
        value: 'webui',
        text: 'This webui',
        help: refused || 'As you will see the character in txt2img.',
        disabled: !paints,
      };
      node.setChoices([
        ...(host.name === 'alone' ? [] : [webui]),
        { value: 'worker', text: 'SameFace itself', help: 'With diffusers, outside the webui.' },
        ...further,
        ...places.map((one) => ({ value: one.on, text: one.title, help: t('The LoRA goes there, and no photo.') })),
      ]);
      // what was picked counts again where it can
      const known = elsewhere(picked) || further.some((one) => one.value === picked);
      const here = paints && picked !== 'worker' ? 'webui' : 'worker';
      node.chosen = known ? picked : here;
      node.hidden = !host.paints && !places.length && !further.length;
    },
  };
}
