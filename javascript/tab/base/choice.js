/**
 * The heart of the tab: the one global `sameface`, its texts, its requests, and what is chosen.
 *
 * Files are loaded in the order of their names, so those called `sameface_a_*` come before all panels. A panel calls
 * `sameface.panel(step, {mount, update, shown, hidden})` when its file is loaded; everything else it may use from
 * `mount` on. `mount(root)` is called again with a new root when the host draws its page anew.
 */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});
  const PREFIX = '/sameface/v1';
  const KEPT = 'sameface-chosen'; // in localStorage
  const SVG = 'http://www.w3.org/2000/svg';
  const PATIENT = ['/state', '/waits']; // they are asked seldom once nobody answers

  sameface.STEPS = ['photos', 'captions', 'train', 'test', 'use'];
  sameface.panels = sameface.panels || {};
  sameface.state = null; // newest answer of /state; null until the first one
  sameface.slug = ''; // chosen character
  sameface.step = 'photos'; // shown step: one of STEPS, "doctor", "new", "edit" or "invent"
  sameface.mount = null; // the element #sameface
  sameface.lost = false; // whether the webui does not answer, or not yet with our routes

  /**
   * Translate a text, and fill in its values.
   * @param {string} text English, as in the localization file; `{name}` stands for a value.
   * @param {Object<string, *>} [values]
   */
  sameface.t = function (text, values) {
    const words = window.localization || {};
    const found = Object.prototype.hasOwnProperty.call(words, text) && words[text] ? words[text] : text;
    if (!values) return String(found);
    return String(found).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  };

  /** Whole numbers with the right word: plural(1, "{n} photo", "{n} photos"). */
  sameface.plural = function (n, one, many) {
    return sameface.t(n === 1 ? one : many, { n: n.toLocaleString() });
  };

  /**
   * Make an element.
   * @param {string} tag its name; "svg:line" makes one of a drawing.
   * @param {Object} [props] `class`, `text`, `aria: {label}`, `data: {key}`, `on: {click}`; other names are set as
   *   property where the element has it (value, checked, disabled), else as attribute; null and false leave it out.
   * @param {...(Node|string|Array|null|false)} children strings become text nodes of their own.
   */
  sameface.el = function (tag, props, ...children) {
    const drawn = tag.startsWith('svg:');
    const made = drawn ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
    if (tag === 'button') made.type = 'button';
    for (const [key, value] of Object.entries(props || {})) setProp(made, key, value, drawn);
    sameface.append(made, children);
    return made;
  };

  function setProp(made, key, value, drawn) {
    if (value === null || value === undefined) return;
    if (key === 'class') made.setAttribute('class', value);
    else if (key === 'text') made.textContent = value;
    else if (key === 'on') Object.entries(value).forEach(([name, run]) => made.addEventListener(name, run));
    else if (key === 'aria') Object.entries(value).forEach(([name, said]) => made.setAttribute(`aria-${name}`, said));
    else if (key === 'data') Object.entries(value).forEach(([name, kept]) => (made.dataset[name] = kept));
    else if (key === 'style') made.setAttribute('style', value);
    else if (!drawn && key in made && key !== 'list' && key !== 'form') made[key] = value;
    else if (value !== false) made.setAttribute(key, value === true ? '' : value);
  }

  /** Add children as `el` takes them. */
  sameface.append = function (parent, children) {
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === false) continue;
      parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
    }
  };

  /** Put other children in the place of those that are there. */
  sameface.fill = function (parent, ...children) {
    parent.replaceChildren();
    sameface.append(parent, children);
    return parent;
  };

  /** Set a text only where it is another one, so that a screen reader is not told the same again. */
  sameface.setText = function (node, text) {
    if (node.textContent !== text) node.textContent = text;
  };

  // Requests

  function base() {
    const given = sameface.mount && sameface.mount.dataset.base;
    return (given || window.location.pathname).replace(/\/+$/, ''); // a webui may be below another path (--subpath)
  }

  function token() {
    return (sameface.mount && sameface.mount.dataset.token) || '';
  }

  /** Absolute address of a path below the routes, with the token: for pictures and links. */
  sameface.url = function (path) {
    const start = path.startsWith(`${base()}${PREFIX}/`) ? '' : path.startsWith(`${PREFIX}/`) ? base() : base() + PREFIX;
    const joint = path.includes('?') ? '&' : '?';
    return token() ? `${start}${path}${joint}token=${encodeURIComponent(token())}` : start + path;
  };

  async function request(path, options) {
    let answer;
    try {
      answer = await fetch(base() + PREFIX + path, {
        credentials: 'same-origin',
        cache: 'no-store',
        ...options,
        headers: { 'X-SameFace': token(), ...(options && options.headers) },
      });
    } catch (error) {
      throw failure(unconnected(), 0);
    }
    const told = await answer.json().catch(() => null);
    if (answer.ok && told !== null) return told;
    throw failure(sentence(answer.status, told), answer.status, (told && told.field) || '');
  }

  function unconnected() {
    return sameface.t('No connection to the webui; is it still running?');
  }

  function sentence(status, told) {
    if (told && typeof told.error === 'string' && told.error) return told.error;
    if (status === 401) return sameface.t('The webui was started anew; reload this page.');
    if (status === 413) return sameface.t('This is too large to be sent.');
    return sameface.t('The webui answered with the error {status}; see its console.', { status });
  }

  function failure(message, status, field = '') {
    return Object.assign(new Error(message), { status, field });
  }

  sameface.api = {
    /**
     * Promise of the JSON at a path below the routes; rejects with an Error whose message is one sentence.
     *
     * While the webui is not there nothing but `/state` looks for it, and seldom: a request that reaches A1111 just as
     * it starts can end it ("Cannot add middleware after an application has started").
     */
    get: async (path) => {
      if (sameface.lost && !PATIENT.includes(path)) throw failure(unconnected(), 0);
      return request(path);
    },
    /** As `get`; `/state` is asked soon afterwards. */
    post: async (path, body, options) => {
      try {
        const headers = { 'Content-Type': 'application/json' };
        return await request(path, { method: 'POST', headers, body: JSON.stringify(body || {}), ...options });
      } finally {
        sameface.soon();
      }
    },
  };

  // What is chosen

  /** The chosen character's entry of the state, or null. */
  sameface.character = function () {
    const all = sameface.state ? sameface.state.characters : [];
    return all.find((one) => one.slug === sameface.slug) || null;
  };

  const OPEN = ['running', 'paused', 'waiting'];

  /** The open job of a kind (or of any of several kinds) of a character; a running one before waiting ones; or null. */
  sameface.job = function (kind, slug = sameface.slug) {
    const kinds = [kind].flat();
    const jobs = sameface.state ? sameface.state.queue.jobs : [];
    const mine = jobs.filter((job) => kinds.includes(job.kind) && job.slug === slug && OPEN.includes(job.state));
    return mine.sort((a, b) => OPEN.indexOf(a.state) - OPEN.indexOf(b.state))[0] || null;
  };

  /** The newest job of a kind of a character, where it did not come to its end by itself; or null. */
  sameface.failedJob = function (kind, slug = sameface.slug) {
    const jobs = sameface.state ? sameface.state.queue.jobs : []; // open ones, then those that have ended, the newest first
    const newest = jobs.find((job) => job.kind === kind && job.slug === slug);
    return newest && ['failed', 'interrupted'].includes(newest.state) ? newest : null;
  };

  /** Turn to another character, another step, or both. */
  sameface.go = function (to) {
    const slug = 'slug' in to ? to.slug : sameface.slug;
    const step = to.step || sameface.step;
    sameface.slug = slug;
    sameface.step = step;
    keep();
    if (sameface.draw) sameface.draw();
  };

  function places() {
    return [...sameface.STEPS, 'invent'];
  }

  /** Where it is kept: another data folder at the same address has other characters. */
  function place() {
    return `${KEPT}-${(sameface.state && sameface.state.folder) || ''}`;
  }

  function keep() {
    const step = places().includes(sameface.step) ? sameface.step : ''; // a form is not come back to
    try {
      localStorage.setItem(place(), JSON.stringify({ slug: sameface.slug, step }));
    } catch (error) {
      // a browser may forbid storage: then the choice lasts as long as the page
    }
  }

  /** Take up what was chosen when the page was left; in a browser that does not know, the character used last. */
  sameface.recall = function () {
    const all = sameface.state.characters;
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(place())) || {};
    } catch (error) {
      // as if nothing was kept
    }
    const found = all.find((one) => one.slug === kept.slug) || sameface.usedLast();
    sameface.slug = found ? found.slug : '';
    const known = found && found.slug === kept.slug && places().includes(kept.step);
    sameface.step = known ? kept.step : (found && found.next) || 'photos';
  };

  /** The character that was worked on last; null where there is none. */
  sameface.usedLast = function () {
    const all = [...sameface.state.characters];
    return all.sort((a, b) => (b.touched || 0) - (a.touched || 0))[0] || null;
  };

  /** Register what is shown for a step; see the top of this file. */
  sameface.panel = function (step, parts) {
    sameface.panels[step] = parts;
    if (sameface.draw) sameface.draw();
  };
})();
