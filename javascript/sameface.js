/**
 * What a webui loads: it waits for the tab's element, and loads the tab's modules from the address that the element
 * names. The address has a digest of all modules in it, so a browser never mixes those of two versions.
 *
 * A plain script, since webuis load each file of this folder as one; they do not look into its sub-folders.
 */
(function () {
  'use strict';

  const LOOK = 200; // milliseconds between two looks for the element
  const AGAIN = 2000; // after the first failure; a webui draws its page before our routes are there
  const LATER = 30000; // after each further one; a request that reaches A1111 just as it starts can end it

  let failures = 0;

  /**
   * A sentence in the user's language, in place of the page.
   * @param {HTMLElement} place
   * @param {string} text
   */
  function say(place, text) {
    const words = window.localization || {}; // English to the user's language, from the host
    place.textContent = (Object.prototype.hasOwnProperty.call(words, text) && words[text]) || text;
  }

  /** @returns {HTMLElement | null} */
  function place() {
    /** @type {HTMLElement | null} */
    const found = document.querySelector('#sameface');
    if (found) return found;
    try {
      return typeof window.gradioApp === 'function' ? window.gradioApp().querySelector('#sameface') : null;
    } catch {
      return null; // the host is not there yet
    }
  }

  async function look() {
    const found = place();
    if (!found) return setTimeout(look, LOOK);
    if (!found.dataset.modules) {
      say(found, 'SameFace was updated; close the webui and start it again.'); // what runs is the older one
      return undefined;
    }
    const base = (found.dataset.base || window.location.pathname).replace(/\/+$/, ''); // it may be below another path
    const main = `${base}${found.dataset.modules}main.js`;
    try {
      const answer = await fetch(main, { credentials: 'same-origin' }); // a failed `import` may be remembered
      if (!answer.ok) throw new Error(`${main}: ${answer.status}`);
      return await import(main);
    } catch (error) {
      console.warn('SameFace:', error);
      failures += 1;
      // where one of its modules failed to load, only a reload helps
      if (failures > 1) {
        say(found, 'SameFace is not ready yet and is tried again every 30 seconds; if this stays, reload the page.');
      }
      return setTimeout(look, failures > 1 ? LATER : AGAIN);
    }
  }

  look();
})();
