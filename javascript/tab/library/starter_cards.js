/** Base models for somebody who has none yet, each with its licence, fetched on one click and one yes. */

import * as api from '../base/api.js';
import { el } from '../base/dom.js';
import { bytes } from '../base/format.js';
import { t } from '../base/texts.js';
import { actionButton, askConfirm, keyedList, toneBadge } from '../widgets/widgets.js';

/**
 * @param {() => void} begun is called once a download was started.
 * @returns with `set(starters, busy)`.
 */
export function starterCards(begun) {
  const node = el('ul', { class: 'sf-cards' });

  async function take(/** @type {StarterModel} */ one) {
    const size = bytes(one.bytes);
    const values = { title: one.title, size, host: one.host, licence: one.licence.name, note: one.licence.note };
    const words = 'Download {title} ({size}) from {host}? It is under the licence {licence}. {note}';
    if (!(await askConfirm(t(words, values), 'I agree to the licence: download'))) return;
    await api.post('/library/starter', { name: one.key, agreed: true });
    begun();
  }

  function card(/** @type {StarterModel} */ one) {
    const fetch = actionButton('Download', () => take(one), { label: `${t('Download')}: ${one.title}` });
    const link = { href: one.licence.address, target: '_blank', rel: 'noopener noreferrer', text: one.licence.name };
    const licence = el('p', { class: 'sf-help' }, `${t('Licence')}: `, el('a', link));
    const there = toneBadge('good', t('installed'));
    const head = el(
      'div',
      { class: 'sf-check-head' },
      el('b', { text: one.title }),
      el('span', { text: bytes(one.bytes) }),
    );
    const row = el('div', { class: 'sf-row' }, one.there ? there : fetch);
    const made = el('li', { class: 'sf-card' }, head, el('p', { text: t(one.text) }), licence, row);
    return Object.assign(made, { fetch });
  }

  const set = (/** @type {StarterModel[]} */ starters, /** @type {boolean} */ busy) => {
    /** @param {ReturnType<typeof card>} made */
    const show = (made) => (made.fetch.disabled = busy);
    keyedList(node, starters, (one) => `${one.key}|${one.there}`, card, show);
  };
  return Object.assign(node, { set });
}
