/** Settings that one choice of the form stands for: whether they are on, and what changes with the choice. */

/**
 * Whether the settings that the choice stands for are on, whatever their values.
 * @param {AskedSettings} given
 */
export function isChosen({ settings, changes, wanted }) {
  return Object.keys(wanted).every((key) => Boolean(changes[key] ?? settings[key]));
}

/**
 * The changes with the choice on or off (all at 0); what is the preset's own is no change.
 * @param {AskedSettings} given
 * @param {boolean} yes
 * @returns {Settings}
 */
export function differing({ settings, changes, wanted }, yes) {
  const rest = Object.entries(changes).filter(([key]) => !(key in wanted));
  /** @type {[string, SettingValue][]} */
  const chosen = Object.entries(wanted).map(([key, value]) => [key, yes ? value : 0]);
  return Object.fromEntries([...rest, ...chosen.filter(([key, value]) => settings[key] !== value)]);
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
