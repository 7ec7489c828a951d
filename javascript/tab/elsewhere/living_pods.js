/** Rented GPUs that live and cost although no job uses them, each with a button that ends it. */

import * as api from '../base/api.js';
import { el } from '../base/dom.js';
import { t } from '../base/texts.js';
import { actionButton, keyedList, notice, toast } from '../widgets/widgets.js';

/** @returns with `update()`: RunPod is asked; where it cannot be, nothing is shown. */
export function livingPods() {
  const node = el('div', { class: 'sf-stack' });
  node.hidden = true;

  async function end(/** @type {RentedPod} */ pod) {
    await api.post(`/pods/${pod.name}/end`);
    toast('The rented GPU is deleted.', 'good');
    await update();
  }

  const entry = (/** @type {RentedPod} */ pod) => {
    const words = t('This rented GPU costs money, and no job of this data folder uses it: {what} ({name}).', {
      what: pod.text,
      name: pod.name,
    });
    const button = actionButton('End it', () => end(pod), {
      danger: true,
      small: true,
      label: `${t('End it')}: ${pod.name}`,
    });
    return notice('warn', el('p', { text: words }), button);
  };

  const update = async () => {
    const pods = await api.get('/pods').catch(() => []);
    const idle = pods.filter((one) => one.job === null);
    keyedList(node, idle, (one) => one.name, entry);
    node.hidden = !idle.length;
  };
  return Object.assign(node, { update });
}
