/** The texts of the page, in the user's language. */

/**
 * Translate a text, and fill in its values.
 * @param {string} text English, as in the localization file; `{name}` stands for a value.
 * @param {Object<string, any>} [values]
 */
export function t(text, values) {
  const words = globalThis.localization || {};
  const found = Object.prototype.hasOwnProperty.call(words, text) && words[text] ? words[text] : text;
  if (!values) return String(found);
  return String(found).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Whole numbers with the right word: plural(1, "{n} photo", "{n} photos"). */
export function plural(n, one, many) {
  return t(n === 1 ? one : many, { n: n.toLocaleString() });
}
