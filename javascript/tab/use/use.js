/** The panel "Use": put a LoRA where it can be painted with, and its prompt into txt2img. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});
  const CARDS = ['txt2img_lora_extra_refresh_internal', 'img2img_lora_extra_refresh_internal'];

  const BOXES = ['txt2img_prompt', 'txt2img_neg_prompt'];
  const SENT = 'sent-prompts'; // what was put there last

  let view = null;

  sameface.panel('use', {
    mount: (root) => (view = make(root)),
    update: () => update(view),
    shown: () => {
      sameface.reloadRuns();
      loadSettings(view);
    },
  });

  function make(root) {
    const made = { slug: '', settings: null };
    made.lead = sameface.lead();
    made.cell = sameface.cellChoice(() => {
      made.result.hidden = true;
      update(made);
    });
    made.known = sameface.el('div', {});
    made.file = sameface.loraFile();
    made.comfy = folderRow('ComfyUI folder', 'Where ComfyUI is installed; the LoRA goes to models/loras in it.');
    made.folder = folderRow('Folder', 'Any folder; the LoRA and its preview are copied there.');
    made.folder.input.value = sameface.kept('folder', '');
    const comfyButton = sameface.button('Copy to ComfyUI', () => toComfy(made));
    const folderButton = sameface.button('Copy to this folder', () => toFolder(made));
    made.comfy.row = sameface.el('div', { class: 'sf-copy' }, made.comfy.node, comfyButton);
    made.folder.row = sameface.el('div', { class: 'sf-copy' }, made.folder.node, folderButton);
    made.elsewhere = sameface.fold('Use it elsewhere', made.comfy.row, made.folder.row);
    made.result = results();
    made.choice = sameface.el('div', { class: 'sf-card' }, made.cell.node, made.known, made.file);
    sameface.append(root, [made.lead, made.choice, made.result, made.elsewhere]);
    return made;
  }

  function folderRow(label, help) {
    const input = sameface.el('input', { class: 'sf-input', type: 'text', spellcheck: false, autocomplete: 'off' });
    return { input, node: sameface.field(label, input, help) };
  }

  function results() {
    const said = sameface.el('div', { class: 'sf-stack' });
    const prompt = sameface.copyBox('Prompt');
    const infotext = sameface.copyBox('Whole generation text');
    const file = sameface.copyBox('File');
    const more = sameface.fold('With sampler, seed and size', infotext);
    const node = sameface.el(
      'div',
      { class: 'sf-card', hidden: true, aria: { live: 'polite' } },
      said,
      prompt,
      file,
      more,
    );
    node.set = (used, text) => {
      node.hidden = false;
      sameface.fill(
        said,
        sameface.notice('good', text || used.text),
        used.shown === false && used.why ? sameface.notice('warn', used.why) : null,
      );
      prompt.set(used.prompt);
      infotext.set(used.infotext);
      more.hidden = !used.infotext;
      file.set(used.file);
    };
    return node;
  }

  async function loadSettings(made) {
    try {
      made.settings = await sameface.api.get('/settings');
      if (!made.comfy.input.value) made.comfy.input.value = made.settings.comfyui || '';
    } catch {
      made.settings = {}; // the folder is then asked for again
    }
  }

  // What is there

  function update(made) {
    const character = sameface.character();
    if (!character) return;
    const runs = sameface.runs();
    if (made.slug !== character.slug) {
      made.slug = character.slug;
      made.cell.reset();
      made.result.hidden = true;
    }
    if (runs) preselect(made, runs);
    const trained = Boolean(runs && runs.some((run) => run.checkpoints.length));
    const far = sameface.state.host.remote; // then no folder may be named
    made.comfy.input.disabled = far;
    made.folder.row.hidden = far;
    made.choice.hidden = made.elsewhere.hidden = !trained;
    made.lead.set(words(made, runs, trained));
    if (trained) showKnown(made, runs);
    if (trained) made.file.set(made.slug, made.cell.value);
  }

  /** What the test panel asked for, else the best of what was judged, else the last step of the newest run. */
  function preselect(made, runs) {
    const before = JSON.stringify(made.cell.value);
    const best = sameface.bestGrid(runs);
    made.cell.setRuns(runs, best && { run: best.run.id, step: best.grid.step, weight: best.grid.weight });
    const wanted = sameface.wantedCell;
    if (wanted && wanted.slug === made.slug) {
      sameface.wantedCell = null;
      made.cell.choose({ run: wanted.run, step: wanted.step, weight: wanted.weight });
    }
    if (JSON.stringify(made.cell.value) !== before) made.result.hidden = true; // it was another LoRA's
  }

  /** The judged grid of the chosen step and weight; null where it was not tested. */
  function testOf(made, runs) {
    const { run, step, weight } = made.cell.value;
    const mine = sameface.gridsOf(runs.filter((one) => one.id === run));
    const same = mine.filter(({ grid }) => grid.kind && grid.step === step && Math.abs(grid.weight - weight) < 1e-6);
    return same.length ? same[0].grid : null;
  }

  function words(made, runs, trained) {
    if (!runs) return { tone: 'none', text: sameface.runsError() || 'Loading …' };
    if (!trained) {
      const train = { label: 'To the training', main: true, do: () => sameface.go({ step: 'train' }) };
      return { tone: 'none', text: 'There is no LoRA yet.', buttons: [train] };
    }
    const { run, step, weight } = made.cell.value;
    const text = sameface.cellName(run, step, weight);
    const found = testOf(made, runs);
    const detail = found ? sameface.t(found.headline) : sameface.t('This step and weight was not tested.');
    const tone = found ? sameface.verdictTone(found) : 'none';
    return { tone, text, detail, buttons: [alone() ? keepFile(made) : toWebui(made), copyPrompt(made)] };
  }

  function alone() {
    return sameface.state.host.name === 'alone';
  }

  function showKnown(made, runs) {
    const found = testOf(made, runs);
    const mark = JSON.stringify([made.cell.value, found]);
    if (made.known.dataset.of === mark) return;
    made.known.dataset.of = mark;
    if (!found) {
      const go = sameface.button('Test it first', () => sameface.go({ step: 'test' }), { small: true });
      return sameface.fill(
        made.known,
        sameface.notice('none', 'Nothing is known of this step and weight: it was not tested.', go),
      );
    }
    const kept = Number.isFinite(found.retention)
      ? sameface.t('{kept} of the identity is kept.', { kept: sameface.format.percent(found.retention) })
      : '';
    const tone = sameface.verdictTone(found);
    const { run } = made.cell.value;
    const see = () => {
      sameface.wantedGrid = { slug: made.slug, run, id: found.id };
      sameface.go({ step: 'test' });
    };
    const report = sameface.button('See the test', see, { small: true });
    return sameface.fill(made.known, sameface.notice(tone, `${sameface.t(found.headline)}. ${kept}`, report));
  }

  // Doing

  async function use(made, to, folder) {
    const { run, step, weight } = made.cell.value;
    const body = { run, step, weight, to, ...(folder === undefined ? {} : { folder }) };
    return sameface.postWithCode(`/characters/${made.slug}/use`, body);
  }

  function toWebui(made) {
    const put = async () => {
      const how = await wanted();
      if (!how) return;
      const used = await use(made, 'webui');
      refreshCards();
      const sent = how === 'add' ? addTo(used) : send(used.infotext);
      const said = how === 'add' ? 'The LoRA is in your prompt in txt2img' : 'The prompt is in txt2img';
      const text = sent ? `${sameface.t(said)}; ${sameface.t('press “Generate” there.')}` : used.text;
      made.result.set(used, text);
      if (!sent) return;
      if (how !== 'add') sameface.keep(SENT, [used.prompt, negativeOf(used.infotext)]);
      sameface.toast(text, 'good');
    };
    return { label: 'Put into txt2img', main: true, do: put };
  }

  function keepFile(made) {
    return { label: 'Download the LoRA', main: true, do: () => made.file.download() };
  }

  /** What is to become of a prompt that the user has written: 'replace', 'add', or '' = leave it all. */
  async function wanted() {
    const there = BOXES.map((id) => (hosts(`#${id} textarea`) || { value: '' }).value.trim());
    const ours = sameface.kept(SENT, []);
    if (there.every((text, place) => !text || plain(text) === plain(ours[place] || ''))) return 'replace';
    return new Promise((resolve) => {
      let answer = '';
      const choose = (how, label, main) =>
        sameface.button(label, () => ((answer = how), shown.close()), { main });
      const body = sameface.el(
        'div',
        { class: 'sf-dialog-body' },
        sameface.el('p', { text: sameface.t('There is a prompt of yours in txt2img:') }),
        there.filter(Boolean).map((text) => sameface.el('p', { class: 'sf-quiet', text: short(text) })),
        sameface.el(
          'div',
          { class: 'sf-row sf-end' },
          sameface.button('Cancel', () => shown.close()),
          choose('replace', 'Replace it', false),
          choose('add', 'Keep it and add the LoRA', true),
        ),
      );
      const shown = sameface.dialog('Put into txt2img', body, { closed: () => resolve(answer) });
    });
  }

  function plain(text) {
    return text.replace(/\s+/g, ' ').trim();
  }

  function short(text) {
    return text.length > 200 ? `${text.slice(0, 200)} …` : text;
  }

  function negativeOf(infotext) {
    const line = infotext.split('\n').find((one) => one.startsWith('Negative prompt: '));
    return line ? line.slice('Negative prompt: '.length) : '';
  }

  /** Trigger and LoRA behind the user's own prompt; the same LoRA at another weight is taken out. */
  function addTo(used) {
    const box = hosts(`#${BOXES[0]} textarea`);
    const [tag] = used.prompt.match(/<lora:[^<>]*>$/) || [];
    if (!box || !tag) return false;
    const same = tag.slice(0, tag.lastIndexOf(':') + 1);
    const own = box.value.replace(/ ?<lora:[^<>]*>/g, (found) => (found.trim().startsWith(same) ? '' : found)).trimEnd();
    const trigger = used.trigger && !own.includes(used.trigger) ? used.trigger : '';
    fillIn(box, [[own, trigger].filter(Boolean).join(', '), tag].join(' ').trim());
    if (typeof window.switch_to_txt2img === 'function') window.switch_to_txt2img();
    return true;
  }

  function copyPrompt(made) {
    const copy = async () => {
      const used = await use(made, 'webui');
      refreshCards();
      made.result.set(used);
      await sameface.copyText(used.prompt);
    };
    return { label: 'Copy the prompt', do: copy };
  }

  async function toComfy(made) {
    const folder = made.comfy.input.value.trim();
    sameface.refuse(folder ? [] : [{ target: made.comfy.input, text: 'Where is ComfyUI? Type its folder.' }]);
    if (!made.settings || folder !== made.settings.comfyui) {
      const keep = () => sameface.postWithCode('/settings', { comfyui: folder });
      made.settings = await sameface.sending({ comfyui: made.comfy.input }, keep);
    }
    made.result.set(await use(made, 'comfyui'));
  }

  async function toFolder(made) {
    const folder = made.folder.input.value.trim();
    sameface.refuse(folder ? [] : [{ target: made.folder.input, text: 'Into which folder? Type its path.' }]);
    const used = await use(made, 'folder', folder);
    sameface.keep('folder', folder);
    made.result.set(used);
  }

  /** An element of the host's page; null where this host has none. */
  function hosts(selector) {
    const found = document.querySelector(selector);
    if (found || typeof window.gradioApp !== 'function') return found;
    return window.gradioApp().querySelector(selector);
  }

  /** Let the host draw the card of a new LoRA: it keeps its list of cards until one of these buttons is pressed. */
  function refreshCards() {
    CARDS.map((id) => hosts(`#${id}`)).forEach((button) => button && button.click());
  }

  function fillIn(box, text) {
    box.value = text;
    if (typeof window.updateInput === 'function') window.updateInput(box);
    else box.dispatchEvent(new Event('input', { bubbles: true }));
  }

  /** Give the text to the host's own "send to txt2img"; false where it has none. */
  function send(infotext) {
    const box = hosts('#sameface_infotext textarea');
    const found = hosts('#sameface_send');
    const button = found && found.tagName !== 'BUTTON' ? found.querySelector('button') || found : found;
    if (!box || !button || !infotext) return false;
    fillIn(box, infotext);
    setTimeout(() => button.click(), 150); // gradio takes the value over after the event
    return true;
  }
})();
