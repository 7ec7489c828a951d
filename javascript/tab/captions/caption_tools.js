/** Many captions at once: written by a captioner, a phrase added, removed, replaced or moved, the last change undone. */
(function () {
  'use strict';

  const sameface = window.sameface;
  const { el, t } = sameface;
  const DOINGS = { add: 'Add a phrase', remove: 'Remove a phrase', replace: 'Replace a phrase', move: 'Move a phrase' };
  const PLACES = { 1: 'right after the trigger word', '-1': 'at the end', 0: 'at the very beginning' };
  const FREQUENT = 24; // phrases that are offered

  /** The best captioner that is ready: the last one, for they are told from the plainest on. */
  sameface.bestCaptioner = async function () {
    const all = await sameface.api.get('/captioners');
    const ready = all.filter((one) => one.ready);
    return ready.length ? ready[ready.length - 1].name : '';
  };

  /** Have captions written. */
  sameface.fillCaptions = async function (captioner, rewrite, only) {
    await sameface.saveCaptions();
    await sameface.api.post(`/characters/${sameface.slug}/captions/fill`, { captioner, rewrite, only: only || [] });
    await sameface.refresh();
  };

  /** The card that fills captions. */
  sameface.fillCard = function () {
    const lacking = el('ul', { class: 'sf-lines' });
    const ways = sameface.fold('How to make the others ready', lacking);
    const choice = sameface.select([], '', () => tell());
    let all = [];
    const tell = () => {
      const one = all.find((other) => other.name === choice.value);
      sameface.fault(choice, one && !one.ready ? `${t('Not ready yet.')} ${t(one.why)}` : '');
      run.disabled = !one || !one.ready;
    };
    const rewrite = el('input', { type: 'checkbox' });
    const run = sameface.button('Write captions', async () => {
      const text = 'Also the captions that were written by hand are written anew. This can be undone.';
      if (rewrite.checked && !(await sameface.confirm(text, 'Write all anew'))) return;
      await sameface.fillCaptions(choice.value, rewrite.checked);
    });
    const box = el('label', { class: 'sf-choice' }, rewrite, el('span', { text: t('Also those that somebody has written') }));
    const card = el(
      'div',
      { class: 'sf-card' },
      el('h3', { text: t('Have captions written') }),
      sameface.field('Who looks at the photos', choice),
      box,
      el('div', { class: 'sf-row' }, run),
      ways,
    );
    card.ask = async () => {
      all = await sameface.api.get('/captioners');
      const best = all.filter((one) => one.ready).pop();
      const chosen = choice.value || (best ? best.name : '');
      choice.setChoices(all.map((one) => ({ value: one.name, text: t(one.text) + (one.ready ? '' : ` (${t('not ready')})`) })), chosen);
      const others = all.filter((one) => !one.ready);
      ways.hidden = !others.length;
      sameface.fill(lacking, others.map((one) => el('li', { text: `${t(one.text)}: ${t(one.why)}` })));
      tell();
    };
    return card;
  };

  /**
   * The card that edits many.
   * @param {function(): string[]} shownFiles the files that the filter shows; empty = all are shown.
   * @param {function(string, object)} took takes a character's slug and the view that comes back.
   */
  sameface.editCard = function (shownFiles, took) {
    const phrase = text('Phrase');
    const by = text('By');
    const doing = sameface.select(options(DOINGS), 'add', () => turn());
    const place = sameface.select(['1', '-1', '0'].map((value) => ({ value, text: t(PLACES[value]) })), '1');
    const fields = { by: sameface.field('By', by), place: sameface.field('Where', place) };
    const scope = el('p', { class: 'sf-quiet', role: 'status' });
    const offers = el('div', { class: 'sf-phrases', role: 'group', aria: { label: t('Phrases, the most frequent first') } });
    const run = sameface.button('Change captions', change);
    const undo = sameface.button('Undo', takeBack);
    const turn = () => {
      fields.by.hidden = doing.value !== 'replace';
      fields.place.hidden = !['add', 'move'].includes(doing.value);
    };
    turn();
    for (const input of [phrase, by]) input.addEventListener('keydown', (event) => event.key === 'Enter' && run.click());

    async function change() {
      const body = { do: doing.value, phrase: phrase.value.trim() };
      sameface.refuse(body.phrase ? [] : [{ target: phrase, text: 'Write the phrase, or choose one below.' }]);
      if (body.do === 'replace') body.by = by.value.trim();
      if (['add', 'move'].includes(body.do)) body.place = Number(place.value);
      const only = shownFiles();
      if (only.length) body.only = only;
      const { slug } = sameface; // another may be chosen before the answer is there
      await sameface.saveCaptions();
      took(slug, await sameface.api.post(`/characters/${slug}/captions/edit`, body));
      sameface.toast('Changed', 'good');
    }

    async function takeBack() {
      const { slug } = sameface;
      await sameface.saveCaptions();
      took(slug, await sameface.api.post(`/characters/${slug}/captions/undo`));
      sameface.toast('Undone', 'good');
    }

    const card = el(
      'div',
      { class: 'sf-card sf-later' },
      el('h3', { text: t('Change many') }),
      sameface.field('What', doing),
      sameface.field('Phrase', phrase, 'What stands between two commas of a caption'),
      fields.by,
      fields.place,
      scope,
      el('div', { class: 'sf-row' }, run, undo),
      el('p', { class: 'sf-quiet', text: t('Most frequent phrases') }),
      offers,
    );
    card.set = (view) => {
      undo.disabled = !view.can_undo;
      undo.title = view.undo_text ? t('Takes back: {what}', { what: view.undo_text }) : '';
      const only = shownFiles().length;
      sameface.setText(scope, only ? sameface.plural(only, 'In the {n} shown caption', 'In the {n} shown captions') : t('In all captions'));
      const choose = (one) => () => {
        phrase.value = one.phrase;
        sameface.fault(phrase, '');
        if (doing.value === 'add') {
          doing.value = 'remove';
          turn();
        }
        phrase.focus();
      };
      const make = (one) => el('button', { class: 'sf-phrase', on: { click: choose(one) } }, el('span', { text: one.phrase }), ' ', el('span', { class: 'sf-number' }));
      sameface.keyed(offers, view.phrases.slice(0, FREQUENT), (one) => one.phrase, make, (node, one) => sameface.setText(node.lastChild, `× ${one.captions}`));
    };
    return card;
  };

  function options(names) {
    return Object.entries(names).map(([value, name]) => ({ value, text: t(name) }));
  }

  function text(label) {
    return el('input', { class: 'sf-input', type: 'text', autocomplete: 'off', aria: { label: t(label) } });
  }
})();
