/** What the routes answer, as far as the page reads it; `tests/ui/test_answer_types.py` holds it against the routes. */

// Sentences

/** A value in a sentence: a number, a text, a part of the sentence, or a list of these. */
type MessageValue = string | number | boolean | null | Message | MessageValue[];

/** A sentence that can be translated. */
interface Message {
  code?: string;
  template: string;
  values?: Record<string, MessageValue>;
}

/** A sentence in English and as a message, with its tone. */
interface Said {
  tone: Tone;
  text: string;
  message: Message | null;
}

// `/state`

interface PageState {
  version: string;
  folder: string;
  host: HostFacts;
  limits: PageLimits;
  words: PageWords;
  supervisor: { active: boolean; reason: string };
  characters: Character[];
  queue: QueueState;
}

interface HostFacts {
  name: string;
  version: string;
  remote: boolean;
  paints: boolean;
  refuses: Record<string, string>;
  samplers: string[];
  detailer: string;
  gpu: boolean | null;
  photos: string[];
}

interface QueueState {
  paused: boolean;
  notice: string;
  more: number;
  jobs: Job[];
}

interface Consent {
  kind: ConsentKind;
  date: string;
}

interface Character {
  slug: string;
  name: string;
  trigger: string;
  class_word: string;
  consent: Consent | null;
  traits: string[];
  notes: string;
  photos: Said & { count: number; used: number; proposed: number; audited: boolean };
  captions: Said & { written: number; of: number; problems: number };
  train: Said & { run: string; steps: number; total: number };
  test: Said & { run: string; grid: string; headline: string };
  use: Said;
  produce: Said;
  undo: { what: string; t: number } | null;
  invented: { stage: string } | null;
  next: Step;
  cover: string;
  touched: number;
}

interface JobProgress {
  phase: string;
  name: string;
  text: string;
  done: number;
  total: number;
  counted: boolean;
  slow: boolean;
  seconds_left: number | null;
  loss: number | null;
  memory: number | null;
  rate: number | null;
  warnings: string[];
}

/** What came of a job, as far as its kind says it. */
interface JobResult {
  run?: string;
  grid?: string;
  step?: number;
  weight?: number;
  certainty?: string;
  sentence?: string;
  alike?: Record<string, number>;
  best?: number | null;
  best_turns?: boolean | null;
}

interface Job {
  id: number;
  kind: JobKind;
  lane: JobLane;
  character: string;
  slug: string;
  step: string;
  announced: boolean;
  state: JobState;
  open: boolean;
  broken: boolean;
  unfinished: boolean;
  order: number;
  tone: Tone | 'busy';
  created: number;
  started: number | null;
  ended: number | null;
  run: string;
  error: string;
  code: string;
  result: JobResult;
  wish: JobWish;
  arguments: { run?: string | null; steps?: number | null; settings?: { steps?: number } };
  text: string;
  base_gone: string;
  standing: JobProgress | null;
  cost: { so_far: string; total: string; cap: string; billed: string } | null;
}

// Photos and captions

interface Photo {
  file: string;
  sha256: string;
  tone: Tone;
  tones?: Record<string, Tone>;
  word: string;
  sentence: string;
  findings: string[];
  messages?: (Message | null)[];
  decision: 'keep' | 'drop' | null;
  used: boolean;
  width: number;
  height: number;
  caption: string;
}

interface PhotoFinding {
  code: string;
  text: string;
  message: Message | null;
  tone: Tone;
}

interface PhotosView {
  counts: string;
  messages: { counts?: Message };
  findings: PhotoFinding[];
  missing: string[];
  coverage: Record<string, Record<string, number>>;
  people: string[][];
  photos: Photo[];
}

/** What came of photos that were given. */
interface PhotosTaken {
  added: string[];
  known: number;
  skipped: string[];
  twice: string[];
  split: string[];
}

interface PhotoImport {
  source: string;
  done: number;
  total: number;
}

interface Caption {
  file: string;
  sha256: string;
  text: string;
  used: boolean;
  problems: string[];
  messages: (Message | null)[];
}

interface CaptionsView {
  captions: Caption[];
  phrases: { phrase: string; captions: number }[];
  problems: string[];
  messages: (Message | null)[];
  plain: string;
  can_undo: boolean;
  undo_text: string;
}

interface Captioner {
  name: string;
  text: string;
  ready: boolean;
  why: string;
  default?: boolean;
}

interface TriggerWord {
  trigger: string;
  tokens: string[];
  problems: string[];
}

// Inventing

interface InventedPicture {
  number: number;
  url: string;
  kept: boolean;
  why: string;
  said: string;
  doubt: string | null;
  likeness: number | null;
  prompt: string;
  mirrored: boolean;
}

interface InventionRound {
  painted: number;
  kept: number;
}

interface InventionView {
  stage: string;
  describe: string;
  base: string;
  seed: number;
  picked: { url: string } | null;
  candidates: InventedPicture[];
  more: InventedPicture[];
  painted: number;
  kept: number;
  mirrored: number;
  reasons: { said: string; count: number }[];
  rounds: { without: InventionRound; with: InventionRound | null };
  lora: string;
}

// Training

interface BaseModel {
  title: string;
  path: string;
  family: string;
  usable: boolean;
  why: string;
  pending: boolean;
  current: boolean;
}

type SettingValue = string | number | boolean | null | string[];
type Settings = Record<string, SettingValue>;

interface SettingField {
  key: string;
  label: string;
  text: string;
  kind: 'int' | 'float' | 'bool' | 'choice' | 'text' | 'lines';
  choices: SettingValue[];
  default: SettingValue;
  group: string;
  example: string;
}

interface TrainPlan {
  preset: string;
  presets: { name: string; text: string }[];
  fitted: string;
  fitted_settings: Settings;
  settings: Settings;
  fields: SettingField[];
  only_when_asked: Settings;
}

interface Estimate {
  text: string;
  photos: number;
  own: number;
  fewest: number;
  captioned: number;
  steps: number;
  checkpoints: number;
  disk_bytes: number;
  free_bytes: number;
  problems: string[];
  measured: { seconds: number; painting: number; peak_memory: number | null; device: string; run: string } | null;
}

interface GridEntry {
  id: string;
  step: number | null;
  weight: number;
  kind: string;
  headline: string;
  judged: boolean;
  tone: Tone;
  retention: number | null;
  made: number | null;
  more: string[];
}

interface RunRecord {
  id: string;
  created: number;
  base: string;
  base_path: string;
  base_there: boolean;
  family: string;
  preset: string;
  photos: number;
  steps: number;
  total: number;
  checkpoints: number[];
  saved: number;
  step_to_use: number;
  grids: GridEntry[];
  resumable: boolean;
  lent: boolean;
  best?: string;
}

interface SamplePicture {
  step: number;
  number: number;
  url: string;
  prompt: string;
  role: string;
}

interface RunDetails extends RunRecord {
  loss: number[][];
  probe: number[][];
  likeness: ({ step: number; why?: string } & Partial<Record<NumberCode, number | null>>)[];
  samples: SamplePicture[];
  warnings: string[];
  settings: Settings;
  asked: Settings;
}

// Tests

interface QualityNumber {
  code: NumberCode;
  label: Message;
  value: number | null;
  tone: Tone;
  meaning: Message;
  why_not: Message | null;
}

interface PictureMark {
  word: string;
  tone: Tone;
}

interface GridRow {
  role: 'lora' | 'base' | 'leak';
  name: string;
  prompt: string;
  seed: number | null;
  status: PictureStatusCode | null;
  mark: PictureMark | null;
  copy: boolean;
  likeness: number | null;
  reason?: string;
  nearest?: string | null;
  url: string;
}

interface VerdictMessages {
  headline?: Message;
  because?: Message;
  advice?: Message;
  notes?: (Message | null)[];
}

interface Verdict {
  tone: Tone;
  headline: string;
  because: string;
  advice: string;
  notes: string[];
  messages: VerdictMessages;
}

/** What a button of the advice does. */
interface AdviceAction {
  do: string;
  arguments: { run?: string; step?: number; weight?: number; settings?: Settings };
}

interface AdviceButton extends AdviceAction {
  label: string;
  message: Message;
  main: boolean;
}

interface ReferencePhoto {
  file: string;
  sha256: string;
  likeness: number | null;
}

interface TestedCell {
  step: number;
  weight: number;
  retention: number;
}

interface ShareOfPictures {
  name: string;
  hits: number;
  of: number;
  low: number;
  high: number;
}

interface Grid {
  id: string;
  run: string;
  step: number | null;
  weight: number;
  more: string[];
  verdict: Verdict | null;
  facts: { leak?: number | null; leak_cells?: number; adherence?: number | null };
  kept: Message | null;
  measured: { name: string; kind: string; value: number }[];
  about_likeness: string;
  numbers: QualityNumber[];
  rows: GridRow[];
  photos: ReferencePhoto[];
  tested: TestedCell[];
  shares: ShareOfPictures[];
  missed: string[];
  missed_messages: (Message | null)[];
  buttons: AdviceButton[];
  html: string;
}

interface CombinedPoint {
  weight: number;
  retention: number | null;
  low: number | null;
  high: number | null;
}

interface Combined {
  run: string;
  step: number;
  weight: number;
  lora: string;
  verdict: Omit<Verdict, 'notes'>;
  points: CombinedPoint[];
  pictures: number;
  html: string;
}

interface OtherLora {
  file: string;
  name: string;
}

// Using

interface LoraFile {
  file: string;
  name: string;
  bytes: number;
  url: string;
  prompt: string;
}

interface UsedLora {
  file: string;
  shown: boolean | null;
  why: string;
  infotext: string;
  prompt: string;
  trigger: string;
  text: string;
}

// Producing

interface ProducedPicture {
  file: string;
  item: number;
  attempt: number;
  row: number;
  prompt: string;
  words: string;
  seed: number;
  passed: boolean;
  decision: 'keep' | 'drop' | null;
  reason: FailReason;
  said: string;
  likeness: number | null;
  nearest: string | null;
  hash: string;
  url: string;
}

interface ProductionState {
  id: string;
  run: string;
  step: number;
  weight: number;
  second_pass: number;
  detailer: string;
  wanted: number;
  kept: number;
  painted: number;
}

interface ProductionEntry extends ProductionState {
  error: string;
}

interface Production extends ProductionState {
  mark: string;
  job: number | null;
  whole: boolean;
  given_up: number;
  first_try: { value: number; low: number; high: number } | null;
  tries: number | null;
  reasons: { reason: FailReason; count: number }[];
  similar_bits: number;
  decisions: Record<string, 'keep' | 'drop'>;
  pictures: ProducedPicture[];
  page: string;
  archive: string;
  signing: 'own' | 'home-made' | 'missing';
  signing_text: string;
}

// The library

interface Assessment {
  lights: Record<LicencePurpose, { light: LicenceLight; reasons: string[]; messages: Message[] }>;
  warnings: string[];
  warning_messages: Message[];
  warning_tones: Tone[];
  refused: boolean;
  adult: boolean | null;
}

interface Together extends Assessment {
  of_a_training: Partial<Record<LicencePurpose, string>>;
}

interface ModelOnCivitai {
  known: boolean;
  asked: number | null;
  title: string;
  kind: string | null;
  trained_words: string[];
  poi: boolean | null;
  permits: { text: string; allowed: boolean | null }[];
  summary: { page: string; creator: string; base_model: string };
  assessment: Assessment;
}

interface LibraryModel {
  kind: 'base' | 'lora';
  name: string;
  file: string;
  bytes: number;
  preview: boolean;
  civitai: ModelOnCivitai | null;
  trouble: string | null;
}

interface StarterModel {
  key: string;
  title: string;
  text: string;
  host: string;
  bytes: number;
  licence: { name: string; address: string; note: string };
  there: boolean;
}

interface CivitaiSettings {
  state: 'agreed' | 'off' | '';
  site: string;
  host: string;
  sent: string;
  kept_in: string;
}

interface Library {
  civitai: CivitaiSettings;
  purposes: Record<LicencePurpose, string>;
  models: LibraryModel[];
  trouble: string;
  starters: StarterModel[];
  folders: Record<string, string>;
  remote: boolean;
}

/** What a search for a model on Civitai has found. */
interface FoundModel extends ModelOnCivitai {
  what: string;
  versions: { value: string; text: string }[];
  version: string;
  files: { value: string; text: string; bytes: number }[];
  file: string;
  goes_to: 'base' | 'lora';
  refusal: { code: string; message: string } | null;
}

interface LibraryTask<Result> {
  kind: 'look' | 'find' | 'fetch';
  number: number;
  about: string;
  done: number;
  total: number;
  state: LibraryTaskState;
  error: { code: string; message: string } | null;
  result: Result | null;
}

type LookTask = LibraryTask<{ looked: number; troubles: unknown[] }> & { kind: 'look' };
type FindTask = LibraryTask<FoundModel> & { kind: 'find' };
type FetchTask = LibraryTask<{ file: string; name: string }> & { kind: 'fetch' };

// Other machines

interface Place {
  on: string;
  name: string;
  checked: boolean;
  title: string;
  text: string;
  sent: string;
}

interface RunpodAccount {
  /** As a job names a GPU that is rented there. */
  on: string;
  available: boolean;
  kept_in: string;
  currency: string;
  per_usd: number;
  hours: number;
  cap: number;
  hours_range: number[];
  cap_range: number[];
  sent: string;
  sent_to_paint: string;
}

/** What a job may rent; what is left out is as usual. */
interface RentalWish {
  gpus?: string[];
  hours?: number;
  cap?: number;
  regions?: string[];
  anew?: boolean;
}

interface PlannedPaint {
  what: 'test' | 'choose' | 'produce';
  count: number;
  minutes: number | null;
  total: string;
}

interface RentOffer {
  id: string;
  name: string;
  memory: number;
  stock: string;
  hourly: string;
  hours: number;
  most: string;
  changed: string;
  minutes: number | null;
  pace: { seconds: number; run: string } | null;
  rented_minutes: number | null;
  total: string;
  fits: boolean;
  gpu_cost: string;
  disk_cost: string;
  disk: number;
  paints: PlannedPaint[];
}

interface RentQuote {
  need: number | null;
  steps: number;
  pictures: boolean;
  preparing: { minutes: number; known: boolean };
  offers: RentOffer[];
  tried: string[];
  spent: string;
  left?: string;
  limits?: { hours: number; cap: number };
  refused?: { text: string; code: string } | null;
}

interface RentedPod {
  name: string;
  text: string;
  job: number | null;
}

interface SentList {
  photos: { name: string; bytes: number; faces: number; caption: string; original: string }[];
  photo_bytes: number;
  characters: { name: string; trigger: string; class_word: string; consent: Consent | null; traits: string[] | null }[];
  files: Record<string, number>;
  run_files: Record<string, number>;
  settings: Settings;
  base: string;
  base_bytes: number;
  base_address: string;
  base_there: boolean | null;
}

// The Doctor and the settings

/** `name`, `text` and `mend` are English, as a terminal shows them; the page shows the messages. */
interface DoctorCheck {
  code: string;
  name: string;
  tone: Tone;
  text: string;
  mend: string;
  title: Message;
  message: Message;
  remedy: Message | null;
}

interface DoctorView {
  checks: DoctorCheck[];
  folders: Record<string, string | string[] | null>;
  text: string;
}

interface Preferences {
  allow_painting: boolean;
  then_test: boolean;
  comfyui: string | null;
  worker_python: string | null;
  engine: string | null;
  currency: string;
  per_usd: number;
}

interface DeletedCharacter {
  folder: string;
  name: string;
  when: string;
}

/** What a GET request is answered with; the first that fits counts. */
// prettier-ignore
type AnswerOf<P extends string> =
  P extends `/state${string}` ? StateAnswer
  : P extends '/waits' ? { job: Job | null }
  : P extends `/triggers/check${string}` ? { problems: string[] }
  : P extends `/triggers${string}` ? { triggers: TriggerWord[] }
  : P extends '/deleted' ? DeletedCharacter[]
  : P extends `/characters/${string}/invention` ? InventionView
  : P extends `/characters/${string}/photos` ? PhotosView
  : P extends `/characters/${string}/imports` ? PhotoImport[]
  : P extends `/characters/${string}/captions` ? CaptionsView
  : P extends '/captioners' ? Captioner[]
  : P extends '/bases' ? BaseModel[]
  : P extends `/plan${string}` ? TrainPlan
  : P extends '/places' ? Place[]
  : P extends '/runpod' ? RunpodAccount
  : P extends '/pods' ? RentedPod[]
  : P extends `/jobs/${string}/log` ? { lines: string[] }
  : P extends `/characters/${string}/runs/${string}/grids/${string}?since=${string}` ? PartChanges<Grid>
  : P extends `/characters/${string}/runs/${string}/grids/${string}` ? Grid
  : P extends `/characters/${string}/runs/${string}/lora/${string}` ? LoraFile
  : P extends `/characters/${string}/runs/${string}?since=${string}` ? PartChanges<RunDetails>
  : P extends `/characters/${string}/runs/${string}` ? RunDetails
  : P extends `/characters/${string}/runs` ? RunRecord[]
  : P extends '/loras' ? OtherLora[]
  : P extends `/characters/${string}/combined` ? Combined[]
  : P extends `/characters/${string}/productions/${string}` ? Production
  : P extends `/characters/${string}/productions` ? ProductionEntry[]
  : P extends '/library' ? Library
  : P extends '/library/tasks' ? (LookTask | FindTask | FetchTask)[]
  : P extends '/doctor' ? DoctorView
  : P extends '/settings' ? Preferences
  : unknown;

/** What a POST request is answered with; the first that fits counts. */
// prettier-ignore
type PostAnswerOf<P extends string> =
  P extends '/characters' ? Character
  : P extends `/characters/${string}/delete` ? { moved_to: string }
  : P extends `/characters/${string}/forget_faces` ? { deleted: number }
  : P extends `/characters/${string}/captions/undo` ? CaptionsView
  : P extends `/characters/${string}/undo` ? { undone: string }
  : P extends '/deleted/bring_back' ? Character
  : P extends `/characters/${string}/invented/pick` ? InventionView
  : P extends `/characters/${string}/invented/own` ? InventionView
  : P extends `/characters/${string}/photos` | `/characters/${string}/photos/from_path` ? PhotosTaken
  : P extends `/characters/${string}/imports/stop` ? PhotoImport[]
  : P extends `/characters/${string}/captions/fill` ? Job
  : P extends `/characters/${string}/captions${string}` ? CaptionsView
  : P extends `/characters/${string}/estimate` ? Estimate
  : P extends `/characters/${string}/sent` ? SentList
  : P extends `/characters/${string}/rent` | `/characters/${string}/rent-on` ? RentQuote
  : P extends '/places' ? Place & { said: string }
  : P extends '/runpod/key' | '/runpod/key/forget' | '/library/token' | '/library/token/forget' ? { kept_in: string }
  : P extends '/jobs' | `/jobs/${string}/stop` | `/jobs/${string}/pause` | `/jobs/${string}/resume` ? Job
  : P extends `/characters/${string}/use` ? UsedLora
  : P extends `/characters/${string}/productions/${string}/continue` ? { production: string; job: Job }
  : P extends `/characters/${string}/productions` ? { production: string; job: Job }
  : P extends '/library/consent' | '/library/site' ? CivitaiSettings
  : P extends '/library/together' ? Together
  : P extends '/settings' ? Preferences
  : unknown;

/** The answer of `/state` with `since`. */
interface StateAnswer {
  mark: string;
  changed?: Partial<Omit<PageState, 'characters' | 'queue'>> & { queue?: Omit<QueueState, 'jobs'> };
  lists?: { characters: ListChanges<Character>; jobs: ListChanges<Job> };
}

/** The answer of other routes with `since`: the parts that have changed, none where nothing has. */
interface PartChanges<Whole> {
  mark: string;
  changed?: Partial<Whole>;
}

interface ListChanges<One> {
  keys: (string | number)[];
  changed: One[];
}
