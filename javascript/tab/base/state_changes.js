/** What a route says, put together from what it said before and what has changed since. */

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

/**
 * An answer that is asked for again and again, of which only the parts that have changed are sent.
 * @template Whole
 * @param {(mark: string, ...which: string[]) => Promise<PartChanges<Whole>>} ask with the mark of what is known; empty =
 *   nothing is.
 * @returns {(...which: string[]) => Promise<Whole>} asks; of another one nothing is known yet.
 */
export function growing(ask) {
  let known = { of: '', mark: '', whole: /** @type {Partial<Whole>} */ ({}) };
  return async (...which) => {
    const of = which.join('/');
    const before = known.of === of ? known : { of, mark: '', whole: {} };
    const { mark, changed } = await ask(before.mark, ...which);
    const whole = changed ? { ...before.whole, ...changed } : before.whole;
    known = { of, mark, whole };
    return /** @type {Whole} */ (whole);
  };
}
