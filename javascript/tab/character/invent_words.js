/** What the first line says while a character is invented, with its buttons. */

import { pageState } from '../base/app.js';
import { goTo } from '../base/choice.js';
import { plural, t } from '../base/texts.js';
import { beginsWhen, controlJob, lastJobAt, resumeJob } from '../jobs/jobs.js';
import { timeLeft } from '../train/train_live.js';

/**
 * @param {Character} character the state's entry.
 * @param {InventionView | null} view the answer of the route; null = not known yet.
 * @param {Job | null} open the job that paints, or null.
 * @param {InventDoing} doing what the buttons do: `anew`: whether another face is being described; `describe()` begins that,
 *   `paint(view, candidates)` paints faces until there are so many, `more()` paints further pictures.
 * @returns {Lead}
 */
export function inventWords(character, view, open, doing) {
  if (open) return jobWords(open, view);
  if (!view) return { tone: 'none', text: 'Loading …' };
  const last = lastJobAt('invent');
  if (last && last.unfinished && fits(last, view)) return endedWords(last, view);
  if (view.stage === 'none') {
    const text = 'No photos are needed: describe a face, or give one picture of it.';
    return { tone: 'none', text, buttons: [photos()] };
  }
  if (view.stage === 'candidates') return chooseWords(view, doing);
  return pickedWords(character, view, doing);
}

/**
 * Whether what a job was for is still to be done.
 * @param {Job} last
 * @param {InventionView} view
 */
function fits(last, view) {
  return (last.kind === 'invent') === (view.stage !== 'picked');
}

const photos = () => ({ label: 'Use my own photos instead', do: () => goTo({ step: 'photos' }) });

/**
 * @param {Job} open
 * @param {InventionView | null} view
 * @returns {Lead}
 */
function jobWords(open, view) {
  const stop = { label: 'Remove from queue', do: () => controlJob(open, 'stop') }; // one that runs is stopped in the head
  if (open.state === 'paused')
    return {
      tone: 'warn',
      text: 'Painting is paused.',
      buttons: [{ label: 'Resume', main: true, do: () => resumeJob(open) }, stop],
    };
  if (open.state === 'waiting')
    return { tone: 'none', text: 'Painting is waiting.', detail: beginsWhen(open), buttons: [stop] };
  const { standing } = open;
  const counted = standing && standing.phase === 'painting';
  if (open.wish) return { tone: 'busy', text: 'Stopping; what was painted is kept' };
  if (!counted) {
    const there = open.kind === 'invent' && view && view.candidates.length;
    const detail = there ? t('You can take one at any time.') : '';
    return { tone: 'busy', text: (standing && standing.text) || 'Starting', detail };
  }
  const text =
    open.kind === 'invent'
      ? t('Painting faces: {done} of {total}', standing)
      : t('{kept} kept of {painted} painted', running(view, standing));
  const pick = open.kind === 'invent' ? t('You can take one at any time.') : t('Up to {total} are painted.', standing);
  return { tone: 'busy', text, detail: [pick, timeLeft(standing)].filter(Boolean).join(' ') };
}

/**
 * Of all rounds, as the pictures below show it.
 * @param {InventionView | null} view
 * @param {JobProgress} standing
 */
function running(view, standing) {
  return view ? { kept: view.kept, painted: view.painted } : { kept: 0, painted: standing.done };
}

/**
 * @param {Job} last
 * @param {InventionView} view
 * @returns {Lead}
 */
function endedWords(last, view) {
  const again = {
    label: last.state === 'failed' ? 'Try again' : 'Continue',
    main: true,
    do: () => controlJob(last, 'resume'),
  };
  const aside = { label: 'Dismiss', do: () => controlJob(last, 'forget') };
  const painted = last.kind === 'invent' ? view.candidates.length : view.painted;
  const left = painted ? plural(painted, '{n} picture is kept.', '{n} pictures are kept.') : '';
  if (last.state === 'failed')
    return { tone: 'bad', text: last.error || 'Painting failed.', detail: left, buttons: [again, aside] };
  const text = last.state === 'stopped' ? 'Painting was stopped.' : 'Painting was interrupted.';
  return { tone: 'warn', text, detail: left, buttons: [again, aside] };
}

/**
 * @param {InventionView} view
 * @param {InventDoing} doing
 * @returns {Lead}
 */
function chooseWords(view, doing) {
  const good = view.candidates.filter((one) => !one.why).length;
  const { most, usual } = pageState().limits.ranges.candidates;
  const n = Math.min(usual ?? 0, most - view.candidates.length);
  const more = {
    label: t('Paint {n} more', { n: Math.max(n, 0) }),
    disabled: n < 1,
    do: () => doing.paint(view, view.candidates.length + n),
  };
  const other = { label: 'Describe another face', do: doing.describe };
  if (doing.anew) return { tone: 'none', text: 'Describe the face again.' };
  if (!good)
    return {
      tone: 'warn',
      text: 'None of these shows one clear face.',
      detail: 'Describe it in other words, or use another base model.',
      buttons: [{ ...more, main: true }, other],
    };
  // of faces that older versions painted, it is not known which are good to begin from
  const known = view.candidates.some((one) => one.doubt !== null)
    ? t('Faces that look ahead, are well lit and have nothing over the eyes make the best starting point.')
    : '';
  const { best_turns: turns, best } = lastJobAt('invent')?.result || {};
  const frontal =
    turns === false && view.candidates.some((one) => one.number === best) // else it is of another round
      ? t('Those tried could not be painted from the side: paint more faces, or expect pictures from the front only.')
      : '';
  return {
    tone: 'none',
    text: 'Which face do you want?',
    detail: [`${view.describe}.`, known, frontal, t('Click a picture to see it large.')].filter(Boolean).join(' '),
    buttons: [more, other],
  };
}

/**
 * @param {Character} character
 * @param {InventionView} view
 * @param {InventDoing} doing
 * @returns {Lead}
 */
function pickedWords(character, view, doing) {
  const enough = character.photos.used >= pageState().limits.photos;
  const go = { label: 'Continue to the photos', main: enough, do: () => goTo({ step: 'photos' }) };
  const more = { label: 'Paint more pictures', main: !enough, do: doing.more };
  if (!view.painted)
    return {
      tone: 'none',
      text: 'The face is chosen. Now more pictures of it are painted, and those that show the same face become its photos.',
      buttons: [more, go],
    };
  const text = t('{kept} kept of {painted} painted', view);
  const there = enough
    ? t('{n} photos are ready for training.', { n: character.photos.used })
    : t('{n} photos so far; training needs at least {least}.', {
        n: character.photos.used,
        least: pageState().limits.photos,
      });
  const mirrored = view.mirrored
    ? plural(
        view.mirrored,
        '{n} further photo is a mirror image of a kept view.',
        '{n} further photos are mirror images of kept views.',
      )
    : '';
  const detail = [mirrored, there].filter(Boolean).join(' ');
  return { tone: enough ? 'good' : 'warn', text, detail, buttons: enough ? [go, more] : [more, go] };
}
