/** What the whole page shares: the newest state, what is chosen, and the element that it is drawn into. */

/** The steps of a character's way, in order. */
export const STEPS = ['photos', 'captions', 'train', 'test', 'use', 'produce'];

/** What can be turned to besides, also without a character. */
export const PANELS = ['library', 'doctor'];

/** One for the page; its fields change. */
export const app = {
  /**
   * Newest answer of `/state`; null until the first one.
   * @type {{limits: PageLimits, [part: string]: any} | null}
   */
  state: null,
  /** The chosen character. */
  slug: '',
  /** The shown step: one of `STEPS` or `PANELS`, "new", "edit" or "invent". */
  step: 'photos',
  /** The element `#sameface`. */
  mount: null,
  /** Whether the page is drawn into that element now. */
  drawn: false,
  /** Whether the webui does not answer, or not yet with our routes. */
  lost: false,
  /** What is shown for each step: {mount(root), update(), shown(), hidden()}, all but `mount` optional. */
  panels: {},
  /** The setting whether a training is followed by a test; undefined until it is known. */
  usualTest: undefined,
  /** The grid, and the cell, that one panel asks another to show: {slug, ...}; null = none. */
  wantedGrid: null,
  wantedCell: null,
  /** The character whose next training another panel has laid out; '' = nobody's. */
  trainingLaidOut: '',
};

/** Whether somebody can see the page. */
export function visible() {
  const root = app.mount;
  return Boolean(root && root.isConnected && !document.hidden && root.getClientRects().length);
}
