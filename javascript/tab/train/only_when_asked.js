/** The choice of a LoRA that shows the person only where the prompt has the trigger word: settings under one name. */

import { pageState } from '../base/app.js';
import { openJob } from '../base/choice.js';
import { el, setText } from '../base/dom.js';
import { number } from '../base/format.js';
import { t } from '../base/texts.js';
import { defaultCaptioner, fillCaptions } from '../captions/caption_tools.js';
import { checkbox } from '../widgets/form_parts.js';
import { actionButton, notice } from '../widgets/widgets.js';
import { arePlain, differing, isChosen, learnsTrigger, withPhrases } from './asked_settings.js';

const PLAIN =
  'Most captions only say who it is. Preserve phrases too, or have captions written first: otherwise everything in the ' +
  'photos is learned as part of the trigger word, and prompts are no longer followed.';
const NAMED =
  'Most captions say more than who it is. Preservation of phrases is not needed then, and may cost likeness.';
const UNTRAINED =
  'With these settings the text encoders are not trained, so the trigger word keeps the meaning that it has for the ' +
  'base model. The small base model then still painted the person without it; larger ones have not been measured. To ' +
  'give the word a meaning of its own, set “Vectors of the trigger” to 2.';

/**
 * @param {(changes: Settings) => void} changed is called with the settings that are to differ from the preset's.
 * @returns with `set({settings, changes, ways, photos, captioned})`: the preset's settings, those that differ, those
 *   that this choice stands for, how many photos are trained on, and how many of these have a caption that says more
 *   than who it is (undefined = not known yet).
 */
export function onlyWhenAsked(changed) {
  /** @type {AskedPhotos} */
  let shown = { settings: {}, changes: {}, ways: { captioned: {}, plain: {} } };
  const box = checkbox(
    'The person only when asked',
    false,
    (yes) => changed(differing(shown, yes, arePlain(shown))),
    t(
      'Without the trigger word the LoRA paints other people. Training takes about {n} times as long ({plain} times ' +
        'where the captions only say who it is), and prompts are followed a little less exactly.',
      { n: number(pageState().limits.asked_times, 1), plain: number(pageState().limits.asked_times_plain, 1) },
    ),
  );
  const write = actionButton('Write captions', async () => fillCaptions(await defaultCaptioner(), false));
  const preserve = actionButton('Preserve phrases', async () => changed(withPhrases(shown, true)));
  const leave = actionButton('Do not preserve phrases', async () => changed(withPhrases(shown, false)));
  const ways = el('div', { class: 'sf-row' }, preserve, write);
  const plain = el('div', { class: 'sf-stack' }, notice('warn', t(PLAIN)), ways);
  const untrained = notice('warn', t(UNTRAINED));
  const named = el('div', { class: 'sf-stack' }, notice('warn', t(NAMED)), el('div', { class: 'sf-row' }, leave));
  const node = el('div', { class: 'sf-stack' }, box, untrained, named, plain);
  const set = (/** @type {AskedPhotos} */ now) => {
    shown = now;
    box.input.checked = isChosen(now);
    const writing = Boolean(openJob('fill'));
    write.disabled = writing;
    setText(write.firstChild, t(writing ? 'Writing captions …' : 'Write captions'));
    untrained.hidden = !box.input.checked || learnsTrigger(now);
    const phrases = Boolean(now.changes.phrase_weight ?? now.settings.phrase_weight);
    const known = box.input.checked && now.photos && now.captioned !== undefined;
    plain.hidden = !known || !arePlain(now) || phrases;
    named.hidden = !known || arePlain(now) || !phrases;
  };
  return Object.assign(node, { set });
}
