/** Waiting jobs of the queue's list, dragged to another place with the mouse; the buttons of each do the same. */

import { toast } from '../widgets/widgets.js';

/**
 * Let the draggable children of a list be dragged; each has its job's number in `data-job`.
 * @param {HTMLElement} list
 * @param {(a: number, b: number | null) => Promise<unknown>} moved gets the job, and the one that it was put before; null: the end.
 */
export function draggedJobs(list, moved) {
  /** @type {HTMLElement | null} */
  let held = null;
  const waiting = () =>
    [...list.children].filter((node) => node instanceof HTMLElement).filter((node) => node.draggable);
  /** @type {number | null} */
  let nextAtStart = null;
  const nextOf = (/** @type {HTMLElement} */ node) => {
    const all = waiting();
    const next = all[all.indexOf(node) + 1];
    return next ? Number(next.dataset.job) : null;
  };

  list.addEventListener('dragstart', (event) => {
    const { target, dataTransfer } = event;
    held = target instanceof Element ? target.closest('.sf-job') : null;
    if (!held || !held.draggable || !dataTransfer) return;
    dataTransfer.effectAllowed = 'move';
    dataTransfer.setData('text/plain', held.dataset.job || ''); // without any, some browsers do not begin
    held.classList.add('sf-dragged');
    nextAtStart = nextOf(held); // what is drawn, since the state may be older than the previous drop
  });
  list.addEventListener('dragover', (event) => {
    if (!held) return;
    event.preventDefault();
    const before = waiting().find((node) => node !== held && event.clientY < middle(node));
    if (before) list.insertBefore(held, before);
    else waiting().pop()?.after(held);
  });
  list.addEventListener('dragenter', (event) => held && event.preventDefault());
  list.addEventListener('drop', (event) => held && event.preventDefault());
  list.addEventListener('dragend', (event) => {
    if (!held) return;
    const node = held;
    held = null;
    node.classList.remove('sf-dragged');
    if (event.dataTransfer?.dropEffect === 'none') return; // given up; the next drawing puts it back
    const next = nextOf(node);
    if (next !== nextAtStart) moved(Number(node.dataset.job), next).catch((error) => toast(error.message, 'bad'));
  });
}

/** @param {HTMLElement} node */
function middle(node) {
  const { top, height } = node.getBoundingClientRect();
  return top + height / 2;
}
