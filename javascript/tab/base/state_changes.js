/** The state, put together from the one before and what has changed since. */

/** The field that names an entry of a list. */
const KEYS = { characters: 'slug', jobs: 'id' };

/**
 * The state as it is now.
 * @param {?any} before the state of the answer before; null = there was none.
 * @param {{mark: string, changed?: any, lists?: any}} answer of `/state` with `since`.
 * @returns {any} `before` itself where nothing has changed. Entries that have not changed are the same objects.
 */
export function merged(before, { changed, lists }) {
  if (!changed) return before;
  const queue = {
    ...(changed.queue || before.queue),
    jobs: entries(before && before.queue.jobs, lists.jobs, KEYS.jobs),
  };
  const characters = entries(before && before.characters, lists.characters, KEYS.characters);
  return { ...before, ...changed, queue, characters };
}

function entries(before, { keys, changed }, key) {
  const known = new Map([...(before || []), ...changed].map((one) => [one[key], one]));
  return keys.map((name) => known.get(name));
}
