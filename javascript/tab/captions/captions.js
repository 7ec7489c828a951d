/** Step 2: what the captions say, what is missing in them, and many changed at once. */

import * as api from '../base/api.js';
import { chosenCharacter, failedJob, goTo, openJob } from '../base/choice.js';
import { el, setText } from '../base/dom.js';
import { plural, say, t } from '../base/texts.js';
import {
  captionCard,
  clearSelection,
  onCaptionSaved,
  onSelection,
  saveCaptions,
  selectedOf,
  updateCaptionCard,
} from './caption_cards.js';
import { defaultCaptioner, editCard, fillCaptions, fillCard } from './caption_tools.js';
import { controlJob } from '../jobs/jobs.js';
import { followedView } from '../page/followed_view.js';
import { actionButton, keyedList, leadLine, notice, toast } from '../widgets/widgets.js';

/** @type {ReturnType<typeof makeParts>} what `mount` has made. */
let parts;
/** @type {FollowedView<CaptionsView>} */
const answers = followedView('captions', () => draw());

function makeParts() {
  const seek = el('input', { class: 'sf-input', type: 'search', aria: { label: t('Show captions with') } });
  seek.placeholder = t('Show captions with …');
  const only = el('input', { type: 'checkbox' });
  const label = el('label', { class: 'sf-choice' }, only, el('span', { text: t('Only captions with problems') }));
  return {
    lead: leadLine(),
    check: el('div', { class: 'sf-stack' }),
    list: el('div', { class: 'sf-captions' }),
    count: el('p', { class: 'sf-quiet', role: 'status' }),
    fill: fillCard(),
    edit: editCard(scope, clear, answers.take),
    seek,
    only,
    label,
  };
}

/** @param {HTMLElement} root */
function mount(root) {
  parts = makeParts();
  answers.slug = '';
  onCaptionSaved(answers.take);
  onSelection(draw);
  parts.seek.addEventListener('input', draw);
  parts.only.addEventListener('change', draw);
  const tools = el('aside', {}, parts.check, parts.fill, parts.edit);
  const help = el('p', {
    class: 'sf-quiet',
    text: t('Saved when you leave a caption, or with Ctrl+Enter. Escape discards what you typed.'),
  });
  const filter = el('div', { class: 'sf-row' }, el('div', { class: 'sf-grow' }, parts.seek), parts.label);
  root.append(
    parts.lead,
    el('div', { class: 'sf-side' }, tools, el('div', { class: 'sf-stack' }, filter, parts.count, help, parts.list)),
  );
}

// Data

function update() {
  const character = chosenCharacter();
  if (!character) return;
  const job = openJob('fill');
  const done = job && job.standing && job.standing.done;
  const mark = [character.captions, character.photos.used, character.trigger, done, job && job.id];
  const { slug } = character;
  if (answers.follow(slug, () => api.get(`/characters/${slug}/captions`), mark)) {
    parts.seek.value = '';
    parts.only.checked = false;
  }
  draw();
}

// Drawing

/** @returns {Caption[]} */
function shown() {
  if (!answers.view) return [];
  const words = parts.seek.value.trim().toLowerCase();
  return answers.view.captions.filter((item) => {
    if (parts.only.checked && !(item.used && item.problems.length)) return false;
    return !words || item.text.toLowerCase().includes(words) || item.file.toLowerCase().includes(words);
  });
}

/**
 * Which captions an edit changes: those selected, else those that the filter shows.
 * @returns {EditScope}
 */
function scope() {
  const known = answers.view ? answers.view.captions : [];
  const [selected, some] = [selectedOf(answers.slug, known), shown()];
  const files = (selected.length ? selected : some).map((item) => item.file);
  return { kind: selected.length ? 'selected' : some.length < known.length ? 'shown' : 'all', files };
}

function clear() {
  clearSelection(answers.slug);
  draw();
}

function draw() {
  const character = chosenCharacter();
  if (!parts || !character) return;
  drawLead(character);
  if (!answers.view) return;
  const some = shown();
  keyedList(parts.list, some, (item) => `${answers.slug}/${item.sha256}/${item.file}`, captionCard, updateCaptionCard);
  const all = answers.view.captions.length;
  setText(parts.count, some.length < all ? t('{n} of {all} captions shown', { n: some.length, all }) : '');
  parts.count.hidden = some.length === all;
  parts.edit.set(answers.view);
  drawCheck();
}

/** @param {Character} character */
function drawLead(character) {
  const { captions, photos } = character;
  const text = say(captions.message, captions.text);
  const job = openJob('fill');
  const failed = failedJob('fill');
  const go = { label: 'Continue to training', do: () => goTo({ step: 'train' }) };
  const write = { label: 'Write the missing captions', do: writeMissing };
  const back = { label: 'Go to the photos', main: true, do: () => goTo({ step: 'photos' }) };
  if (!photos.used) {
    parts.lead.set({
      tone: 'none',
      text: text || 'No photos yet',
      detail: 'Captions belong to photos.',
      buttons: [back],
    });
  } else if (job) {
    parts.lead.set({ tone: 'busy', text: writing(job), buttons: [go] });
  } else if (failed) {
    const again = { label: 'Try again', main: true, do: () => controlJob(failed, 'resume') };
    const buttons = [again, captions.written < captions.of && write, go];
    parts.lead.set({
      tone: 'bad',
      text: t('The captions were not written: {error}', failed),
      detail: text,
      buttons,
    });
  } else if (captions.written < captions.of) {
    const detail = 'A caption names what its photo shows besides the person, so that it is not learned with the face.';
    parts.lead.set({ tone: captions.tone, text, detail, buttons: [{ ...write, main: true }, go] });
  } else {
    parts.lead.set({ tone: captions.tone, text, buttons: [{ ...go, main: true }] });
  }
}

/** @param {Job} job */
function writing(job) {
  const progress = job.standing;
  if (job.state === 'waiting') return t('Captions will be written in a moment');
  return progress && progress.total
    ? t('Captions are being written: {done} of {total}', progress)
    : t('Captions are being written');
}

async function writeMissing() {
  await fillCaptions(await defaultCaptioner(), false);
}

/** Does each caption say the trigger word; and what is wrong with the whole set. */
function drawCheck() {
  const { view } = answers;
  const trigger = chosenCharacter()?.trigger ?? '';
  if (!view) return;
  const used = view.captions.filter((item) => item.used && item.text.trim());
  const lack = used.filter((item) => !item.text.toLowerCase().includes(trigger.toLowerCase())).length;
  /** @type {{tone: ShownTone, text: string, fix?: Action}[]} */
  const lines = [];
  if (used.length && !lack)
    lines.push({ tone: 'good', text: t('The trigger word {trigger} is in every caption', { trigger }) });
  if (lack) {
    const said = plural(lack, '{n} caption lacks the trigger word', '{n} captions lack the trigger word');
    lines.push({ tone: 'bad', text: said, fix: addTrigger });
  }
  const { problems, messages = [] } = view;
  problems.forEach((text, place) => lines.push({ tone: 'warn', text: say(messages[place], text) }));
  /** @param {typeof lines[number]} line */
  const make = ({ tone, text, fix }) =>
    notice(tone, el('p', { text: t(text) }), fix ? actionButton('Prepend trigger', fix, { small: true }) : null);
  keyedList(parts.check, lines, (one) => `${one.tone} ${one.text}`, make);
}

async function addTrigger() {
  await saveCaptions();
  const { view } = answers;
  const trigger = chosenCharacter()?.trigger ?? '';
  if (!view) return;
  const lack = view.captions.filter(
    (item) => item.text.trim() && !item.text.toLowerCase().includes(trigger.toLowerCase()),
  );
  if (!lack.length) return;
  const body = { do: 'add', phrase: view.plain || trigger, place: 0, only: lack.map((item) => item.file) };
  answers.take(answers.slug, await api.post(`/characters/${answers.slug}/captions/edit`, body));
}

function opened() {
  answers.forget(); // another program may have changed the files meanwhile
  parts.fill.ask().catch((error) => toast(error.message, 'bad'));
}

function hidden() {
  answers.away();
  saveCaptions();
}

export const panel = { mount, update, shown: opened, hidden };
