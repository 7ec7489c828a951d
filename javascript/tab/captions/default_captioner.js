/**
 * The name of the default among the captioners that the server lists; '' (the measured facts) where none is.
 * @param {Captioner[]} captioners
 */
export function defaultName(captioners) {
  return captioners.find((one) => one.default)?.name ?? '';
}
