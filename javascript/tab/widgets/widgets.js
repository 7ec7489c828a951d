/** The parts that all panels are made of: buttons, notices, toasts, dialogs, lists that survive polling. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});
  const SIGNS = { good: '✓', warn: '!', bad: '×', none: '–', busy: '●' };
  const LASTS = 6000; // milliseconds that a toast is shown; an error stays twice as long

  /** The sign of a tone, for the eye only: a word beside it says the same. */
  sameface.sign = function (tone) {
    return sameface.el('span', { class: `sf-sign sf-sign-${tone}`, aria: { hidden: 'true' }, text: SIGNS[tone] || '–' });
  };

  /** A word in its tone, with the tone's sign. */
  sameface.badge = function (tone, text) {
    return sameface.el('span', { class: `sf-badge sf-${tone}` }, sameface.sign(tone), sameface.el('span', { text }));
  };

  /**
   * A button. While its function's promise is open it is disabled and busy; a rejection becomes a toast.
   * @param {string} label English; is translated here.
   * @param {function(Event): (Promise|void)} onclick
   * @param {{main?: boolean, danger?: boolean, small?: boolean, quiet?: boolean, title?: string, disabled?: boolean,
   *   label?: string}} [options] `main`: the next thing to do; `label`: what a screen reader says instead.
   */
  sameface.button = function (label, onclick, options = {}) {
    const kind = options.main ? 'main' : options.danger ? 'danger' : options.quiet ? 'quiet' : 'plain';
    const made = sameface.el('button', {
      class: `sf-button sf-button-${kind}${options.small ? ' sf-small' : ''}`,
      disabled: Boolean(options.disabled),
      title: options.title ? sameface.t(options.title) : null,
      aria: options.label ? { label: options.label } : {},
    });
    made.append(sameface.el('span', { text: sameface.t(label) }));
    made.addEventListener('click', (event) => sameface.busy(made, () => onclick(event)));
    made.setMain = (yes) => {
      made.classList.toggle('sf-button-main', yes);
      made.classList.toggle('sf-button-plain', !yes);
    };
    return made;
  };

  /** Run a function with a button disabled and marked as busy; an error becomes a toast. */
  sameface.busy = async function (button, run) {
    if (button.getAttribute('aria-busy') === 'true') return;
    let open = null;
    try {
      open = run();
      if (!open || typeof open.then !== 'function') return;
      button.setAttribute('aria-busy', 'true'); // not `disabled`: that would lose the focus
      await open;
    } catch (error) {
      if (!error.told) sameface.toast(error.message, 'bad');
    } finally {
      button.removeAttribute('aria-busy');
    }
  };

  /** A paragraph in a tone's colour, with its sign. Strings are translated. */
  sameface.notice = function (tone, ...children) {
    const words = children.flat(Infinity).map((one) => (typeof one === 'string' ? said(one) : one));
    return sameface.el('div', { class: `sf-notice sf-${tone}` }, sameface.sign(tone), sameface.el('div', {}, words));
  };

  function said(text) {
    return sameface.el('span', { text: sameface.t(text) });
  }

  /** Say something for a few seconds. */
  sameface.toast = function (text, tone = 'none') {
    const shown = sameface.el(
      'div',
      { class: `sf-toast sf-${tone}`, role: tone === 'bad' ? 'alert' : 'status' },
      sameface.sign(tone),
      said(text),
    );
    const away = () => shown.remove();
    const label = sameface.t('Close');
    shown.append(sameface.el('button', { class: 'sf-close', text: '×', aria: { label }, on: { click: away } }));
    const holder = toasts();
    for (const old of [...holder.children]) if (old.textContent === shown.textContent) old.remove(); // said once is enough
    holder.append(shown);
    setTimeout(away, tone === 'bad' ? 2 * LASTS : LASTS);
  };

  function toasts() {
    const holder = [...sameface.mount.querySelectorAll('dialog[open]')].pop() || sameface.mount; // above a dialog, too
    const there = [...holder.children].find((child) => child.classList.contains('sf-toasts'));
    if (there) return there;
    const made = sameface.el('div', { class: 'sf-toasts', aria: { live: 'polite' } });
    holder.append(made);
    return made;
  }

  /**
   * Open a dialog. The browser keeps the focus in it, and gives it back afterwards; Escape closes it.
   * @param {string} title
   * @param {Node} node what it holds.
   * @param {{wide?: boolean, closed?: function}} [options]
   * @returns {{close: function, node: HTMLDialogElement}}
   */
  sameface.dialog = function (title, node, options = {}) {
    const before = document.activeElement;
    const heading = sameface.el('h3', { class: 'sf-dialog-title', text: sameface.t(title) });
    const shown = sameface.el('dialog', {
      class: `sf-dialog${options.wide ? ' sf-wide' : ''}`,
      aria: { label: sameface.t(title) },
    });
    const label = sameface.t('Close');
    const close = sameface.el('button', { class: 'sf-close', text: '×', aria: { label }, title: label });
    close.addEventListener('click', () => shown.close());
    shown.append(sameface.el('div', { class: 'sf-dialog-head' }, heading, close), node);
    shown.addEventListener('click', (event) => event.target === shown && shown.close()); // beside it
    shown.addEventListener('close', () => {
      shown.remove();
      if (before && before.isConnected) before.focus();
      if (options.closed) options.closed();
    });
    shown.addEventListener('keydown', (event) => event.stopPropagation()); // the host has keys of its own
    sameface.mount.append(shown);
    shown.showModal();
    return { close: () => shown.open && shown.close(), node: shown };
  };

  /** Ask yes or no; closing the dialog is a no. */
  sameface.confirm = function (text, yesLabel, options = {}) {
    return new Promise((resolve) => {
      let answer = false;
      const yes = sameface.button(yesLabel, () => ((answer = true), shown.close()), {
        main: !options.danger,
        danger: options.danger,
      });
      const no = sameface.button('Cancel', () => shown.close());
      const body = sameface.el('div', { class: 'sf-dialog-body' }, sameface.el('p', { text: sameface.t(text) }));
      body.append(sameface.el('div', { class: 'sf-row sf-end' }, no, yes));
      const shown = sameface.dialog(options.title || 'Please confirm', body, { closed: () => resolve(answer) });
      no.focus();
    });
  };

  /**
   * Make a container's children those of a list, keeping each item's node, so that focus, typing and scrolling survive.
   * @param {Element} container holds nothing else.
   * @param {Array} items
   * @param {function(*): string} keyOf
   * @param {function(*): Element} make
   * @param {function(Element, *)} [update] is called for new nodes, too.
   */
  sameface.keyed = function (container, items, keyOf, make, update) {
    const before = container.sfNodes || new Map();
    const after = new Map();
    const focused = container.getRootNode().activeElement;
    for (const item of items) {
      const key = String(keyOf(item));
      if (!after.has(key)) after.set(key, before.get(key) || make(item));
    }
    for (const [key, node] of before) if (!after.has(key)) node.remove();
    let at = container.firstChild;
    for (const node of after.values()) {
      if (node === at) at = at.nextSibling;
      else container.insertBefore(node, at);
    }
    container.sfNodes = after;
    if (update) items.forEach((item) => update(after.get(String(keyOf(item))), item));
    if (focused && focused !== document.activeElement && container.contains(focused)) focused.focus();
  };

  /** A bar from 0 to 1; null = it is not known how far. `bar.set(share, words)` changes it. */
  sameface.progress = function (share, words) {
    const inner = sameface.el('div', { class: 'sf-progress-inner' });
    const bar = sameface.el('div', { class: 'sf-progress', role: 'progressbar' }, inner);
    bar.setAttribute('aria-valuemin', '0');
    bar.setAttribute('aria-valuemax', '100');
    bar.set = (part, text) => {
      const known = part !== null && part !== undefined && Number.isFinite(part);
      const percent = known ? Math.round(Math.min(1, Math.max(0, part)) * 1000) / 10 : 0;
      bar.classList.toggle('sf-unknown', !known);
      inner.style.width = known ? `${percent}%` : '';
      if (known) bar.setAttribute('aria-valuenow', String(Math.round(percent)));
      else bar.removeAttribute('aria-valuenow');
      if (text) bar.setAttribute('aria-label', text);
    };
    bar.set(share, words);
    return bar;
  };

  /**
   * The first line of a panel: what is done, what is missing, and the next thing to do.
   * `lead.set({tone, text, detail, buttons: [{label, do, main, danger, title, disabled}]})` keeps buttons whose labels
   * are the same, so that the focus stays; their `do` is always the newest.
   */
  sameface.lead = function () {
    const sign = sameface.el('span', { class: 'sf-lead-sign' });
    const text = sameface.el('span', { class: 'sf-lead-text' });
    const detail = sameface.el('p', { class: 'sf-lead-detail' });
    const row = sameface.el('div', { class: 'sf-lead-buttons' });
    const words = sameface.el('div', { class: 'sf-lead-words' }, sameface.el('p', {}, sign, text), detail);
    const lead = sameface.el('div', { class: 'sf-lead' }, words, row);
    let now = [];
    const make = (one) =>
      sameface.button(one.label, () => now.find((other) => other.label === one.label).do(), {
        ...one,
        label: undefined,
      });
    lead.set = (to) => {
      lead.className = `sf-lead sf-${to.tone || 'none'}`;
      if (sign.dataset.tone !== to.tone) sameface.fill(sign, sameface.sign(to.tone || 'none'));
      sign.dataset.tone = to.tone;
      sameface.setText(text, sameface.t(to.text || ''));
      sameface.setText(detail, sameface.t(to.detail || ''));
      detail.hidden = !to.detail;
      now = (to.buttons || []).filter(Boolean);
      const keyOf = (one) => `${one.label}|${one.main}|${one.danger}|${one.title || ''}`;
      sameface.keyed(row, now, keyOf, make, (node, one) => (node.disabled = Boolean(one.disabled)));
    };
    return lead;
  };

  /** A fold: a summary line that opens what is below it. */
  sameface.fold = function (title, ...children) {
    const summary = sameface.el('summary', {}, sameface.el('span', { text: sameface.t(title) }));
    return sameface.el('details', { class: 'sf-fold' }, summary, sameface.el('div', { class: 'sf-fold-body' }, children));
  };

  let fields = 0;

  /** A labelled form field: `input` gets an id; `help` is a line below it. */
  sameface.field = function (label, input, help) {
    input.id = input.id || `sf-field-${(fields += 1)}`;
    const words = sameface.el('label', { class: 'sf-label', htmlFor: input.id, text: sameface.t(label) });
    const line = help ? sameface.el('p', { class: 'sf-help', id: `${input.id}-help`, text: sameface.t(help) }) : null;
    if (line) input.setAttribute('aria-describedby', line.id);
    return sameface.el('div', { class: 'sf-field' }, words, input, line);
  };

  /** A select of `[{value, text}]`. */
  sameface.select = function (choices, value, onchange) {
    const made = sameface.el('select', { class: 'sf-input sf-select' });
    made.setChoices = (list, chosen) => {
      const key = JSON.stringify(list);
      if (made.dataset.list !== key) {
        made.dataset.list = key;
        sameface.fill(made, list.map((one) => sameface.el('option', { value: one.value, text: one.text })));
      }
      if (chosen !== undefined && made.value !== String(chosen)) made.value = String(chosen);
    };
    made.setChoices(choices, value);
    if (onchange) made.addEventListener('change', () => onchange(made.value));
    return made;
  };
})();
