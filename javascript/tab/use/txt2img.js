/** The webui's own page: a LoRA's card in its lists, and a prompt in its txt2img. */

import { el } from '../base/dom.js';
import { readStored, writeStored } from '../base/stored.js';
import { t } from '../base/texts.js';
import { actionButton, openDialog } from '../widgets/widgets.js';

// the hosts' own refresh buttons; the last is that of the UX extension, whose list of LoRAs is one of its own
const UX_CARDS = 'lora_refresh';
const CARDS = ['txt2img_lora_extra_refresh_internal', 'img2img_lora_extra_refresh_internal', UX_CARDS];
const UX_OPENS = 'lora_nav'; // opens that list

const BOXES = ['txt2img_prompt', 'txt2img_neg_prompt'];
const SENT = 'sent-prompts'; // what was put there last
const SENDS = 3; // clicks on the host's button until the prompt is there
const ARRIVES = 5000; // milliseconds for each

/** What is to become of a prompt that the user has written: 'replace', 'add', or '' = leave it all. */
export async function wantedInTxt2img() {
  const there = BOXES.map((id) => (hosts(`#${id} textarea`, HTMLTextAreaElement) || { value: '' }).value.trim());
  /** @type {string[]} */
  const ours = readStored(SENT, []);
  if (there.every((text, place) => !text || plain(text) === plain(ours[place] || ''))) return 'replace';
  return new Promise((resolve) => {
    let answer = '';
    const choose = (/** @type {'replace' | 'add'} */ how, /** @type {string} */ label, /** @type {boolean} */ main) =>
      actionButton(label, () => ((answer = how), shown.close()), { main });
    const body = el(
      'div',
      { class: 'sf-dialog-body' },
      el('p', { text: t('txt2img already has a prompt:') }),
      there.filter(Boolean).map((text) => el('p', { class: 'sf-quiet', text: short(text) })),
      el(
        'div',
        { class: 'sf-row sf-end' },
        actionButton('Cancel', () => shown.close()),
        choose('replace', 'Replace it', false),
        choose('add', 'Keep it and add the LoRA', true),
      ),
    );
    const shown = openDialog('Put into txt2img', body, { closed: () => resolve(answer) });
  });
}

/**
 * Note what was put there, so that it may be replaced without a question.
 * @param {UsedLora} used
 */
export function rememberSent(used) {
  writeStored(SENT, [used.prompt, negativeOf(used.infotext)]);
}

/** @param {string} text */
function plain(text) {
  return text.replace(/\s+/g, ' ').trim();
}

/** @param {string} text */
function short(text) {
  return text.length > 200 ? `${text.slice(0, 200)} …` : text;
}

/** @param {string} infotext */
function negativeOf(infotext) {
  const line = infotext.split('\n').find((one) => one.startsWith('Negative prompt: '));
  return line ? line.slice('Negative prompt: '.length) : '';
}

/**
 * The LoRA's part of our prompt; empty where it has none.
 * @param {UsedLora} used
 */
function tagOf(used) {
  const [tag] = used.prompt.match(/<lora:[^<>]*>$/) || [''];
  return tag;
}

/**
 * Trigger and LoRA behind the user's own prompt; the same LoRA at another weight is taken out.
 * @param {UsedLora} used
 */
export function addToPrompt(used) {
  const box = hosts(`#${BOXES[0]} textarea`, HTMLTextAreaElement);
  const tag = tagOf(used);
  if (!box || !tag) return false;
  const same = tag.slice(0, tag.lastIndexOf(':') + 1);
  const own = box.value.replace(/ ?<lora:[^<>]*>/g, (found) => (found.trim().startsWith(same) ? '' : found)).trimEnd();
  const trigger = used.trigger && !own.includes(used.trigger) ? used.trigger : '';
  fillIn(box, [[own, trigger].filter(Boolean).join(', '), tag].join(' ').trim());
  if (typeof window.switch_to_txt2img === 'function') window.switch_to_txt2img();
  return true;
}

/**
 * An element of the host's page; null where this host has none.
 * @template {HTMLElement} T
 * @param {string} selector
 * @param {new () => T} kind of the element.
 * @returns {T | null}
 */
function hosts(selector, kind) {
  const there = document.querySelector(selector);
  const found = there || typeof window.gradioApp !== 'function' ? there : window.gradioApp().querySelector(selector);
  return found instanceof kind ? found : null;
}

/** Let the host draw the card of a new LoRA: it keeps its list of cards until one of these buttons is pressed. */
export function refreshCards() {
  CARDS.forEach(press);
  // before it is first opened, the UX extension's button does nothing, and the list shows what was there at its start
  const opens = hosts(`#${UX_OPENS}`, HTMLElement);
  if (opens) opens.addEventListener('click', pressUx, { once: true });
}

function pressUx() {
  press(UX_CARDS);
}

/** @param {string} id */
function press(id) {
  const button = hosts(`#${id}`, HTMLElement);
  if (button) button.click();
}

/**
 * @param {HTMLTextAreaElement} box
 * @param {string} text
 */
function fillIn(box, text) {
  box.value = text;
  if (typeof window.updateInput === 'function') window.updateInput(box);
  else box.dispatchEvent(new Event('input', { bubbles: true }));
}

/**
 * Give the text to the host's own "send to txt2img".
 *
 * The host's page can lose a click: seen once in a Forge Neo on a busy machine, whose prompt then stayed empty.
 *
 * @returns {Promise<boolean | null>} true once the prompt is there; false where the host has no such button; null where
 *   the prompt did not arrive.
 * @param {UsedLora} used
 */
export async function sendPrompt(used) {
  const box = hosts('#sameface_infotext textarea', HTMLTextAreaElement);
  const found = hosts('#sameface_send', HTMLElement);
  const button = found && found.tagName !== 'BUTTON' ? found.querySelector('button') || found : found;
  if (!box || !button || !used.infotext) return false;
  const prompt = hosts(`#${BOXES[0]} textarea`, HTMLTextAreaElement);
  const before = prompt ? prompt.value : '';
  fillIn(box, used.infotext);
  for (let tries = 0; tries < SENDS; tries += 1) {
    await pause(150); // gradio takes the value over after the event
    button.click();
    if (!prompt || plain(before) === plain(used.prompt)) return true; // an arrival cannot be seen
    for (let waited = 0; waited < ARRIVES && prompt.value === before; waited += 100) await pause(100);
    if (prompt.value !== before) return prompt.value.includes(tagOf(used)) || null; // or the user has typed meanwhile
  }
  return null;
}

/** @param {number} milliseconds */
function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
