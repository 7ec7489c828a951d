/** Settings that one choice of the form stands for: whether they are on, and what changes with the choice. */

/**
 * Whether all settings that the choice stands for are on, whatever their values.
 * @param {AskedSettings} given
 */
export function isChosen({ settings, changes, wanted }) {
  return Object.keys(wanted).every((key) => Boolean(changes[key] ?? settings[key]));
}

/**
 * The changes with the choice on or off; what is the preset's own is no change.
 * @param {AskedSettings} given
 * @param {boolean} yes
 * @returns {Settings}
 */
export function differing({ settings, changes, wanted }, yes) {
  const rest = Object.fromEntries(Object.entries(changes).filter(([key]) => !(key in wanted)));
  /** @type {[string, SettingValue][]} */
  const chosen = Object.entries(wanted).map(([key, value]) => [key, yes ? value : 0]);
  return { ...rest, ...Object.fromEntries(chosen.filter(([key, value]) => settings[key] !== value)) };
}

/**
 * Whether the trigger word can get a meaning of its own: the text encoders are trained, or its vectors.
 * @param {Pick<AskedSettings, 'settings' | 'changes'>} given
 */
export function learnsTrigger({ settings, changes }) {
  const now = (/** @type {string} */ key) => changes[key] ?? settings[key];
  return (Boolean(now('lora.te')) && Number(now('te_lr')) > 0) || Number(now('trigger_vectors')) > 0;
}
