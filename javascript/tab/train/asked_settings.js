/** Settings that one choice of the form stands for: whether they are on, and what changes with the choice. */

/**
 * Whether the settings that the choice stands for are on, whatever their values.
 * @param {AskedSettings} given
 */
export function isChosen({ settings, changes, ways }) {
  return Object.keys(ways.captioned).every((key) => Boolean(changes[key] ?? settings[key]));
}

/**
 * The changes with some settings as wanted; what is the preset's own is no change.
 * @param {AskedSettings} given
 * @param {Settings} wanted
 * @returns {Settings}
 */
function withSettings({ settings, changes }, wanted) {
  const rest = Object.entries(changes).filter(([key]) => !(key in wanted));
  return Object.fromEntries([...rest, ...Object.entries(wanted).filter(([key, value]) => settings[key] !== value)]);
}

/**
 * All at 0, which is off.
 * @param {string[]} keys
 * @returns {Settings}
 */
const off = (keys) => Object.fromEntries(keys.map((key) => [key, 0]));

/**
 * The changes with the choice on or off.
 * @param {AskedSettings} given
 * @param {boolean} yes
 * @param {boolean} plain whether most captions only say who it is.
 */
export function differing(given, yes, plain) {
  const { captioned, plain: plainly } = given.ways;
  return withSettings(given, yes ? (plain ? plainly : captioned) : off(Object.keys({ ...captioned, ...plainly })));
}

/**
 * The changes with what plain captions need besides, or without it.
 * @param {AskedSettings} given
 * @param {boolean} yes
 */
export function withPhrases(given, yes) {
  const { captioned, plain } = given.ways;
  const more = Object.fromEntries(Object.entries(plain).filter(([key]) => !(key in captioned)));
  return withSettings(given, yes ? more : off(Object.keys(more)));
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
