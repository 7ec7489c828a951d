/** What may be done with a base model, below where it is chosen; nothing is shown of one that was never looked up. */

import * as api from '../base/api.js';
import { goTo } from '../base/choice.js';
import { el, fillWith } from '../base/dom.js';
import { t } from '../base/texts.js';
import { actionButton } from '../widgets/widgets.js';
import { lightBadge, purposesOf, warnings } from './licence_lights.js';

/** @returns an element with `show(path)`: the base model that is chosen now; `again()`: look anew. */
export function baseLicence() {
  const node = el('div', { class: 'sf-stack', hidden: true });
  let asked = '';

  async function show(/** @type {string} */ path) {
    if (path === asked) return;
    asked = path;
    node.hidden = true;
    if (!path) return;
    const found = await api.post('/library/together', { files: [path] }).catch(() => null);
    if (!found || path !== asked) return;
    const purposes = purposesOf(found.of_a_training);
    const lights = purposes.map(([purpose, text]) =>
      el('span', {}, `${t(text)}: `, lightBadge(found.lights[purpose].light)),
    );
    const more = actionButton('Library', () => goTo({ step: 'library' }), { small: true, quiet: true });
    fillWith(node, warnings(found), el('div', { class: 'sf-row sf-help' }, lights, more));
    node.hidden = purposes.every(([purpose]) => found.lights[purpose].light === 'unknown');
  }

  return Object.assign(node, { show, again: () => (asked = '') });
}
