/** Licences as lights: what may be done with a model, and why. */

import { pageState } from '../base/app.js';
import { el } from '../base/dom.js';
import { say, t } from '../base/texts.js';
import { notice, toneBadge } from '../widgets/widgets.js';

/**
 * One light as a badge: a word in its tone.
 * @param {LicenceLight} light
 */
export function lightBadge(light) {
  const { tone, word } = pageState().words.lights[light];
  return toneBadge(tone, t(word));
}

/**
 * All lights of an assessment, each with what it follows from.
 * @param {Assessment} assessment
 * @param {Record<LicencePurpose, string>} purposes the texts of the purposes, in their order.
 */
export function lightList(assessment, purposes) {
  const entries = purposesOf(purposes).map(([purpose, text]) => {
    const { light, reasons, messages } = assessment.lights[purpose];
    const why = messages.map((message, place) => el('p', { class: 'sf-help', text: say(message, reasons[place]) }));
    const head = el('div', { class: 'sf-check-head' }, el('span', { text: t(text) }), lightBadge(light));
    return el('li', {}, head, why);
  });
  return el('ul', { class: 'sf-lights' }, entries);
}

/**
 * The warnings of an assessment, each as a notice.
 * @param {Assessment} assessment
 */
export function warnings(assessment) {
  return assessment.warning_messages.map((message, place) => {
    const shown = el('span', { text: say(message, assessment.warnings[place]) });
    return notice(assessment.warning_tones[place], shown);
  });
}

/**
 * Purposes with their texts, in their order.
 * @param {Partial<Record<LicencePurpose, string>>} purposes
 */
export function purposesOf(purposes) {
  return /** @type {[LicencePurpose, string][]} */ (Object.entries(purposes));
}
