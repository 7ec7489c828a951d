/** What the page's modules know of their host, of each other and of the elements that they make; for the type checker. */

/** The element that `el` makes for a tag; "svg:line" makes one of a drawing. */
type ElementOf<T extends string> = T extends `svg:${infer S}`
  ? S extends keyof SVGElementTagNameMap
    ? SVGElementTagNameMap[S]
    : SVGElement
  : T extends keyof HTMLElementTagNameMap
    ? HTMLElementTagNameMap[T]
    : HTMLElement;

/** What an element is made with: `class`, `text`, `aria`, `data`, `on`, and its properties or attributes by name. */
interface ElementProps {
  class?: string;
  text?: string | number | null;
  aria?: Record<string, string>;
  data?: Record<string, string | number>;
  on?: { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
  [name: string]: unknown;
}

/** What can be put into an element; null and false are left out. */
type Child = Node | string | number | null | undefined | false | Child[];

/** What is to be run, whatever comes of it. */
type Action = () => unknown;

interface Window {
  gradioApp?: () => Document | ShadowRoot;
  updateInput?: (box: Element) => void;
  switch_to_txt2img?: () => void;
  localization?: Record<string, string>;
}

/** The host's translations: English to the user's language. */
declare var localization: Record<string, string> | undefined;

/** An error whose message is a sentence for the user. */
interface PageError extends Error {
  /** Of the answer; 0 = there was none. */
  status?: number;
  /** That a route refuses; empty = none. */
  field?: string;
  /** It is said on the page already. */
  shown?: boolean;
}

/** What is shown: one of the steps of a character, or something else; empty = nothing yet. */
type Step =
  'photos' | 'captions' | 'train' | 'test' | 'use' | 'produce' | 'library' | 'doctor' | 'new' | 'edit' | 'invent' | '';

/** What is shown for a step. */
interface Panel {
  /** Is called again with a new root when the host draws its page anew. */
  mount: (root: HTMLElement) => unknown;
  update?: Action;
  shown?: Action;
  hidden?: Action;
}

/** A checkpoint of a run at a weight. */
interface Cell {
  run: string;
  step: number;
  weight: number;
}

/** A tone, or that something is being done. */
type ShownTone = Tone | 'busy';

/** A button of a panel's first line. */
interface LeadButton {
  label: string;
  do: Action;
  main?: boolean;
  danger?: boolean;
  title?: string;
  disabled?: boolean;
}

/** A panel's first line. */
interface Lead {
  tone?: ShownTone;
  text?: string;
  detail?: string | null;
  buttons?: (LeadButton | null | undefined | false)[];
}

interface ButtonOptions {
  main?: boolean;
  danger?: boolean;
  small?: boolean;
  quiet?: boolean;
  title?: string;
  disabled?: boolean;
  label?: string;
}

type ActionButton = HTMLButtonElement & { setMain: (yes: boolean) => void };

interface Choice {
  value: string | number;
  text: string;
}

type SelectBox = HTMLSelectElement & { setChoices: (list: Choice[], chosen?: string | number) => void };

/** One of several radio buttons. */
interface RadioChoice {
  value: string;
  text: string;
  help?: string;
  disabled?: boolean;
}

type RadioGroup = HTMLFieldSetElement & { chosen: string; setChoices: (all: RadioChoice[]) => void };
type Checkbox = HTMLLabelElement & { input: HTMLInputElement };
type TextField = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

/** A name and a value of a list; without a text it is left out. */
interface Fact {
  name: string;
  text: string | number | null | undefined;
  tone?: string;
}

/** What is wrong with a field. */
interface Fault {
  target: HTMLElement;
  text: string;
}

/** Something that is said as long as it is not there. */
type MaybeFault = Fault | null | undefined | false | '';

/** A line of a chart. */
interface ChartLine {
  name: string;
  points: number[][];
  tone?: string;
  dots?: boolean;
  bars?: number[][];
  hint?: string;
}

/**
 * A chart. `xStep`: the least distance of two marks of the axis, 1 where it is left out; `xMax`: the axis reaches as far
 * at least; `near`: lines that have no value at a place say their nearest one.
 */
interface ChartOptions {
  title: string;
  series: ChartLine[];
  xLabel?: string;
  yLabel?: string;
  xStep?: number;
  xFormat?: (value: number) => string;
  yFormat?: (value: number) => string;
  xMin?: number;
  xMax?: number;
  yMin?: number;
  yMax?: number;
  near?: boolean;
  empty?: string;
}

/** From values to pixels, and the ticks of both axes. */
interface ChartScale {
  x: (value: number) => number;
  y: (value: number) => number;
  xTicks: number[];
  yTicks: number[];
  xText: (value: number) => string;
  yText: (value: number) => string;
}

/** What is asked for again and again while somebody looks. */
interface Beat {
  set: (wanted: boolean) => void;
  now: () => Promise<void>;
}

/** One side of a large picture. */
interface LargeSide {
  url: string;
  alt: string;
  label: string;
  caption: string;
}

/** A picture as the lightbox takes it; `nearest` is the file name of the photo that is shown first. */
interface LargeItem {
  name: string;
  words: string;
  nearest: string | null | undefined;
  base: LargeSide | null;
  lora: LargeSide | null;
}
