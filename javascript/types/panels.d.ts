/** What the panels of the page keep, and hand to each other. */

type MadeBy<Maker extends (...given: never[]) => unknown> = ReturnType<Maker>;
type LeadLine = MadeBy<typeof import('../tab/widgets/widgets.js').leadLine>;
type ProgressBar = MadeBy<typeof import('../tab/widgets/widgets.js').progressBar>;
type FactList = MadeBy<typeof import('../tab/widgets/form_parts.js').factList>;
type LogFold = MadeBy<typeof import('../tab/jobs/jobs.js').logFold>;
type LineChart = MadeBy<typeof import('../tab/widgets/line_chart.js').lineChart>;

// The page

/** What the browser's title and icon say. */
type SignalState = 'running' | 'finished' | 'failed';
type NotifyBox = Checkbox & { update: () => void };

interface QueueAction {
  label: string;
  run: Action;
}

interface QueueRow extends HTMLElement {
  parts: {
    badge: HTMLElement;
    line: HTMLElement;
    error: HTMLElement;
    bar: ProgressBar;
    row: HTMLElement;
    actions: QueueAction[];
  };
}

// Photos and captions

/** A file that was given; `chosen`: by itself, not found in a folder. */
interface GivenFile {
  file: File;
  folder: string;
  chosen: boolean;
}

interface WaitingFile {
  file: File;
  caption: File | undefined;
}

interface UploadParts {
  bar: ProgressBar;
  line: HTMLElement;
  stop: HTMLButtonElement;
  list: HTMLElement;
}

type Wish = 'keep' | 'drop' | 'undecided';

interface PhotoCard extends HTMLElement {
  parts: {
    photo: Photo;
    word: HTMLElement;
    name: HTMLElement;
    words: HTMLElement;
    keep: ActionButton;
    drop: ActionButton;
  };
}

/** A photo that a picture is held against. */
interface PhotoFile {
  file: string;
  sha256: string;
}

/** A caption that the server does not have yet. */
interface Draft {
  slug: string;
  file: string;
  text: string;
  state: 'dirty' | 'saving' | 'saved' | 'failed';
  error?: string;
  card: CaptionCard;
}

/** Which captions an edit changes. */
interface EditScope {
  kind: 'selected' | 'shown' | 'all';
  files: string[];
}

interface CaptionCard extends HTMLElement {
  parts: {
    slug: string;
    item: Caption;
    input: HTMLTextAreaElement;
    saving: HTMLElement;
    problems: HTMLElement;
    tick: HTMLInputElement;
  };
}

// Inventing

type InventForm = MadeBy<typeof import('../tab/character/invent_form.js').inventForm>;

interface InventCard extends HTMLElement {
  parts: { word: HTMLElement; why: HTMLElement; row: HTMLElement; one: InventedPicture };
}

/** What the buttons of the first line do; `anew`: another face is being described. */
interface InventDoing {
  anew: boolean;
  describe: Action;
  paint: (view: InventionView, candidates: number) => Promise<void>;
  more: Action;
}

// Training

/** What there is of trainings; see `situation` in train.js. */
type TrainSituation =
  | { kind: 'unknown' | 'nothing'; job: null; run: null }
  | { kind: 'trained' | 'stopped'; job: null; run: RunRecord }
  | { kind: JobState; job: Job; run: RunRecord | null };

interface TrainPanel {
  lead: LeadLine;
  live: MadeBy<typeof import('../tab/train/train_live.js').trainingView>;
  more: MadeBy<typeof import('../tab/train/train_runs.js').moreSteps>;
  elsewhere: MadeBy<typeof import('../tab/train/train_elsewhere.js').goOnElsewhere>;
  form: MadeBy<typeof import('../tab/train/train_form.js').trainForm>;
  fresh: HTMLDetailsElement;
  compare: MadeBy<typeof import('../tab/train/train_compare.js').compareRuns>;
  earlier: MadeBy<typeof import('../tab/train/train_runs.js').earlierRuns>;
  beat: Beat;
  details: RunDetails | null;
  slug: string;
  run: string;
  open: string;
  mark: string;
}

/** What is chosen for a new training, as it is kept in the browser. */
interface TrainWish {
  base: string;
  preset: string | null;
  settings: Settings;
  on?: string;
  address?: string;
  rental?: RentalWish;
  then_test?: boolean;
}

/** Another machine to train on, or a rented GPU. */
interface TrainPlaceChoice {
  on: string;
  title: string;
  text: string;
  sent: string;
}

interface TrainFormView {
  node: HTMLElement;
  base: SelectBox;
  on: SelectBox;
  where: HTMLElement;
  rent: MadeBy<typeof import('../tab/elsewhere/rent_form.js').rentForm>;
  sent: HTMLElement;
  address: HTMLInputElement;
  fetched: HTMLElement;
  list: MadeBy<typeof import('../tab/elsewhere/sent_list.js').sentList>;
  preset: RadioGroup;
  fitted: HTMLElement;
  then: Checkbox;
  few: Checkbox;
  unusable: HTMLElement;
  starters: HTMLElement;
  licence: MadeBy<typeof import('../tab/library/base_licence.js').baseLicence>;
  asked: MadeBy<typeof import('../tab/train/only_when_asked.js').onlyWhenAsked>;
  settings: MadeBy<typeof import('../tab/widgets/settings_form.js').settingsForm>;
  fold: HTMLElement;
  cost: MadeBy<typeof import('../tab/train/train_cost.js').trainCost>;
  start: ActionButton;
  later: HTMLElement;
}

interface TrainFormState {
  slug: string;
  bases: BaseModel[] | null;
  places: TrainPlaceChoice[];
  runpod: RunpodAccount | null;
  plan: TrainPlan | null;
  planOf: string;
  planBase: string;
  wanted: TrainWish;
  error: string;
  on: boolean;
  asking: string;
  marked: string;
  /** Timers. */
  later: number;
  timer: number;
  show: () => void;
  view: TrainFormView;
}

/** Where a training is to be done, and whether what is asked for is known. */
interface TrainPlace {
  elsewhere?: boolean;
  rented?: boolean;
  ready?: boolean;
}

/** An estimate, or why there is none. */
type EstimateOrFault = (Estimate & { wrong?: undefined; field?: undefined }) | FailedEstimate;

interface FailedEstimate {
  wrong: string;
  field: string | undefined;
  problems: string[];
  measured?: undefined;
  text?: undefined;
  photos?: undefined;
  own?: undefined;
  fewest?: undefined;
  captioned?: undefined;
}

/** Whose training is estimated, its arguments, and where it would be done. */
interface EstimateAsked {
  slug: string;
  values: { base: string; preset: string | null; settings: Settings };
  on: string;
}

interface TrainCostView {
  node: HTMLElement;
  text: HTMLElement;
  facts: FactList;
  problems: HTMLElement;
  bar: ProgressBar;
  measuring: HTMLElement;
  measure: ActionButton;
}

interface TrainCostState {
  asked: () => EstimateAsked | null;
  changed: () => void;
  estimate: EstimateOrFault | null;
  count: number;
  probe: Job | null;
  place: TrainPlace;
  view: TrainCostView;
}

/** The preset's settings, those that differ from them, and those that one choice stands for. */
interface AskedSettings {
  settings: Settings;
  changes: Settings;
  wanted: Settings;
}

interface AskedPhotos extends AskedSettings {
  photos?: number;
  captioned?: number;
}

interface RunComparison {
  slug: string;
  runs: RunRecord[];
  details: Map<string, RunDetails>;
  asked: Set<string>;
  picked: boolean;
  selects: SelectBox[];
  charts: { loss: LineChart; probe: LineChart; kept: LineChart };
  numbers: MadeBy<typeof import('../tab/train/compare_numbers.js').numbersTable>;
  differs: HTMLElement;
  said: HTMLElement;
  node: HTMLDetailsElement;
}

interface NumbersTable {
  node: HTMLElement;
  numbers: Map<string, QualityNumber[]>;
  asked: Set<string>;
  runs: RunRecord[];
}

// Tests

/** Which grid is shown. */
interface GridChoice {
  run: string;
  id: string;
}

type ShownGrid = Grid & { verdict: Verdict };

/** A grid with its run. */
interface RunGrid {
  run: RunRecord;
  grid: GridEntry;
}

/** A picture of a grid; `coming`: it is still to be painted. */
type ShownRow = GridRow & { coming?: boolean };

/** Pictures of one prompt and seed. */
interface PicturePair {
  key: string;
  name: string;
  base?: ShownRow;
  lora?: ShownRow;
}

type CellChoice = MadeBy<typeof import('../tab/jobs/runs.js').cellChoice>;
type TestForm = MadeBy<typeof import('../tab/test/test_form.js').testForm>;

interface TestFormState {
  slug: string;
  runs: RunRecord[];
  bases: BaseModel[];
  cell: CellChoice;
}

interface TestPanel {
  slug: string;
  shown: GridChoice | null;
  grid: Grid | null;
  live: Grid | null;
  done: string;
  opened: string;
  combinedOf: string;
  coloured: boolean;
  lead: LeadLine;
  bar: ProgressBar;
  said: HTMLElement;
  verdict: MadeBy<typeof import('../tab/test/verdict_card.js').verdictCard>;
  pictures: MadeBy<typeof import('../tab/test/grid_pictures.js').gridPictures>;
  strip: MadeBy<typeof import('../tab/test/grid_pictures.js').photoStrip>;
  chart: MadeBy<typeof import('../tab/test/verdict_card.js').keptChart>;
  facts: MadeBy<typeof import('../tab/test/verdict_card.js').gridFacts>;
  links: HTMLElement;
  log: LogFold;
  form: TestForm;
  another: HTMLDetailsElement;
  combined: MadeBy<typeof import('../tab/test/combined_card.js').combinedCard>;
  earlier: MadeBy<typeof import('../tab/test/earlier_grids.js').earlierGrids>;
  result: HTMLElement;
  beat: Beat;
}

interface NumberNode extends HTMLElement {
  parts: {
    sign: HTMLElement;
    label: HTMLElement;
    value: HTMLElement;
    bar: MadeBy<typeof import('../tab/widgets/number_bars.js').numberBar>;
    why: HTMLElement;
  };
}

// Using and producing

interface FolderRow {
  input: HTMLInputElement;
  node: HTMLElement;
}

interface UsePanel {
  slug: string;
  settings: Partial<Preferences> | null;
  lead: LeadLine;
  cell: CellChoice;
  known: HTMLElement;
  file: MadeBy<typeof import('../tab/jobs/lora_file.js').loraFile>;
  comfy: FolderRow;
  folder: FolderRow;
  comfyRow: HTMLElement;
  folderRow: HTMLElement;
  elsewhere: HTMLElement;
  result: HTMLElement & { set: (used: UsedLora, text?: string) => void };
  choice: HTMLElement;
}

type GalleryFilter = 'kept' | 'failed' | 'byHand' | 'all';

interface ProducePanel {
  slug: string;
  all: ProductionEntry[] | null;
  shown: string;
  production: Production | null;
  opened: string;
  done: number;
  lead: LeadLine;
  bar: ProgressBar;
  said: HTMLElement;
  log: LogFold;
  form: MadeBy<typeof import('../tab/produce/produce_form.js').produceForm>;
  another: HTMLDetailsElement;
  choice: SelectBox;
  choiceField: HTMLElement;
  facts: FactList;
  links: HTMLElement;
  gallery: MadeBy<typeof import('../tab/produce/gallery.js').productionGallery>;
  result: HTMLElement;
  beat: Beat;
}

// The library and the Doctor

interface ModelCard extends HTMLElement {
  parts: { light: HTMLElement; about: HTMLElement; body: HTMLElement };
}

interface LibraryPanel {
  library: Library | null;
  tasks: { look?: LookTask; find?: FindTask; fetch?: FetchTask };
  purpose: LicencePurpose;
  ended: string;
  timer: number;
  files: string[];
  lead: LeadLine;
  fetching: HTMLElement;
  purposes: SelectBox;
  words: HTMLInputElement;
  only: SelectBox;
  choice: HTMLElement;
  cards: MadeBy<typeof import('../tab/library/model_cards.js').modelCards>;
  none: HTMLElement;
  together: HTMLElement;
  find: MadeBy<typeof import('../tab/library/find_model.js').findModel>;
  findPart: HTMLElement;
  starters: MadeBy<typeof import('../tab/library/starter_cards.js').starterCards>;
  startersPart: HTMLElement;
  settings: HTMLDetailsElement & { take: (civitai: CivitaiSettings) => void };
}

interface DoctorPanel {
  lead: LeadLine;
  checks: HTMLElement;
  folders: HTMLElement;
  settings: { node: HTMLElement; take: (settings: Preferences) => void };
  pods: MadeBy<typeof import('../tab/elsewhere/living_pods.js').livingPods>;
  places: MadeBy<typeof import('../tab/elsewhere/places_panel.js').placesPanel>;
  others: HTMLElement;
}

// Renting

/** The body of a request for offers; `run`: that goes on, or that paints. */
interface RentRequest {
  run?: string;
  [argument: string]: unknown;
}

interface RentAsked {
  account: RunpodAccount | null;
  shown: boolean;
  slug: string;
  asked: RentRequest | null;
  rental: RentalWish | undefined;
}

/** What is said where a GPU is rented. */
interface RentWords {
  need: string;
  /** The run has limits, which what is left empty does not raise. */
  own?: boolean;
  limits?: string;
  further: (given: RentalWish) => RentalWish;
  request: (slug: string, asked: RentRequest) => { path: PostPath; body: Record<string, unknown> };
  total: (one: RentOffer) => string;
  changed: (one: RentOffer, need: number | null) => string;
  time: (one: RentOffer, quote: RentQuote) => string;
  most: (one: RentOffer) => string;
}

interface RentFormView {
  key: MadeBy<typeof import('../tab/elsewhere/key_field.js').keyField>;
  pods: MadeBy<typeof import('../tab/elsewhere/living_pods.js').livingPods>;
  list: HTMLElement;
  said: HTMLElement;
  need: HTMLElement;
  time: HTMLElement;
  again: HTMLElement;
  most: HTMLElement;
  mostWords: HTMLElement;
  hours: HTMLInputElement;
  cap: HTMLInputElement;
  capField: HTMLElement;
  region: HTMLSelectElement;
  choice: HTMLElement;
  cost: MadeBy<typeof import('../tab/elsewhere/rent_cost.js').rentCost>;
}

interface RentFormState {
  account: RunpodAccount | null;
  given: RunpodAccount | null;
  limits: { hours: number; cap: number } | null;
  words: RentWords;
  settled: Action;
  shown: boolean;
  slug: string;
  of: string;
  asked: RentRequest | null;
  rental: RentalWish;
  quote: RentQuote | null;
  error: string;
  key: string;
  run: number;
  timer: number;
  choose: (to: RentalWish) => void;
  view: RentFormView;
  node: HTMLElement;
}

/** A view of the chosen character that is asked for when it has changed; see followed_view.js. */
interface FollowedView<View> {
  view: View | null;
  slug: string;
  follow: (slug: string, load: () => Promise<View>, mark: unknown) => boolean;
  take: (slug: string, view: View | null) => void;
  forget: Action;
  away: Action;
}

/** Whose API key is kept: the routes that keep and forget it, and the texts. */
interface KeyService {
  service: string;
  path: '/runpod/key' | '/library/token';
  forget: '/runpod/key/forget' | '/library/token/forget';
  label: string;
  where: string;
  forgotten: string;
}

/** A field of the form of a character; `get` is what the routes take. */
interface CharacterField {
  key: string;
  target: HTMLElement;
  node: HTMLElement;
  set: (character: Partial<Character>) => unknown;
  faults: () => Fault[];
  get: () => Partial<Posts['/characters']['body']>;
}

interface InventParts {
  lead: LeadLine;
  form: InventForm;
  more: MadeBy<typeof import('../tab/character/invent_form.js').inventMoreForm>;
  paint: ActionButton;
  start: ActionButton;
  back: ActionButton;
  begins: HTMLElement;
  goes: HTMLElement;
  face: HTMLElement;
  reasons: HTMLElement;
  filters: HTMLElement;
  faces: HTMLElement;
  pictures: HTMLElement;
  empty: HTMLElement;
  log: LogFold;
  aside: HTMLElement;
}

/** A control for a setting: what is typed, or what is wrong with it. */
interface SettingControl {
  input: TextField;
  write: (value: SettingValue) => unknown;
  read: () => { value?: SettingValue; wrong?: string };
}
