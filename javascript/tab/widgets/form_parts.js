/** What the panels for training, testing and use share: choices, lists of facts, jobs, pictures, timers. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});
  const LIGHT = ['audit', 'fill']; // kinds of jobs that run beside a training
  let groups = 0;

  /** Read what `keep` has kept; `otherwise` where there is nothing, or the browser forbids it. */
  sameface.kept = function (key, otherwise) {
    try {
      const found = localStorage.getItem(`sameface-${key}`);
      return found === null ? otherwise : JSON.parse(found);
    } catch {
      return otherwise;
    }
  };

  /** Keep a plain value in this browser, beyond a reload. */
  sameface.keep = function (key, value) {
    try {
      localStorage.setItem(`sameface-${key}`, JSON.stringify(value));
    } catch {
      // then it lasts as long as the page
    }
  };

  /**
   * One of a few, with a line below each.
   * @param {string} legend
   * @param {Array<{value: string, text: string, help?: string, disabled?: boolean}>} choices texts are translated.
   * @param {string} value
   * @param {function(string)} [onchange]
   * @returns {HTMLFieldSetElement} with a property `chosen`, and `setChoices(choices)`.
   */
  sameface.radios = function (legend, choices, value, onchange) {
    const name = `sf-radio-${(groups += 1)}`;
    const list = sameface.el('div', { class: 'sf-choices' });
    const heading = sameface.el('legend', { class: 'sf-label', text: sameface.t(legend) });
    const made = sameface.el('fieldset', { class: 'sf-field sf-one-of' }, heading, list);
    let chosen = value;
    let told = '';
    const inputs = () => [...list.querySelectorAll('input')];
    const entry = (one) => {
      const changed = () => {
        chosen = one.value;
        if (onchange) onchange(chosen);
      };
      const input = sameface.el('input', { type: 'radio', name, value: one.value, on: { change: changed } });
      input.disabled = Boolean(one.disabled);
      input.checked = one.value === chosen;
      const help = one.help ? sameface.el('span', { class: 'sf-help', text: sameface.t(one.help) }) : null;
      return sameface.el('label', { class: 'sf-choice' }, input, sameface.el('span', {}, sameface.t(one.text), help));
    };
    made.setChoices = (all) => {
      if (told === JSON.stringify(all)) return;
      told = JSON.stringify(all);
      sameface.fill(list, all.map(entry));
    };
    Object.defineProperty(made, 'chosen', {
      get: () => chosen,
      set: (to) => {
        chosen = to;
        inputs().forEach((input) => (input.checked = input.value === to));
      },
    });
    made.setChoices(choices);
    return made;
  };

  /** A box to tick, with its words beside it; `made.input` is the box. */
  sameface.tick = function (label, checked, onchange, help) {
    const input = sameface.el('input', { type: 'checkbox', checked: Boolean(checked) });
    if (onchange) input.addEventListener('change', () => onchange(input.checked));
    const below = help ? sameface.el('span', { class: 'sf-help', text: sameface.t(help) }) : null;
    const made = sameface.el('label', { class: 'sf-choice' }, input, sameface.el('span', {}, sameface.t(label), below));
    made.input = input;
    return made;
  };

  /** A list of names and values; `list.set([{name, text, tone?}])` changes what differs, and leaves out empty ones. */
  sameface.facts = function () {
    const list = sameface.el('dl', { class: 'sf-facts' });
    const make = (one) => {
      const value = sameface.el('dd', {});
      return sameface.el('div', {}, sameface.el('dt', { text: sameface.t(one.name) }), value);
    };
    list.set = (all) => {
      const there = all.filter((one) => one.text !== '' && one.text !== null && one.text !== undefined);
      sameface.keyed(
        list,
        there,
        (one) => one.name,
        make,
        (node, one) => {
          sameface.setText(node.lastChild, String(one.text));
          node.className = one.tone ? `sf-${one.tone}` : '';
        },
      );
      list.hidden = !there.length;
    };
    return list;
  };

  /** Lines of text, each kept as long as it is said; `list.set([text])`. */
  sameface.lines = function (name) {
    const list = sameface.el('ul', { class: `sf-lines ${name || ''}` });
    list.set = (all) => {
      sameface.keyed(
        list,
        all,
        (one) => one,
        (one) => sameface.el('li', { text: sameface.t(one) }),
      );
      list.hidden = !all.length;
    };
    return list;
  };

  /** A likeness with two digits: one picture scatters by 0.05, so more say nothing. Empty where there is none. */
  sameface.likeness = function (value) {
    const digits = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
    return Number.isFinite(value) ? value.toLocaleString(undefined, digits) : '';
  };

  /** When something will be done, as a clock says it; with the day where that is another one. */
  sameface.clock = function (seconds) {
    const then = new Date(Date.now() + seconds * 1000);
    const today = then.toDateString() === new Date().toDateString();
    const time = { hour: '2-digit', minute: '2-digit' };
    return today ? then.toLocaleTimeString([], time) : then.toLocaleString([], { weekday: 'short', ...time });
  };

  /** Put a text into the clipboard. Where the page may not (no https), the text is selected for the user. */
  sameface.copyText = async function (text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      if (!copiedByHand(text))
        throw new Error(sameface.t('The browser does not let this page copy; mark the text and press Ctrl+C.'));
    }
    sameface.toast('Copied.', 'good');
  };

  function copiedByHand(text) {
    const before = document.activeElement;
    const area = sameface.el('textarea', { class: 'sf-out-of-sight', value: text, aria: { hidden: 'true' } });
    sameface.mount.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    if (before) before.focus();
    return done;
  }

  /** A text in a box, with a button that copies it; `made.set(text)`. */
  sameface.copyBox = function (label) {
    const text = sameface.el('output', { class: 'sf-copy-text', aria: { label: sameface.t(label) } });
    const button = sameface.button('Copy', () => sameface.copyText(text.textContent), {
      small: true,
      label: `${sameface.t('Copy')}: ${sameface.t(label)}`,
    });
    const heading = sameface.el('span', { class: 'sf-label', text: sameface.t(label) });
    const made = sameface.el(
      'div',
      { class: 'sf-field' },
      heading,
      sameface.el('div', { class: 'sf-copy' }, text, button),
    );
    made.set = (words) => {
      sameface.setText(text, words || '');
      made.hidden = !words;
    };
    made.set('');
    return made;
  };

  /** Show pictures large: [{url, alt, caption}]. */
  sameface.enlarge = function (title, pictures, words) {
    const figure = (one) =>
      sameface.el(
        'figure',
        {},
        sameface.el('img', { src: sameface.url(one.url), alt: one.alt || '' }),
        one.caption ? sameface.el('figcaption', { text: one.caption }) : null,
      );
    const below = words ? sameface.el('p', { class: 'sf-help', text: words }) : null;
    const body = sameface.el(
      'div',
      { class: 'sf-dialog-body' },
      sameface.el('div', { class: 'sf-large-row' }, pictures.map(figure)),
      below,
    );
    sameface.dialog(title, body, { wide: true });
  };

  /** Run something again and again while somebody looks; the next time only after the last one has ended. */
  sameface.rhythm = function (run, pause) {
    let timer = 0;
    let on = false;
    const beat = async () => {
      clearTimeout(timer);
      if (sameface.visible()) await Promise.resolve(run()).catch(() => null); // `/state` shows a lost connection
      clearTimeout(timer);
      if (on) timer = setTimeout(beat, pause);
    };
    return {
      set: (wanted) => {
        if (wanted === on) return;
        on = wanted;
        if (on) beat();
        else clearTimeout(timer);
      },
      now: beat,
    };
  };

  // Jobs

  /** The jobs that must end before a new one for the GPU begins, in order. */
  sameface.ahead = function (job) {
    const all = sameface.state ? sameface.state.queue.jobs.filter((one) => !LIGHT.includes(one.kind)) : [];
    const running = all.filter((one) => one.state === 'running');
    const waiting = all.filter((one) => one.state === 'waiting');
    const place = job ? waiting.findIndex((one) => one.id === job.id) : -1;
    return [...running, ...(place < 0 ? waiting : waiting.slice(0, place))].filter((one) => !job || one.id !== job.id);
  };

  /** When a job that waits will begin, in one sentence; empty where it can begin now. */
  sameface.begins = function (job) {
    const { supervisor, queue } = sameface.state;
    if (!supervisor.active) return sameface.t('It waits: {why}', { why: supervisor.reason });
    if (queue.paused) return sameface.t('It starts when the pause is ended.');
    const before = sameface.ahead(job);
    if (!before.length) return '';
    const what = before[before.length - 1].text;
    if (queue.more) return sameface.t('It starts after {n} other jobs or more.', { n: before.length });
    return before.length === 1
      ? sameface.t('It starts after “{what}”.', { what })
      : sameface.t('It starts after {n} other jobs, the last of them “{what}”.', { n: before.length, what });
  };

  /** Queue a job for the chosen character, and say when it begins. */
  sameface.startJob = async function (kind, values, words) {
    const job = await sameface.api.post('/jobs', { kind, character: sameface.slug, arguments: values });
    await sameface.refresh();
    const later = sameface.begins(job);
    sameface.toast(later ? `${sameface.t('Added to the queue.')} ${later}` : sameface.t(words || 'Started.'), 'good');
    return job;
  };

  /** Stop or go on with a job. */
  sameface.tellJob = async function (job, what) {
    await sameface.api.post(`/jobs/${job.id}/${what}`, {});
    await sameface.refresh();
  };

  /** End the pause of the queue, so that a paused job goes on. */
  sameface.goOn = async function (job) {
    if (sameface.state.queue.paused) await sameface.api.post('/queue', { paused: false });
    else await sameface.api.post(`/jobs/${job.id}/resume`, {});
    await sameface.refresh();
  };

  /** The newest job of some kinds of the chosen character, ended or not; or null. */
  sameface.lastJob = function (...kinds) {
    const jobs = sameface.state ? sameface.state.queue.jobs : [];
    const mine = jobs.filter((job) => kinds.includes(job.kind) && job.slug === sameface.slug);
    return mine.sort((a, b) => b.id - a.id)[0] || null;
  };

  /** The last lines of a job's log, asked for when the fold is opened. */
  sameface.logFold = function () {
    const text = sameface.el('pre', { class: 'sf-log', tabIndex: 0, aria: { label: sameface.t('Log') } });
    const fold = sameface.fold('The last lines of the log', text);
    let job = null;
    const load = async () => {
      if (!fold.isConnected) return beat.set(false); // the page was drawn anew
      if (!fold.open || !job || !text.getClientRects().length) return;
      const { lines } = await sameface.api.get(`/jobs/${job}/log`);
      sameface.setText(text, lines.join('\n') || sameface.t('It is empty.'));
    };
    const beat = sameface.rhythm(load, 5000);
    fold.addEventListener('toggle', () => beat.set(fold.open));
    fold.set = (id) => {
      fold.hidden = !id;
      if (id === job) return;
      job = id;
      sameface.setText(text, '');
      if (fold.open) beat.now();
    };
    fold.set(null);
    return fold;
  };
})();
