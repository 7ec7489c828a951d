/** Errors whose message is a sentence for the user. */

/**
 * What was thrown, as an error.
 * @param {unknown} thrown
 * @returns {PageError}
 */
export function asError(thrown) {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
