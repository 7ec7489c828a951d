/** The texts of the page, in the user's language. */

/**
 * Translate a text, and fill in its values.
 * @param {string} text English, as in the localization file; `{name}` stands for a value.
 * @param {object} [values]
 */
export function t(text, values) {
  const words = globalThis.localization || {};
  const found = Object.prototype.hasOwnProperty.call(words, text) && words[text] ? words[text] : text;
  if (!values) return String(found);
  const named = new Map(Object.entries(values));
  return String(found).replace(/\{(\w+)\}/g, (whole, name) => (named.has(name) ? String(named.get(name)) : whole));
}

/**
 * What the server says, in the user's language: its template translated, then filled. A value is never looked at again,
 * whatever a file is called, and what comes of it is text: it is not to be set as HTML.
 * @param {Message | null | undefined} message of the server. Its values are
 *   numbers, texts, and messages that are parts of the sentence; a list is said with commas.
 * @param {string} [english] is said where there is no message, as from what an earlier version has kept.
 */
export function say(message, english = '') {
  if (!message || typeof message.template !== 'string') return t(english);
  const values = message.values || {};
  return t(message.template).replace(/\{(\w+)(?::([^{}]*))?\}/g, (whole, name, format) =>
    Object.prototype.hasOwnProperty.call(values, name) ? written(values[name], format || '') : whole,
  );
}

/**
 * @param {MessageValue} value
 * @param {string} format
 * @returns {string}
 */
function written(value, format) {
  if (Array.isArray(value)) return value.map((one) => written(one, '')).join(', ');
  if (value && typeof value === 'object') return say(value);
  return typeof value === 'number' ? writtenNumber(value, format) : String(value);
}

/**
 * A number by Python's format: "d", ",", "g", ".2f", ".0%" and these after "+"; as the browser's language writes it.
 * @param {number} value
 * @param {string} format
 */
function writtenNumber(value, format) {
  const [, sign, comma, digits, kind] = /^(\+?)(,?)(?:\.(\d+))?([f%g]?)$/.exec(format) || [];
  if (kind === undefined) return String(value);
  /** @type {Intl.NumberFormatOptions} */
  const how = { useGrouping: Boolean(comma), roundingMode: 'halfEven', signDisplay: sign ? 'always' : 'auto' };
  if (kind === '%') how.style = 'percent';
  if (kind === 'g') how.maximumSignificantDigits = Number(digits || 6);
  else if (kind) how.minimumFractionDigits = how.maximumFractionDigits = Number(digits || (kind === '%' ? 0 : 6));
  else how.maximumFractionDigits = 20;
  return new Intl.NumberFormat(undefined, how).format(kind ? exactly(value, kind === '%') : value);
}

/**
 * All decimals of a number, as text, for Python rounds these: 0.575 is a little less than 57.5 %. (Where a browser reads
 * only numbers, it rounds the shortest decimal, as it does for a number.)
 * @param {number} value
 * @param {boolean} percent
 * @returns {number | Intl.StringNumericLiteral}
 */
function exactly(value, percent) {
  if (!Number.isFinite(value)) return value;
  const digits = percent ? `${(value * 100).toPrecision(100)}e-2` : value.toPrecision(100);
  return /** @type {Intl.StringNumericLiteral} */ (digits);
}

/**
 * Whole numbers with the right word: plural(1, "{n} photo", "{n} photos").
 * @param {number} n
 * @param {string} one
 * @param {string} many
 */
export function plural(n, one, many) {
  return t(n === 1 ? one : many, { n: n.toLocaleString() });
}

/**
 * A text with a capital at its beginning, as a sentence has it.
 * @param {string} text
 */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
