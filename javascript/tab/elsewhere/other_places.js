/** Where else something can be done: other machines, and GPUs that are rented at RunPod. */

import * as api from '../base/api.js';

/**
 * Whether a place, as a job names it, is a GPU that is rented.
 * @param {string | undefined} on
 * @param {RunpodAccount | null} account
 */
export const isRented = (on, account) => on !== undefined && on === account?.on;

/**
 * The other machines, and the account at RunPod; null where that is not known.
 * @param {Place[]} known the machines that are given where they cannot be asked for.
 */
export async function loadPlaces(known) {
  const [places, runpod] = await Promise.all([
    api.get('/places').catch(() => known),
    api.get('/runpod').catch(() => null),
  ]);
  return { places, runpod };
}
