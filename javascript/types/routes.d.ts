/** The paths and bodies of the routes. Generated from them: `python -m lib_lora.ui.routes.route_table --types`. */

/** The paths of GET requests. */
type GetPath =
  | `/state${string}`
  | `/waits`
  | `/triggers${string}`
  | `/triggers/check${string}`
  | `/deleted`
  | `/characters/${string}/invention`
  | `/characters/${string}/invented/candidates/${string}${string}`
  | `/characters/${string}/invented/more/${string}${string}`
  | `/characters/${string}/photos`
  | `/characters/${string}/photos/${string}/thumbnail`
  | `/characters/${string}/photos/${string}/picture`
  | `/characters/${string}/imports`
  | `/characters/${string}/captions`
  | `/captioners`
  | `/bases`
  | `/plan${string}`
  | `/places`
  | `/runpod`
  | `/pods`
  | `/jobs`
  | `/jobs/${string}`
  | `/jobs/${string}/events${string}`
  | `/jobs/${string}/log`
  | `/characters/${string}/runs`
  | `/characters/${string}/runs/${string}${string}`
  | `/characters/${string}/runs/${string}/samples/${string}`
  | `/characters/${string}/runs/${string}/grids/${string}${string}`
  | `/characters/${string}/runs/${string}/grids/${string}/pictures/${string}`
  | `/characters/${string}/runs/${string}/grids/${string}/report.html`
  | `/characters/${string}/runs/${string}/grids/${string}/sheet.png`
  | `/loras`
  | `/characters/${string}/combined`
  | `/characters/${string}/runs/${string}/combined/${string}/combined.html`
  | `/characters/${string}/runs/${string}/lora/${string}${string}`
  | `/characters/${string}/runs/${string}/lora/${string}/file`
  | `/characters/${string}/productions`
  | `/characters/${string}/productions/${string}${string}`
  | `/characters/${string}/productions/${string}/pictures/${string}${string}`
  | `/characters/${string}/productions/${string}/production.html`
  | `/characters/${string}/productions/${string}/pictures.zip${string}`
  | `/library`
  | `/library/preview${string}`
  | `/library/tasks`
  | `/doctor`
  | `/settings`
  | `/schema`;

/** The paths of POST requests, with their bodies. */
interface Posts {
  /** Create a character; photos are added later. */
  '/characters': { path: `/characters`; body: { name: string; trigger: string; class_word: string; consent?: string | null; traits?: (string)[] } };
  /** Change a character; a changed trigger or class word is also changed in its captions. */
  '/characters/{slug}': { path: `/characters/${string}`; body: { consent?: string | null; trigger?: string | null; class_word?: string | null; traits?: (string)[] | null; notes?: string | null } };
  /** Delete a character: its folder moves to `deleted` and can be restored; data computed from the face is erased. */
  '/characters/{slug}/delete': { path: `/characters/${string}/delete`; body: { name: string } };
  /** Delete everything computed from a character's face: embeddings, templates, thumbnails, the audit's measurements. */
  '/characters/{slug}/forget_faces': { path: `/characters/${string}/forget_faces`; body: {} };
  /** Undo the newest change to a character: decisions on photos, removed photos, its words, consent. */
  '/characters/{slug}/undo': { path: `/characters/${string}/undo`; body: { t?: number | null } };
  /** Move photos out of the folder of photos, into `removed` beside it; this can be undone. */
  '/characters/{slug}/photos/remove': { path: `/characters/${string}/photos/remove`; body: { files: (string)[] } };
  /** Restore a deleted character. */
  '/deleted/bring_back': { path: `/deleted/bring_back`; body: { folder: string } };
  /** Choose one candidate as the character's face: it becomes the first photo. */
  '/characters/{slug}/invented/pick': { path: `/characters/${string}/invented/pick`; body: { number: number } };
  /** Use one of the user's own pictures as the character's face: it becomes the first photo. */
  '/characters/{slug}/invented/own': { path: `/characters/${string}/invented/own`; body: { name: string; data: string; base: string; describe?: string } };
  /** Import a picture, or a zip of pictures. */
  '/characters/{slug}/photos': { path: `/characters/${string}/photos`; body: { name: string; data: string } };
  /** Import the pictures of a file, folder or zip on the webui's own machine. */
  '/characters/{slug}/photos/from_path': { path: `/characters/${string}/photos/from_path`; body: { path: string } };
  /** Audit the photos as a job, and record decisions on some of them. */
  '/characters/{slug}/audit': { path: `/characters/${string}/audit`; body: { resolution?: number; keep?: (string)[]; drop?: (string)[]; undecided?: (string)[]; accept?: boolean } };
  /** Stop the imports of a character; what has been imported stays. The response lists the stopped imports. */
  '/characters/{slug}/imports/stop': { path: `/characters/${string}/imports/stop`; body: {} };
  /** Write the caption of one photo. */
  '/characters/{slug}/captions': { path: `/characters/${string}/captions`; body: { file: string; text: string } };
  /** Edit a phrase in many captions. */
  '/characters/{slug}/captions/edit': { path: `/characters/${string}/captions/edit`; body: { do: string; phrase: string; by?: string | null; place?: number | null; only?: (string)[] | null } };
  /** Undo the newest change of the captions. */
  '/characters/{slug}/captions/undo': { path: `/characters/${string}/captions/undo`; body: {} };
  /** Write captions from what the photos show, as a job. */
  '/characters/{slug}/captions/fill': { path: `/characters/${string}/captions/fill`; body: { captioner?: string; rewrite?: boolean; only?: (string)[] } };
  /** What a training would take: steps, disk space, and time and memory if they have been measured; and how many of its photos have a caption that says more than who it is. */
  '/characters/{slug}/estimate': { path: `/characters/${string}/estimate`; body: { base: string; preset?: string | null; settings?: Record<string, unknown>; on?: string } };
  /** Add a machine once SameFace has logged in and checked it; it replaces one of the same name. A cluster without free resources is added unchecked, and `said` says so. */
  '/places': { path: `/places`; body: { name: string; address: string; key?: string; folder?: string; python?: string; storage?: string; code?: string } };
  /** Check again what a machine has. */
  '/places/{name}/check': { path: `/places/${string}/check`; body: {} };
  /** Forget a machine; its files there are kept. */
  '/places/{name}/remove': { path: `/places/${string}/remove`; body: {} };
  /** What a training would send to another machine: each photo, caption and setting. */
  '/characters/{slug}/sent': { path: `/characters/${string}/sent`; body: { base: string; preset?: string | null; settings?: Record<string, unknown>; on?: string; base_address?: string } };
  /** Store RunPod's API key; no answer contains it. */
  '/runpod/key': { path: `/runpod/key`; body: { key: string } };
  /** Forget RunPod's API key; one in the environment of this program stays. */
  '/runpod/key/forget': { path: `/runpod/key/forget`; body: {} };
  /** What RunPod offers now for a training, with prices, minutes and sums; what was spent for this character. */
  '/characters/{slug}/rent': { path: `/characters/${string}/rent`; body: { base: string; preset?: string | null; settings?: Record<string, unknown>; rental?: { gpus?: (string)[]; dearest?: number | null; hours?: number; cap?: number; cloud?: 'SECURE' | 'COMMUNITY'; regions?: (string)[]; anew?: boolean } } };
  /** What RunPod offers now to continue a run, with prices, minutes and sums, or why nothing is available (`refused`); the limits that hold for the run as long as no others are given, and what is left of those that are asked for. */
  '/characters/{slug}/runs/{run}/rent-on': { path: `/characters/${string}/runs/${string}/rent-on`; body: { steps?: number | null; rental?: { gpus?: (string)[]; dearest?: number | null; hours?: number; cap?: number; cloud?: 'SECURE' | 'COMMUNITY'; regions?: (string)[]; anew?: boolean } } };
  /** What RunPod offers now to paint pictures with a run's LoRA, with prices, minutes and sums; what is left of the limits of the run. */
  '/characters/{slug}/runs/{run}/rent': { path: `/characters/${string}/runs/${string}/rent`; body: { prompts?: number; production?: number; steps?: number; side?: number | null; rental?: { gpus?: (string)[]; dearest?: number | null; hours?: number; cap?: number; cloud?: 'SECURE' | 'COMMUNITY'; regions?: (string)[]; anew?: boolean } } };
  /** Delete a pod, and wait until RunPod confirms that it is gone. */
  '/pods/{name}/end': { path: `/pods/${string}/end`; body: {} };
  /** Add a job to the queue. */
  '/jobs': { path: `/jobs`; body: { kind: string; character: string; arguments?: Record<string, unknown> } };
  /** Stop a job; what it has done so far is kept. */
  '/jobs/{number}/stop': { path: `/jobs/${string}/stop`; body: {} };
  /** Pause a running job, and all heavy jobs behind it. */
  '/jobs/{number}/pause': { path: `/jobs/${string}/pause`; body: {} };
  /** Return an unfinished job to the queue. */
  '/jobs/{number}/resume': { path: `/jobs/${string}/resume`; body: {} };
  /** Remove a job that has ended from the list. */
  '/jobs/{number}/forget': { path: `/jobs/${string}/forget`; body: {} };
  /** Move a waiting job to another place in the queue. */
  '/jobs/{number}/move': { path: `/jobs/${string}/move`; body: { before?: number | null } };
  /** Prevent heavy jobs from starting, or let them start again. */
  '/queue': { path: `/queue`; body: { paused: boolean } };
  /** Copy a LoRA to where it is used, with its preview and notes beside it. */
  '/characters/{slug}/use': { path: `/characters/${string}/use`; body: { run: string; step: number; weight?: number; to?: string; folder?: string; code?: string } };
  /** Begin a production, or continue the one with exactly the same values; answers its number and the job. */
  '/characters/{slug}/productions': { path: `/characters/${string}/productions`; body: { count?: number; run?: string | null; step?: number | null; weight?: number | null; tries?: number; seed?: number; line?: 'keep' | 'same'; several?: boolean; negative?: string | null; side?: number | null; steps?: number; cfg?: number | null; sampler?: string; trigger?: boolean; second_pass?: number; prompts: string; painter?: string; on?: string; comfyui?: string; rental?: { gpus?: (string)[]; dearest?: number | null; hours?: number; cap?: number; cloud?: 'SECURE' | 'COMMUNITY'; regions?: (string)[]; anew?: boolean } | null } };
  /** Paint the missing pictures of a production, and replace those that the user has dropped. */
  '/characters/{slug}/productions/{production}/continue': { path: `/characters/${string}/productions/${string}/continue`; body: { on?: string | null; comfyui?: string | null; rental?: { gpus?: (string)[]; dearest?: number | null; hours?: number; cap?: number; cloud?: 'SECURE' | 'COMMUNITY'; regions?: (string)[]; anew?: boolean } | null } };
  /** Keep pictures, drop them, or undo such decisions. */
  '/characters/{slug}/productions/{production}/decisions': { path: `/characters/${string}/productions/${string}/decisions`; body: { decisions?: Record<string, 'keep' | 'drop' | null> } };
  /** Agree that hashes are sent to Civitai, or switch it off. */
  '/library/consent': { path: `/library/consent`; body: { state: 'agreed' | 'off' | '' } };
  /** Set another address of Civitai to ask, such as https://civitai.red. */
  '/library/site': { path: `/library/site`; body: { address?: string } };
  /** Store the API key of the site that is set now; no answer contains it, and it is sent to no other site. */
  '/library/token': { path: `/library/token`; body: { key: string } };
  /** Forget the API key of the site that is asked now; one in the environment of this program stays. */
  '/library/token/forget': { path: `/library/token/forget`; body: {} };
  /** What may be done with a base model and LoRAs that are used together in a picture or a training; of one that cannot be read, nothing is known. */
  '/library/together': { path: `/library/together`; body: { files: (string)[] } };
  /** Look up every model that the webui knows: hashes are computed, and asked for where nothing fresh is known. */
  '/library/look': { path: `/library/look`; body: { refresh?: boolean } };
  /** Find a model on Civitai: what it is, what may be done with it, and which versions and files can be fetched. */
  '/library/find': { path: `/library/find`; body: { what: string; version?: string } };
  /** Fetch a model from Civitai into the webui's folder for its kind; a download that was stopped is continued. */
  '/library/fetch': { path: `/library/fetch`; body: { what: string; version?: string; file?: string } };
  /** Fetch a base model to begin with, from the address in the list. */
  '/library/starter': { path: `/library/starter`; body: { name: string; agreed?: boolean } };
  /** Stop the running task of a kind; what was fetched or found is kept. */
  '/library/stop': { path: `/library/stop`; body: { kind: 'look' | 'find' | 'fetch' } };
  /** Change some settings. */
  '/settings': { path: `/settings`; body: { allow_painting?: boolean | null; then_test?: boolean | null; comfyui?: string | null; worker_python?: string | null; engine?: string | null; currency?: string | null; per_usd?: number | null; code?: string } };
}

type PostPath = Posts[keyof Posts]['path'];

/** The body that a path takes. */
type BodyOf<P extends PostPath> = P extends PostPath ? Bodies<P>[keyof Posts] : never;

type Bodies<P extends PostPath> = {
  [K in keyof Posts]: [P, Posts[K]['path']] extends [Posts[K]['path'], P] ? Posts[K]['body'] : never;
};

/** What the page's forms allow and propose: `limits` in the answer of `/state`. */
interface PageLimits {
  photos: number;
  photos_best: { least: number; most: number };
  face_pixels: number;
  photo_bytes: number;
  face_bytes: number;
  photos_at_once: number;
  suffixes: (string)[];
  accept: (string)[];
  test_pictures: number;
  quick_pictures: number;
  screening_pictures: number;
  combined_pictures: number;
  combined_weights: (number)[];
  name_letters: number;
  trigger_letters: number;
  class_word_letters: number;
  description_letters: number;
  ranges: Record<'grid_steps' | 'weight' | 'side' | 'first_seed' | 'cfg' | 'candidates' | 'seed' | 'count' | 'budget', { least: number; most: number; usual: number | null }>;
  prompt_weight: { least: number; most: number; usual: number | null };
  further_steps: { least: number; share: number; round_to: number };
  per_usd: { least: number; most: number; usual: number | null };
  search: { checkpoints: number; weights: number; confirmed: number; more_steps: number };
  produced: Record<string, { least: number; most: number; usual: number | null }>;
  second_pass: number;
  comfyui: string;
  engine_pack: string;
  asked_times: number;
}

/** The words for the server's codes: `words` in the answer of `/state`. */
interface PageWords {
  numbers: Record<'identity' | 'only_when_asked' | 'obedience' | 'variety', string>;
  number_meanings: Record<'identity' | 'only_when_asked' | 'obedience' | 'variety', string>;
  statuses: Record<string, { tone: 'good' | 'warn' | 'bad' | 'none'; meaning: string }>;
  lights: Record<'green' | 'yellow' | 'unknown' | 'red', { tone: 'good' | 'warn' | 'bad' | 'none'; word: string }>;
  kept_keys: Record<string, Record<string, string>>;
  angles: Record<'profile from the left' | 'from the left' | 'ahead' | 'from the right' | 'profile from the right', string>;
  decisions: Record<string, string>;
  reported_cost: string;
}

type Tone = 'good' | 'warn' | 'bad' | 'none';
type JobState = 'waiting' | 'running' | 'paused' | 'stopped' | 'interrupted' | 'failed' | 'finished';
type JobWish = '' | 'stop' | 'pause';
type JobKind = 'audit' | 'fill' | 'probe' | 'train' | 'test' | 'choose' | 'combine' | 'invent' | 'more' | 'produce';
type JobLane = 'light' | 'heavy' | 'remote';
type NumberCode = 'identity' | 'only_when_asked' | 'obedience' | 'variety';
type LicenceLight = 'green' | 'yellow' | 'unknown' | 'red';
type LicencePurpose = 'pictures' | 'credit' | 'merges' | 'sell' | 'services';
type ConsentKind = 'fictional' | 'myself' | 'consented';
type PictureStatusCode = 'ok' | 'drift' | 'lost' | 'no face' | 'suspect' | 'unreadable' | 'unjudged';
type ProductionLine = 'keep' | 'same';
type FailReason = '' | 'below the line' | 'lost' | 'no face' | 'several people' | 'small' | 'cut' | 'blurred' | 'hidden' | 'copy' | 'unsure' | 'unreadable' | 'not judged';
type LibraryTaskState = 'running' | 'finished' | 'stopped' | 'failed';
