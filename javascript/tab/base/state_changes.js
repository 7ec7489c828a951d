/** The state, put together from the one before and what has changed since. */

/**
 * The state as it is now.
 * @param {PageState | null} before the state of the answer before; null = there was none.
 * @param {StateAnswer} answer of `/state` with `since`.
 * @returns {PageState | null} `before` itself where nothing has changed. Entries that have not changed are the same objects.
 */
export function merged(before, { changed, lists }) {
  if (!changed || !lists) return before;
  const queue = {
    ...before?.queue,
    ...changed.queue,
    jobs: entries(before?.queue.jobs, lists.jobs, (job) => job.id),
  };
  const characters = entries(before?.characters, lists.characters, (character) => character.slug);
  return /** @type {PageState} */ ({ ...before, ...changed, queue, characters });
}

/**
 * @template One
 * @param {One[] | undefined} before
 * @param {ListChanges<One>} changes
 * @param {(one: One) => string | number} keyOf what names an entry.
 */
function entries(before, { keys, changed }, keyOf) {
  const known = new Map([...(before || []), ...changed].map((one) => [keyOf(one), one]));
  return keys.flatMap((name) => known.get(name) ?? []);
}
