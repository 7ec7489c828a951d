/** Ways back: the Undo of a character's changes, as a button in the head and in a toast; and characters put away. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});
  const PATIENCE = 60; // tries, half a second each: decisions are on their way until the photos are looked through
  const seen = new Map(); // by slug: when the newest change was made, as far as it was told

  /** A toast with a button in it. */
  sameface.toastWith = function (text, label, run) {
    sameface.toast(text, 'good');
    const shown = [...sameface.mount.querySelectorAll('.sf-toast')].pop();
    const press = async () => {
      shown.remove();
      await run();
    };
    shown.insertBefore(sameface.button(label, press, { small: true }), shown.lastChild);
  };

  /** @returns {{node: Element, update: function(?object)}} the button in the head; `update(character)` with each state. */
  sameface.undoButton = function () {
    const node = sameface.button('Undo', () => takeBack());
    node.hidden = true;
    return {
      node,
      update: (character) => {
        const last = character && character.undo;
        node.hidden = !last;
        node.title = last ? sameface.t('Takes back: {what}', last) : '';
        if (character) offer(character);
      },
    };
  };

  /** Offer to take a change back when it has just been made. */
  function offer({ slug, undo: last }) {
    const before = seen.get(slug);
    const now = last ? last.t : 0;
    seen.set(slug, now);
    if (before === undefined || now <= before) return; // it was there already, or something was taken back
    sameface.toastWith(sentence(last.what), 'Undo', () => takeBack(slug, last));
  }

  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  async function takeBack(slug = sameface.slug, last = null) {
    await settled(slug);
    const found = sameface.state.characters.find((one) => one.slug === slug);
    const change = last || (found && found.undo);
    if (!change) return;
    const { undone } = await sameface.api.post(`/characters/${slug}/undo`, { t: change.t });
    await sameface.refresh();
    const panel = sameface.panels[sameface.step];
    if (panel.shown) panel.shown(); // what it shows may have changed without a mark
    if (panel.update) panel.update();
    sameface.toast(sameface.t('Taken back: {what}', { what: undone }), 'good');
  }

  /** Wait until decisions that were just made are in the history. */
  async function settled(slug) {
    for (let tries = 0; tries < PATIENCE && sameface.job('audit', slug); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      await sameface.refresh();
    }
  }

  /** Characters that were put away, each with a button; `made.shown()` asks for them. */
  sameface.deletedList = function () {
    const list = sameface.el('ul', { class: 'sf-stack' });
    const made = sameface.el('div', { class: 'sf-card', hidden: true }, sameface.el('h3', { text: sameface.t('Deleted characters') }), list);
    made.shown = async () => {
      const all = await sameface.api.get('/deleted').catch(() => []);
      made.hidden = !all.length;
      const entry = (one) =>
        sameface.el(
          'li',
          { class: 'sf-row sf-between' },
          sameface.el('span', { text: [one.name, one.when && `(${one.when.slice(0, 4)}-${one.when.slice(4, 6)}-${one.when.slice(6, 8)})`].filter(Boolean).join(' ') }),
          sameface.button('Bring back', () => sameface.bringBack(one.folder), { small: true }),
        );
      sameface.fill(list, all.slice(0, 20).map(entry));
    };
    return made;
  };

  /** Bring a character back by its folder's name. */
  sameface.bringBack = async function (folder) {
    const made = await sameface.api.post('/deleted/bring_back', { folder });
    await sameface.refresh();
    sameface.go({ slug: made.slug, step: made.next });
  };
})();
