/** The choice of a LoRA that shows the person only where the prompt has the trigger word: settings under one name. */

import { openJob } from '../base/choice.js';
import { el, setText } from '../base/dom.js';
import { number } from '../base/format.js';
import { t } from '../base/texts.js';
import { defaultCaptioner, fillCaptions } from '../captions/caption_tools.js';
import { checkbox } from '../widgets/form_parts.js';
import { actionButton, notice } from '../widgets/widgets.js';
import { differing, isChosen } from './asked_settings.js';

const COST =
  'Without the trigger word the LoRA paints other people. Training takes about {n} times as long, and prompts are ' +
  'followed less exactly.';
const PLAIN =
  'Most captions only say who it is. Have captions written first: otherwise everything in the photos is learned as ' +
  'part of the trigger word, and prompts are no longer followed.';

/**
 * @param {(changes: Settings) => void} changed is called with the settings that are to differ from the preset's.
 * @returns with `set({settings, changes, wanted, times, photos, captioned})`: the preset's settings, those that
 *   differ, those that this choice stands for, how many times as long a training takes with these, how many photos are
 *   trained on, and how many of these have a caption that says more than who it is (undefined = not known yet).
 */
export function onlyWhenAsked(changed) {
  /** @type {AskedPhotos} */
  let shown = { settings: {}, changes: {}, wanted: {}, times: 1 };
  const box = checkbox('The person only when asked', false, (yes) => changed(differing(shown, yes)));
  const cost = el('span', { class: 'sf-help' });
  box.lastChild?.appendChild(cost);
  const write = actionButton('Write captions', async () => fillCaptions(await defaultCaptioner(), false));
  const plain = el('div', { class: 'sf-stack' }, notice('warn', t(PLAIN)), write);
  const node = el('div', { class: 'sf-stack' }, box, plain);
  const set = (/** @type {AskedPhotos} */ now) => {
    shown = now;
    box.input.checked = isChosen(now);
    setText(cost, t(COST, { n: number(now.times, 1) }));
    const writing = Boolean(openJob('fill'));
    write.disabled = writing;
    setText(write.firstChild, t(writing ? 'Writing captions …' : 'Write captions'));
    plain.hidden = !box.input.checked || !now.photos || 2 * (now.captioned ?? now.photos) > now.photos;
  };
  return Object.assign(node, { set });
}
