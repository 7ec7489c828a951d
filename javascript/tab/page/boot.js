/**
 * The tab's life: waits for the element `#sameface`, draws the head and the shown panel, and asks for the state while
 * somebody looks.
 */
(function () {
  'use strict';

  // An element with the id "sameface" that is there already is `window.sameface`, too, until something else is given it.
  const taken = window.sameface instanceof Element || window.sameface instanceof HTMLCollection;
  const sameface = (window.sameface = (!taken && window.sameface) || {});
  const BUSY = 1000; // milliseconds between two questions while something runs
  const IDLE = 3000;
  const UNSEEN = 5000; // while nobody looks, but the title and a notification tell how a job goes
  const SECOND = 2000; // after one error; a single lost question is nothing
  const LONGEST = 30000; // after more of them
  const LOOK = 500; // between two looks for the element
  const AGAIN = 3000; // after a request of a panel's has failed

  let timer = 0;
  let asking = null; // the question that is on its way
  let again = null; // the one after it
  let failures = 0;
  let newest = ''; // the state as text
  let drawn = null; // {root, head, stage, line, sections: {step: section}, shown: step}
  let observer = null;

  // The element

  function place() {
    const found = document.querySelector('#sameface');
    if (found) return found;
    try {
      const app = typeof window.gradioApp === 'function' ? window.gradioApp() : null;
      return app ? app.querySelector('#sameface') : null;
    } catch (error) {
      return null; // the host is not there yet
    }
  }

  function look() {
    if (!sameface.recall || !sameface.head) return; // the other files are still on their way
    const found = place();
    if (drawn && !drawn.root.isConnected) leave();
    if (found && (!drawn || found !== drawn.root || !found.contains(drawn.stage))) start(found);
  }

  function start(root) {
    if (drawn) leave();
    sameface.mount = root;
    const line = sameface.el('div', { class: 'sf-offline', role: 'alert', hidden: true });
    const head = sameface.el('div', { class: 'sf-head' });
    const stage = sameface.el('div', { class: 'sf-stage' });
    stage.append(sameface.el('p', { class: 'sf-quiet', text: sameface.t('Loading …') }));
    root.replaceChildren(line, head, stage);
    root.classList.add('sf');
    drawn = { root, head, stage, line, sections: {}, shown: '' };
    observer = new IntersectionObserver(() => wake());
    observer.observe(root);
    if (sameface.head) sameface.head.mount(head);
    if (sameface.state) sameface.draw();
    sameface.refresh().catch(() => null);
  }

  function leave() {
    const panel = sameface.panels[drawn.shown];
    if (panel && panel.hidden) guarded(() => panel.hidden());
    observer.disconnect();
    clearTimeout(timer);
    drawn = null;
  }

  // Drawing

  /** An error in one panel must not make the others vanish. */
  function guarded(run) {
    try {
      run();
    } catch (error) {
      console.error('SameFace:', error);
      if (sameface.toast) sameface.toast(String(error.message || error), 'bad');
    }
  }

  function rightChoice() {
    const { characters } = sameface.state;
    const there = characters.some((one) => one.slug === sameface.slug);
    if (!there) {
      const left = sameface.slug;
      sameface.slug = characters.length ? sameface.usedLast().slug : '';
      if (left && characters.length) sameface.step = sameface.STEPS.includes(sameface.step) ? 'photos' : sameface.step;
    }
    if (!characters.length && sameface.step !== 'doctor') sameface.step = 'new';
    if (characters.length && sameface.step === 'new' && drawn.shown === '') sameface.step = 'photos';
  }

  /** Show the chosen step of the chosen character, from the newest state. */
  sameface.draw = function () {
    if (!drawn || !sameface.state) return;
    guarded(rightChoice);
    if (sameface.head) guarded(() => sameface.head.update());
    const step = sameface.step;
    const panel = sameface.panels[step];
    if (!panel) return;
    turn(step, panel);
    if (panel.update) guarded(() => panel.update());
  };

  function turn(step, panel) {
    if (drawn.shown === step) return;
    const before = sameface.panels[drawn.shown];
    if (before && before.hidden) guarded(() => before.hidden());
    if (!drawn.shown) drawn.stage.replaceChildren();
    for (const section of Object.values(drawn.sections)) section.hidden = true;
    drawn.shown = step;
    document.querySelectorAll('#sameface .sf-toast.sf-bad').forEach((one) => one.remove()); // of what was left behind
    if (!drawn.sections[step]) {
      const section = sameface.el('section', { class: `sf-panel sf-panel-${step}`, id: `sf-panel-${step}` });
      const tab = [...sameface.STEPS, 'doctor'].includes(step);
      section.setAttribute('role', tab ? 'tabpanel' : 'region');
      section.setAttribute(tab ? 'aria-labelledby' : 'aria-label', tab ? `sf-tab-${step}` : sameface.t('Character'));
      drawn.sections[step] = section;
      drawn.stage.append(section);
      guarded(() => panel.mount(section));
    }
    drawn.sections[step].hidden = false;
    if (panel.shown) guarded(() => panel.shown());
  }

  // Asking

  /** Whether somebody can see the tab. */
  sameface.visible = function () {
    const root = sameface.mount;
    return Boolean(root && root.isConnected && !document.hidden && root.getClientRects().length);
  };

  /** Ask for the state now. The promise is kept once a state newer than this call is drawn. */
  sameface.refresh = function () {
    if (!asking) return (asking = ask());
    if (!again) again = asking.catch(() => null).then(() => ((again = null), (asking = ask())));
    return again;
  };

  async function ask() {
    clearTimeout(timer);
    try {
      const state = await sameface.api.get('/state');
      failures = 0;
      sameface.lost = false;
      online(true);
      const text = JSON.stringify(state);
      if (text !== newest) {
        newest = text;
        const first = !sameface.state;
        sameface.state = state;
        if (first) sameface.recall();
        sameface.draw();
      }
      return state;
    } catch (error) {
      failures += 1;
      sameface.lost = [0, 404].includes(error.status);
      online(false, error);
      throw error;
    } finally {
      asking = null;
      later();
    }
  }

  function later() {
    clearTimeout(timer);
    const seen = sameface.visible();
    if (!seen && !(drawn && sameface.signal && sameface.signal.awaited())) return; // `wake` asks when it is seen again
    timer = setTimeout(() => sameface.refresh().catch(() => null), seen ? pause() : Math.max(UNSEEN, pause()));
  }

  function pause() {
    if (failures) return failures > 1 ? LONGEST : SECOND;
    const { jobs } = sameface.state.queue;
    return jobs.some((job) => job.state === 'running' || (job.state === 'waiting' && !job.wish)) ? BUSY : IDLE;
  }

  function wake() {
    if (sameface.visible() && !asking) sameface.refresh().catch(() => null);
  }

  let debt = 0;

  /** Ask for the state in a moment; many calls make one question. */
  sameface.soon = function () {
    clearTimeout(debt);
    debt = setTimeout(() => sameface.refresh().catch(() => null), 120);
  };

  /**
   * What a route says of the character that is shown: asked for anew when its mark is another, and after a failure as long
   * as the panel is shown, for the state may stay the same. What comes late for another character is dropped, and one
   * error is told once.
   * @param {string} step
   * @param {function} got draws a new view.
   * @returns {{view: ?Object, slug: string, follow: function, take: function, forget: function, away: function}}
   *   `follow(slug, path, mark)` is true where the character is another; `take(slug, view)` brings a view from elsewhere;
   *   `forget`: it may have changed without a mark; `away`: the panel is shown no more.
   */
  sameface.answers = function (step, got) {
    const own = { view: null, slug: '' };
    let path = '';
    let mark = '';
    let next = 0;
    let said = '';

    async function ask() {
      const { slug } = own;
      try {
        const view = await sameface.api.get(path);
        if (slug !== own.slug) return;
        own.away();
        said = '';
        own.take(slug, view);
      } catch (error) {
        if (slug === own.slug) failed(error);
      }
    }

    function failed(error) {
      if (error.status && error.message !== said) sameface.toast(error.message, 'bad');
      said = error.message;
      later();
    }

    function later() {
      own.away();
      if (drawn && sameface.step === step) next = setTimeout(() => (sameface.visible() ? ask() : later()), AGAIN);
    }

    own.follow = (slug, where, about) => {
      const other = slug !== own.slug;
      const newest = JSON.stringify(about);
      if (other) Object.assign(own, { slug, view: null });
      if (!other && newest === mark) return false;
      mark = newest;
      path = where;
      ask();
      return other;
    };
    own.take = (slug, view) => {
      if (slug !== own.slug || !view) return;
      own.view = view;
      got();
    };
    own.forget = () => (mark = '');
    own.away = () => clearTimeout(next);
    return own;
  };

  function online(yes, error) {
    if (!drawn) return;
    drawn.line.hidden = yes || failures < 2; // one lost question is no news
    if (yes || !error) return;
    const said = error.status ? error.message : sameface.t('No connection to the webui; trying again …');
    sameface.setText(drawn.line, said);
  }

  // Life

  const waiting = [];
  let begun = false;

  /** Run a function once the page is there. */
  sameface.ready = function (run) {
    if (begun) run(sameface);
    else waiting.push(run);
  };

  function begin() {
    if (begun) return;
    begun = true;
    waiting.forEach((run) => guarded(() => run(sameface)));
    look();
    setInterval(look, LOOK); // the host draws late, and anew after "Reload UI"
    document.addEventListener('visibilitychange', wake);
  }

  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', begin);
  else setTimeout(begin, 0);
})();
