/** A view of the chosen character that is asked for when it has changed. */

import * as api from '../base/api.js';
import { app, visible } from '../base/app.js';
import { toast } from '../widgets/widgets.js';

const AGAIN = 3000; // milliseconds after a request has failed

/**
 * What a route says of the character that is shown: asked for anew when its mark is another, and after a failure as long
 * as the panel is shown, for the state may stay the same. What comes late for another character is dropped, and one
 * error is told once.
 * @param {string} step
 * @param {Run} got draws a new view.
 * @returns {{view: any | null, slug: string, follow: Run, take: Run, forget: Run, away: Run}}
 *   `follow(slug, path, mark)` is true where the character is another; `take(slug, view)` brings a view from elsewhere;
 *   `forget`: it may have changed without a mark; `away`: the panel is shown no more.
 */
export function followedView(step, got) {
  /** @type {any} */
  const own = { view: null, slug: '' };
  /** @type {GetPath} */
  let path = '/state';
  let mark = '';
  let next = 0;
  let said = '';

  async function ask() {
    const { slug } = own;
    try {
      const view = await api.get(path);
      if (slug !== own.slug) return;
      own.away();
      said = '';
      own.take(slug, view);
    } catch (error) {
      if (slug === own.slug) failed(error);
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

  own.follow = (/** @type {string} */ slug, where, about) => {
    const other = slug !== own.slug;
    const newest = JSON.stringify(about);
    if (other) Object.assign(own, { slug, view: null });
    if (!other && newest === mark) return false;
    mark = newest;
    path = where;
    ask();
    return other;
  };
  own.take = (/** @type {string} */ slug, view) => {
    if (slug !== own.slug || !view) return;
    own.view = view;
    got();
  };
  own.forget = () => (mark = '');
  own.away = () => clearTimeout(next);
  return own;
}
