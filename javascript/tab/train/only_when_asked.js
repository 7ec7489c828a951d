/** The choice of a LoRA that shows the person only where the prompt has the trigger word: settings under one name. */

import { pageState } from '../base/app.js';
import { openJob } from '../base/choice.js';
import { el, setText } from '../base/dom.js';
import { number } from '../base/format.js';
import { t } from '../base/texts.js';
import { defaultCaptioner, fillCaptions } from '../captions/caption_tools.js';
import { checkbox } from '../widgets/form_parts.js';
import { actionButton, notice } from '../widgets/widgets.js';
import { arePlain, differing, isChosen, learnsTrigger } from './asked_settings.js';

const PLAIN =
  'Most captions only say who it is. Have captions written first: otherwise everything in the photos is learned as part ' +
  'of the trigger word, and prompts are no longer followed.';
const UNTRAINED =
  'With these settings the text encoders are not trained, so the trigger word keeps the meaning that it has for the ' +
  'base model. The small base model then still painted the person without it; larger ones have not been measured. To ' +
  'give the word a meaning of its own, set “Vectors of the trigger” to 2.';

/**
 * @param {(changes: Settings) => void} changed is called with the settings that are to differ from the preset's.
 * @returns with `set({settings, changes, wanted, photos, captioned})`: the preset's settings, those that differ, those
 *   that this choice stands for, how many photos are trained on, and how many of these have a caption that says more
 *   than who it is (undefined = not known yet).
 */
export function onlyWhenAsked(changed) {
  /** @type {AskedPhotos} */
  let shown = { settings: {}, changes: {}, wanted: {} };
  const box = checkbox(
    'The person only when asked',
    false,
    (yes) => changed(differing(shown, yes)),
    t(
      'Without the trigger word the LoRA paints other people: with the small base model in three of four pictures. ' +
        'Training takes about {n} times as long, and the base model paints some pictures for it. Prompts are followed ' +
        'less exactly, above all turns of the head, and some likeness may be lost; at a weight of 0.85 prompts are ' +
        'followed better, and more of the likeness is lost.',
      { n: number(pageState().limits.asked_times, 1) },
    ),
  );
  const write = actionButton('Write captions', async () => fillCaptions(await defaultCaptioner(), false));
  const plain = el('div', { class: 'sf-stack' }, notice('warn', t(PLAIN)), el('div', { class: 'sf-row' }, write));
  const untrained = notice('warn', t(UNTRAINED));
  const node = el('div', { class: 'sf-stack' }, box, untrained, plain);
  const set = (/** @type {AskedPhotos} */ now) => {
    shown = now;
    box.input.checked = isChosen(now);
    const writing = Boolean(openJob('fill'));
    write.disabled = writing;
    setText(write.firstChild, t(writing ? 'Writing captions …' : 'Write captions'));
    untrained.hidden = !box.input.checked || learnsTrigger(now);
    plain.hidden = !box.input.checked || !arePlain(now);
  };
  return Object.assign(node, { set });
}
