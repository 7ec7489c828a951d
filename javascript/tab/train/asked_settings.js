/** Settings that one choice of the form stands for: whether they are on, and what changes with the choice. */

/**
 * Whether all settings that the choice switches on are on, whatever their values, and those that it switches off are off.
 * @param {AskedSettings} given
 */
export function isChosen({ settings, changes, wanted }) {
  return Object.entries(wanted).every(([key, value]) => Boolean(changes[key] ?? settings[key]) === Boolean(value));
}

/**
 * The changes with the choice on or off; what is the preset's own is no change. Where the preset has it on, it is
 * switched off by the first of its settings.
 * @param {AskedSettings} given
 * @param {boolean} yes
 * @returns {Settings}
 */
export function differing({ settings, changes, wanted }, yes) {
  const rest = Object.fromEntries(Object.entries(changes).filter(([key]) => !(key in wanted)));
  if (!yes) return isChosen({ settings, changes: rest, wanted }) ? { ...rest, [Object.keys(wanted)[0]]: 0 } : rest;
  return { ...rest, ...Object.fromEntries(Object.entries(wanted).filter(([key, value]) => settings[key] !== value)) };
}
