/** A view of the chosen character that is asked for when it has changed. */

import { app, visible } from '../base/app.js';
import { asError } from '../base/page_error.js';
import { toast } from '../widgets/widgets.js';

const AGAIN = 3000; // milliseconds after a request has failed

/**
 * What a route says of the character that is shown: asked for anew when its mark is another, and after a failure as long
 * as the panel is shown, for the state may stay the same. What comes late for another character is dropped, and one
 * error is told once.
 * @template View
 * @param {string} step
 * @param {Action} got draws a new view.
 * @returns
 *   `follow(slug, load, mark)` is true where the character is another; `take(slug, view)` brings a view from elsewhere;
 *   `forget`: it may have changed without a mark; `away`: the panel is shown no more.
 */
export function followedView(step, got) {
  /** @type {FollowedView<View>} */
  const own = { view: null, slug: '', follow, take, forget: () => (mark = ''), away: () => clearTimeout(next) };
  /** @type {() => Promise<View | null>} */
  let load = async () => null;
  let mark = '';
  let next = 0;
  let said = '';

  async function ask() {
    const { slug } = own;
    try {
      const view = await load();
      if (slug !== own.slug) return;
      own.away();
      said = '';
      take(slug, view);
    } catch (error) {
      if (slug === own.slug) failed(asError(error));
    }
  }

  function failed(/** @type {PageError} */ error) {
    if (error.status && error.message !== said) toast(error.message, 'bad');
    said = error.message;
    later();
  }

  function later() {
    own.away();
    if (app.drawn && app.step === step) next = setTimeout(() => (visible() ? ask() : later()), AGAIN);
  }

  /**
   * @param {string} slug
   * @param {() => Promise<View>} how
   * @param {unknown} about
   */
  function follow(slug, how, about) {
    const other = slug !== own.slug;
    const newest = JSON.stringify(about);
    if (other) Object.assign(own, { slug, view: null });
    if (!other && newest === mark) return false;
    mark = newest;
    load = how;
    ask();
    return other;
  }

  /**
   * @param {string} slug
   * @param {View | null} view
   */
  function take(slug, view) {
    if (slug !== own.slug || !view) return;
    own.view = view;
    got();
  }

  return own;
}
