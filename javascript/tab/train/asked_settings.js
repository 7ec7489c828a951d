/** Settings that one choice of the form stands for: whether they are on, and what changes with the choice. */

/**
 * Whether the settings that the choice stands for are on, whatever their values.
 * @param {AskedSettings} given
 */
export function isChosen({ settings, changes, ways }) {
  return Object.keys(ways.captioned).every((key) => Boolean(changes[key] ?? settings[key]));
}

/**
 * The changes with the choice on or off; what is the preset's own is no change.
 * @param {AskedSettings} given
 * @param {boolean} yes
 * @param {boolean} plain whether most captions only say who it is.
 * @returns {Settings}
 */
export function differing({ settings, changes, ways }, yes, plain) {
  const off = Object.fromEntries(Object.keys({ ...ways.captioned, ...ways.plain }).map((key) => [key, 0]));
  /** @type {Settings} */
  const wanted = yes ? (plain ? ways.plain : ways.captioned) : off;
  const rest = Object.fromEntries(Object.entries(changes).filter(([key]) => !(key in wanted)));
  const chosen = Object.entries(wanted).filter(([key, value]) => settings[key] !== value);
  return { ...rest, ...Object.fromEntries(chosen) };
}

/**
 * The changes with what plain captions need besides, or without it.
 * @param {AskedSettings} given
 * @param {boolean} yes
 * @returns {Settings}
 */
export function withPhrases({ settings, changes, ways }, yes) {
  const more = Object.entries(ways.plain).filter(([key]) => !(key in ways.captioned));
  const rest = Object.fromEntries(Object.entries(changes).filter(([key]) => !more.some(([one]) => one === key)));
  /** @type {[string, SettingValue][]} */
  const wanted = more.map(([key, value]) => [key, yes ? value : 0]);
  return { ...rest, ...Object.fromEntries(wanted.filter(([key, value]) => settings[key] !== value)) };
}

/**
 * Whether most captions only say who it is.
 * @param {{photos?: number, captioned?: number}} given what is not known counts as captioned.
 */
export function arePlain({ photos = 0, captioned }) {
  return photos > 0 && 2 * (captioned ?? photos) <= photos;
}

/**
 * Whether the trigger word can get a meaning of its own: the text encoders are trained, or its vectors.
 * @param {Pick<AskedSettings, 'settings' | 'changes'>} given
 */
export function learnsTrigger({ settings, changes }) {
  const now = (/** @type {string} */ key) => changes[key] ?? settings[key];
  return (Boolean(now('lora.te')) && Number(now('te_lr')) > 0) || Number(now('trigger_vectors')) > 0;
}
