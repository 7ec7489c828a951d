/** The LoRA of a saved step as a file: where it lies, a link that keeps it, and the prompt that calls it. */

import * as api from '../base/api.js';
import { url } from '../base/api.js';
import { el, setText } from '../base/dom.js';
import * as format from '../base/format.js';
import { t } from '../base/texts.js';
import { copyBox } from '../widgets/form_parts.js';

/** What there is of it; `set(slug, {run, step, weight})` asks for it, `download()` keeps it. */
export function loraFile() {
  const path = copyBox('File');
  const prompt = copyBox('Prompt');
  const link = el('a', { class: 'sf-button sf-button-plain', download: '' });
  const node = el('div', { class: 'sf-stack', hidden: true }, path, el('div', {}, link), prompt);
  let asked = '';

  /**
   * @param {string} slug
   * @param {Cell} cell
   */
  const set = async (slug, { run, step, weight }) => {
    const mark = JSON.stringify([slug, run, step, weight]);
    if (mark === asked) return;
    asked = mark;
    node.hidden = true;
    if (!run || !step) return;
    try {
      const about = await api.get(`/characters/${slug}/runs/${run}/lora/${step}?weight=${weight}`);
      if (mark === asked) show(about);
    } catch (error) {
      if (mark === asked) asked = ''; // asked again with the next state
    }
  };

  function show(/** @type {LoraFile} */ about) {
    path.set(about.file);
    prompt.set(about.prompt);
    link.href = url(about.url);
    link.download = about.name;
    const size = format.bytes(about.bytes);
    setText(link, t('Download {name} ({size})', { name: about.name, size }));
    node.hidden = false;
  }

  const download = () => {
    if (node.hidden) throw new Error(t('The file is not ready yet; try again in a moment.'));
    link.click();
  };
  return Object.assign(node, { set, download });
}
