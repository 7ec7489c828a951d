/** The name of the default among the captioners that the server lists; '' (the measured facts) where none is. */
export function defaultName(captioners) {
  return captioners.find((one) => one.default)?.name ?? '';
}
