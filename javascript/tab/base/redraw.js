/** The call that draws the page anew; `page/boot.js`, which stands above all others, says how. */

/** @type {Action} */
let run = () => {};

/** Show the chosen step of the chosen character, from the newest state. */
export function redraw() {
  run();
}

/**
 * Say how the page is drawn.
 * @param {Action} how
 */
export function drawWith(how) {
  run = how;
}
