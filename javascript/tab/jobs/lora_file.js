/** The LoRA of a saved step as a file: where it lies, a link that keeps it, and the prompt that calls it. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});

  /** What there is of it; `set(slug, {run, step, weight})` asks for it, `download()` keeps it. */
  sameface.loraFile = function () {
    const path = sameface.copyBox('File');
    const prompt = sameface.copyBox('Prompt');
    const link = sameface.el('a', { class: 'sf-button sf-button-plain', download: '' });
    const node = sameface.el('div', { class: 'sf-stack', hidden: true }, path, sameface.el('div', {}, link), prompt);
    let asked = '';

    node.set = async (slug, { run, step, weight }) => {
      const mark = JSON.stringify([slug, run, step, weight]);
      if (mark === asked) return;
      asked = mark;
      node.hidden = true;
      if (!run || !step) return;
      try {
        const about = await sameface.api.get(`/characters/${slug}/runs/${run}/lora/${step}?weight=${weight}`);
        if (mark === asked) show(about);
      } catch (error) {
        if (mark === asked) asked = ''; // asked again with the next state
      }
    };

    function show(about) {
      path.set(about.file);
      prompt.set(about.prompt);
      link.href = sameface.url(about.url);
      link.download = about.name;
      const size = sameface.format.bytes(about.bytes);
      sameface.setText(link, sameface.t('Download {name} ({size})', { name: about.name, size }));
      node.hidden = false;
    }

    node.download = () => {
      if (node.hidden) throw new Error(sameface.t('The file is not known yet; try again in a moment.'));
      link.click();
    };
    return node;
  };
})();
