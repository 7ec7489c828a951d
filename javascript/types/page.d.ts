/** What the page's modules know of their host and of the elements that they make; for the type checker alone. */

/** The element that `el` makes for a tag; "svg:line" makes one of a drawing. */
type ElementOf<T extends string> = T extends `svg:${infer S}`
  ? S extends keyof SVGElementTagNameMap
    ? SVGElementTagNameMap[S]
    : SVGElement
  : T extends keyof HTMLElementTagNameMap
    ? HTMLElementTagNameMap[T]
    : HTMLElement;

/** A function of which nothing is said. */
type Run = (...given: any[]) => any;

interface Window {
  gradioApp?: () => Document | ShadowRoot;
  updateInput?: (box: Element) => void;
  switch_to_txt2img?: () => void;
}

/** The host's translations: English to the user's language. */
declare var localization: Record<string, string> | undefined;

/** What our own parts carry beside what a browser gives each element; each part's documentation says what it means. */
interface Element {
  // an HTML element's, which all elements of the page are but those of drawings
  dataset: DOMStringMap;
  hidden: any;
  disabled?: any;
  draggable: boolean;
  download?: any;
  focus(options?: FocusOptions): void;
  // our own
  set?: any;
  update?: any;
  shown?: any;
  setChoices?: any;
  setMain?: any;
  parts?: any;
  refused?: any;
  chosen?: any;
  ask?: any;
  input?: any;
  button?: any;
  sfNodes?: Map<string, Element>;
  sfWatched?: boolean;
}

/** Where an event has happened: in an element. */
interface EventTarget {
  closest?: (selector: string) => HTMLElement | null;
  tagName?: string;
}

/** The root of a node: the document, or the shadow root that a host draws into. */
interface Node {
  getElementById?: (id: string) => HTMLElement | null;
  activeElement?: Element | null;
}
