/** The paths and bodies of the routes. Made from them: `python -m lib_lora.ui.routes.schema --types`. */

/** What a GET may ask for. */
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
  | `/jobs`
  | `/jobs/${string}`
  | `/jobs/${string}/events${string}`
  | `/jobs/${string}/log`
  | `/characters/${string}/runs`
  | `/characters/${string}/runs/${string}`
  | `/characters/${string}/runs/${string}/samples/${string}`
  | `/characters/${string}/runs/${string}/grids/${string}`
  | `/characters/${string}/runs/${string}/grids/${string}/pictures/${string}`
  | `/characters/${string}/runs/${string}/grids/${string}/report.html`
  | `/characters/${string}/runs/${string}/grids/${string}/sheet.png`
  | `/characters/${string}/runs/${string}/lora/${string}${string}`
  | `/characters/${string}/runs/${string}/lora/${string}/file`
  | `/doctor`
  | `/settings`
  | `/schema`;

/** What is posted where. */
interface Posts {
  /** Make a character; photos come later. */
  '/characters': { path: `/characters`; body: { name: string; trigger: string; class_word: string; consent?: string | null; traits?: (string)[] } };
  /** Change a character; another trigger or class word is changed in its captions too. */
  '/characters/{slug}': { path: `/characters/${string}`; body: { consent?: string | null; trigger?: string | null; class_word?: string | null; traits?: (string)[] | null; notes?: string | null } };
  /** Put a character away: its folder is moved, and can be moved back by hand. What was computed of the face goes. */
  '/characters/{slug}/delete': { path: `/characters/${string}/delete`; body: { name: string } };
  /** Delete what was computed of a character's faces: embeddings, templates, thumbnails, what the audit measured. */
  '/characters/{slug}/forget_faces': { path: `/characters/${string}/forget_faces`; body: {} };
  /** Take the newest change of a character back: decisions on photos, removed photos, its words, consent. */
  '/characters/{slug}/undo': { path: `/characters/${string}/undo`; body: { t?: number | null } };
  /** Move photos out of the folder of photos, into `removed` beside it; this can be undone. */
  '/characters/{slug}/photos/remove': { path: `/characters/${string}/photos/remove`; body: { files: (string)[] } };
  /** Bring a character back that was put away. */
  '/deleted/bring_back': { path: `/deleted/bring_back`; body: { folder: string } };
  /** Take one candidate for the character's face: it becomes the first photo. */
  '/characters/{slug}/invented/pick': { path: `/characters/${string}/invented/pick`; body: { number: number } };
  /** Take one picture of the user's own for the character's face: it becomes the first photo. */
  '/characters/{slug}/invented/own': { path: `/characters/${string}/invented/own`; body: { name: string; data: string; base: string; describe?: string } };
  /** Take in a picture, or a zip of pictures. */
  '/characters/{slug}/photos': { path: `/characters/${string}/photos`; body: { name: string; data: string } };
  /** Take in the pictures of a file, folder or zip on the webui's own machine. */
  '/characters/{slug}/photos/from_path': { path: `/characters/${string}/photos/from_path`; body: { path: string } };
  /** Look through the photos, and decide on some. */
  '/characters/{slug}/audit': { path: `/characters/${string}/audit`; body: { keep?: (string)[]; drop?: (string)[]; undecided?: (string)[]; accept?: boolean; resolution?: number } };
  /** Stop the imports of a character; what they have taken in stays. The answer tells which. */
  '/characters/{slug}/imports/stop': { path: `/characters/${string}/imports/stop`; body: {} };
  /** Write the caption of one photo. */
  '/characters/{slug}/captions': { path: `/characters/${string}/captions`; body: { file: string; text: string } };
  /** Change a phrase in many captions. */
  '/characters/{slug}/captions/edit': { path: `/characters/${string}/captions/edit`; body: { do: string; phrase: string; by?: string | null; place?: number | null; only?: (string)[] } };
  /** Take the newest change of the captions back. */
  '/characters/{slug}/captions/undo': { path: `/characters/${string}/captions/undo`; body: {} };
  /** Have captions written from what the photos show. */
  '/characters/{slug}/captions/fill': { path: `/characters/${string}/captions/fill`; body: { captioner?: string; rewrite?: boolean; only?: (string)[] } };
  /** What a training would take: steps, disk, and time and memory where they were measured. */
  '/characters/{slug}/estimate': { path: `/characters/${string}/estimate`; body: { base: string; preset?: string | null; settings?: Record<string, any> } };
  /** Put a job in line. */
  '/jobs': { path: `/jobs`; body: { kind: string; character: string; arguments?: Record<string, any> } };
  /** Stop a job; what it has done so far is kept. */
  '/jobs/{number}/stop': { path: `/jobs/${string}/stop`; body: {} };
  /** Pause a job that runs, and all heavy ones behind it. */
  '/jobs/{number}/pause': { path: `/jobs/${string}/pause`; body: {} };
  /** Put a job that did not come to its end back in line. */
  '/jobs/{number}/resume': { path: `/jobs/${string}/resume`; body: {} };
  /** Take a job that has ended off the list. */
  '/jobs/{number}/forget': { path: `/jobs/${string}/forget`; body: {} };
  /** Give a job that waits another place in line. */
  '/jobs/{number}/move': { path: `/jobs/${string}/move`; body: { before?: number | null } };
  /** Keep heavy jobs from starting, or let them start again. */
  '/queue': { path: `/queue`; body: { paused: boolean } };
  /** Put a LoRA where it is used, with its preview and notes beside it. */
  '/characters/{slug}/use': { path: `/characters/${string}/use`; body: { run: string; step: number; weight?: number; to?: string; folder?: string; code?: string } };
  /** Change some settings. */
  '/settings': { path: `/settings`; body: { allow_painting?: boolean | null; then_test?: boolean | null; comfyui?: string | null; worker_python?: string | null; engine?: string | null; code?: string } };
}

type PostPath = Posts[keyof Posts]['path'];

/** The body that a path takes. */
type BodyOf<P extends PostPath> = {
  [K in keyof Posts]: [P, Posts[K]['path']] extends [Posts[K]['path'], P] ? Posts[K]['body'] : never;
}[keyof Posts];
