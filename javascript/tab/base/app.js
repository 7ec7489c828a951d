/** What the whole page shares: the newest state, what is chosen, and the element that it is drawn into. */

/** The steps from a character's photos to its pictures, in order. */
/** @type {Step[]} */
export const STEPS = ['photos', 'captions', 'train', 'test', 'use', 'produce'];

/** What can be turned to besides, also without a character. */
/** @type {Step[]} */
export const PANELS = ['library', 'doctor'];

/** One for the page; its fields change. */
export const app = {
  /**
   * The newest state; null until the first one.
   * @type {PageState | null}
   */
  state: null,
  /** The chosen character. */
  slug: '',
  /**
   * The shown step: one of `STEPS` or `PANELS`, "new", "edit" or "invent".
   * @type {Step}
   */
  step: 'photos',
  /**
   * The element `#sameface`.
   * @type {HTMLElement | null}
   */
  mount: null,
  /** Whether the page is drawn into that element now. */
  drawn: false,
  /** Whether the webui does not answer, or not yet with our routes. */
  lost: false,
  /**
   * What is shown for each step.
   * @type {Partial<Record<Step, Panel>>}
   */
  panels: {},
  /**
   * The setting whether a training is followed by a test; undefined until it is known.
   * @type {boolean | undefined}
   */
  usualTest: undefined,
  /**
   * The grid that one panel asks another to show; null = none.
   * @type {{slug: string, run: string, id: string} | null}
   */
  wantedGrid: null,
  /**
   * The cell that one panel asks another to show; null = none.
   * @type {({slug: string} & Partial<Cell>) | null}
   */
  wantedCell: null,
  /** The character whose next training another panel has laid out; '' = nobody's. */
  trainingLaidOut: '',
};

/**
 * The newest state, where a panel is shown: without one there is none.
 * @returns {PageState}
 */
export function pageState() {
  if (!app.state) throw new Error('The state is not known yet.');
  return app.state;
}

/**
 * The element `#sameface`, where something is drawn into it.
 * @returns
 */
export function pageRoot() {
  if (!app.mount) throw new Error('The page is not there yet.');
  return app.mount;
}

/** Whether somebody can see the page. */
export function visible() {
  const root = app.mount;
  return Boolean(root && root.isConnected && !document.hidden && root.getClientRects().length);
}
