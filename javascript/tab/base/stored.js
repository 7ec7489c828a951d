/** Plain values kept in this browser beyond a reload. */

/**
 * Read what `writeStored` has kept; `otherwise` where there is nothing, or the browser forbids it.
 * @template T
 * @param {string} key
 * @param {T} otherwise
 * @returns {T}
 */
export function readStored(key, otherwise) {
  try {
    const found = localStorage.getItem(`sameface-${key}`);
    return found === null ? otherwise : JSON.parse(found);
  } catch {
    return otherwise;
  }
}

/**
 * Keep a plain value in this browser, beyond a reload.
 * @param {string} key
 * @param {unknown} value
 */
export function writeStored(key, value) {
  try {
    localStorage.setItem(`sameface-${key}`, JSON.stringify(value));
  } catch {
    // then it lasts as long as the page
  }
}
