/** The cards of an invented character: faces to choose from, and further pictures. */

import { url } from '../base/api.js';
import { el, fillWith, setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { lastJob } from '../jobs/jobs.js';
import { actionButton, toneBadge } from '../widgets/widgets.js';

/**
 * A card of a candidate, or of one of the further pictures.
 *
 * @param {InventedPicture} one
 * @param {boolean} further it is no candidate
 * @param {(one: InventedPicture) => void} open called with a click: show it in full size
 */
export function inventCard(one, further, open) {
  const image = el('img', {
    alt: '',
    loading: 'lazy',
    src: url(`${one.url}${one.url.includes('?') ? '&' : '?'}small=1`),
  });
  const label = t(further ? 'Show picture {number} large' : 'Face {number}', one);
  const thumb = el('button', { class: 'sf-thumb', aria: { label } }, image);
  const word = el('span', {});
  const why = el('p', { class: 'sf-quiet' });
  const row = el('div', { class: 'sf-row' });
  const parts = { word, why, row, one };
  /** @type {InventCard} */
  const node = Object.assign(el('div', { class: 'sf-photo' }, thumb, word, why, row), { parts });
  thumb.addEventListener('click', () => open(node.parts.one));
  if (!further)
    row.append(
      actionButton('Take this face', () => open(node.parts.one), {
        small: true,
        label: t('Take face {number}', one),
      }),
    );
  else row.hidden = true;
  return node;
}

/**
 * @param {HTMLElement} node
 * @param {ShownTone} tone
 * @param {string} text
 */
function badge(node, tone, text) {
  if (node.dataset.mark !== `${tone} ${text}`) fillWith(node, toneBadge(tone, text));
  node.dataset.mark = `${tone} ${text}`;
}

/**
 * Bring the card of a candidate up to date; `open`: the job that paints, if one does.
 * @param {InventCard} node
 * @param {InventedPicture} one
 * @param {Job | null} open
 */
export function updateFaceCard(node, one, open) {
  node.parts.one = one;
  const best = !open && isBest(one);
  node.classList.toggle('sf-out', Boolean(one.why));
  if (one.why) badge(node.parts.word, 'warn', t('Face {number}: cannot be used', one));
  else if (best && turns()) badge(node.parts.word, 'good', t('Face {number}: the best starting point', one));
  else if (one.doubt === '') badge(node.parts.word, 'good', t('Face {number}: a good starting point', one));
  else if (!node.parts.word.firstChild) node.parts.word.append(el('strong', { text: t('Face {number}', one) }));
  const said = one.why
    ? t(one.said)
    : [one.doubt ? t(one.doubt) : '', best ? t(turns() ? 'can be painted from the side' : 'least like the others') : '']
        .filter(Boolean)
        .join(', ');
  setText(node.parts.why, said);
  node.parts.why.hidden = !said;
  node.parts.row.hidden = Boolean(one.why);
}

/**
 * Whether a candidate is the least like the others: of those that are good to begin from, if it is known which are.
 * @param {InventedPicture} one
 */
function isBest(one) {
  const last = lastJob('invent');
  const { alike = {}, best = null } = (last && last.result) || {};
  if (best !== null) return best === one.number;
  return Object.keys(alike).length > 2 && alike[one.number] === Math.min(...Object.values(alike));
}

/** Whether it is known of the best candidate that views from the side show the same face. */
const turns = () => lastJob('invent')?.result?.best_turns === true;

/**
 * Bring the card of a further picture up to date.
 * @param {InventCard} node
 * @param {InventedPicture} one
 */
export function updatePictureCard(node, one) {
  node.parts.one = one;
  node.classList.toggle('sf-out', !one.kept);
  badge(node.parts.word, one.kept ? 'good' : 'none', t(one.kept ? 'kept' : 'left out'));
  const said = about(one);
  setText(node.parts.why, said);
  node.parts.why.hidden = !said;
}

/**
 * What is to be said of a further picture beside whether it was kept; empty = nothing.
 * @param {InventedPicture} one
 */
export function about(one) {
  const why = one.kept || !one.why ? '' : t(one.said);
  return [one.mirrored ? t('mirror image') : '', why].filter(Boolean).join(': ');
}
