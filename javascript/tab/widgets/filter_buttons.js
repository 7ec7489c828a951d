/** Buttons that choose which of many pictures are shown, each with how many there are. */

import { setText } from '../base/dom.js';
import { t } from '../base/texts.js';
import { actionButton, keyedList } from './widgets.js';

/**
 * Draw the buttons; they are hidden where there is nothing to choose from.
 *
 * @param {HTMLElement} container
 * @param {Record<string, string>} labels by the name of the filter
 * @param {Record<string, number>} counted by the name of the filter; `all` counts everything
 * @param {string} chosen the name of the filter in use
 * @param {(name: string) => void} choose called with a click
 */
export function filterButtons(container, labels, counted, chosen, choose) {
  container.hidden = !counted.all;
  keyedList(
    container,
    Object.keys(labels),
    (name) => name,
    (name) => actionButton(labels[name], () => choose(name), { small: true }),
    (node, name) => {
      node.setAttribute('aria-pressed', String(chosen === name));
      setText(node.firstElementChild, `${t(labels[name])} (${counted[name]})`);
    },
  );
}
