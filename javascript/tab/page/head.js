/** The head, visible whatever the step: who, what runs, where I am. */
(function () {
  'use strict';

  const sameface = window.sameface;
  const { el, t } = sameface;
  const NAMES = { photos: 'Photos', captions: 'Captions', train: 'Train', test: 'Test', use: 'Use', doctor: 'Doctor' };
  const TONES = { good: 'done', warn: 'to look at', bad: 'not yet right', none: 'not done' };
  let parts = null;

  function mount(root) {
    parts = { who: whoRow(), now: nowRow(), tabs: tabRow() };
    parts.status = el('div', { class: 'sf-silent', role: 'status', aria: { live: 'polite' } });
    const first = el('div', { class: 'sf-who' }, parts.who.nodes, parts.now.node);
    root.replaceChildren(first, parts.tabs.node, parts.status);
  }

  function whoRow() {
    const face = el('img', { class: 'sf-face', alt: '', hidden: true, width: 36, height: 36 });
    const choice = sameface.select([], '', (slug) => sameface.go({ slug, step: stepOf(slug) }));
    choice.setAttribute('aria-label', t('Character'));
    const add = sameface.button('+ New', () => sameface.go({ step: 'new' }), { title: 'Make a new character' });
    const edit = sameface.button('Edit', () => sameface.go({ step: 'edit' }), {
      title: 'Trigger word, consent, traits; delete',
    });
    const undo = sameface.undoButton();
    const queue = sameface.button('Queue', () => sameface.queue.open());
    return { face, choice, add, edit, undo, queue, nodes: [face, choice, edit, add, queue, undo.node] };
  }

  /** Where a character is to go on. */
  function stepOf(slug) {
    const found = sameface.state.characters.find((one) => one.slug === slug);
    if (sameface.step === 'doctor') return 'doctor';
    return (found && found.next) || 'photos';
  }

  function nowRow() {
    const sign = el('span', { class: 'sf-now-sign' });
    const text = el('span', {});
    const words = el('p', { class: 'sf-now-text sf-number' }, sign, ' ', text);
    const buttons = el('div', { class: 'sf-row' });
    const bar = sameface.progress(null);
    return { node: el('div', { class: 'sf-now', hidden: true }, words, buttons, bar), sign, text, buttons, bar };
  }

  function tabRow() {
    const node = el('div', { class: 'sf-tabs', role: 'tablist', aria: { label: t('Steps') } });
    const tabs = {};
    [...sameface.STEPS, 'doctor'].forEach((step, place) => {
      tabs[step] = tab(step, place);
      node.append(tabs[step].node);
    });
    node.addEventListener('keydown', turnByKey);
    return { node, tabs };
  }

  function tab(step, place) {
    const sign = el('span', { class: 'sf-tab-sign' });
    const word = el('span', { class: 'sf-silent' });
    const number = step === 'doctor' ? null : el('span', { class: 'sf-tab-number', text: String(place + 1) });
    const count = el('span', { class: 'sf-number' });
    const node = el(
      'button',
      { class: `sf-tab sf-tab-${step}`, role: 'tab', id: `sf-tab-${step}`, on: { click: () => sameface.go({ step }) } },
      number,
      el('span', { text: t(NAMES[step]) }),
      count,
      sign,
      word,
    );
    return { node, sign, word, count };
  }

  function turnByKey(event) {
    const steps = [...sameface.STEPS, 'doctor'].filter((step) => !parts.tabs.tabs[step].node.disabled);
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const ends = { Home: steps[0], End: steps[steps.length - 1] }[event.key];
    if (!by && !ends) return;
    event.preventDefault();
    const at = Math.max(0, steps.indexOf(sameface.step));
    const step = ends || steps[(at + by + steps.length) % steps.length];
    sameface.go({ step });
    parts.tabs.tabs[step].node.focus();
  }

  // From the newest state

  function update() {
    if (!parts) return;
    const character = sameface.character();
    updateWho(character);
    updateTabs(character);
    updateNow();
    sameface.signal.update();
  }

  function updateWho(character) {
    const { face, choice, add, edit, queue } = parts.who;
    const all = sameface.state.characters.map((one) => ({ value: one.slug, text: one.name }));
    choice.setChoices(all, sameface.slug);
    choice.hidden = add.hidden = !all.length;
    edit.hidden = !character;
    parts.who.undo.update(character);
    queue.hidden = !all.length && !sameface.state.queue.jobs.length;
    const cover = character && character.cover ? sameface.url(thumbnail(character)) : '';
    face.hidden = !cover;
    if (cover && face.getAttribute('src') !== cover) face.src = cover;
    const { jobs, more, paused: held } = sameface.state.queue;
    const open = jobs.filter((job) => ['waiting', 'paused', 'running'].includes(job.state)).length + (more || 0);
    const label = held ? t('Queue (paused, {n})', { n: open }) : open ? t('Queue ({n})', { n: open }) : t('Queue');
    sameface.setText(queue.firstElementChild, label);
  }

  function thumbnail(character) {
    return `/characters/${character.slug}/photos/${character.cover}/thumbnail`;
  }

  function updateTabs(character) {
    for (const [step, one] of Object.entries(parts.tabs.tabs)) {
      const chosen = sameface.step === step || (sameface.step === 'invent' && step === 'photos');
      const running = Boolean(character && runs(step, character.slug));
      const told = character && character[step];
      const tone = running ? 'busy' : told ? told.tone : '';
      one.node.setAttribute('aria-selected', String(chosen));
      one.node.tabIndex = chosen || (sameface.step === 'new' && step === 'doctor') ? 0 : -1;
      if (sameface.step === 'edit' && step === 'photos') one.node.tabIndex = 0;
      if (chosen) one.node.setAttribute('aria-controls', `sf-panel-${sameface.step}`);
      else one.node.removeAttribute('aria-controls');
      one.node.disabled = step !== 'doctor' && !character;
      if (one.sign.dataset.tone !== tone) {
        one.sign.dataset.tone = tone;
        sameface.fill(one.sign, tone && tone !== 'none' ? sameface.sign(tone) : null);
        sameface.fill(one.word, tone ? t(tone === 'busy' ? 'running' : TONES[tone]) : '');
      }
      sameface.setText(one.count, step === 'photos' && character && character.photos.count ? String(character.photos.used) : '');
      one.node.title = told && told.text ? told.text : '';
    }
  }

  const KINDS = { photos: ['audit', 'invent', 'more'], captions: ['fill'], train: ['train', 'probe'], test: ['test', 'choose'] };

  function runs(step, slug) {
    const job = KINDS[step] && sameface.job(KINDS[step], slug);
    return job && job.state === 'running';
  }

  /** The job to speak of: a heavy one before a light one, a running one before one that waits. */
  function spoken() {
    const jobs = sameface.state.queue.jobs;
    const heavy = (job) => !['audit', 'fill'].includes(job.kind);
    const running = jobs.filter((job) => job.state === 'running');
    return running.find(heavy) || jobs.find((job) => job.state === 'paused') || running[0] || null;
  }

  function updateNow() {
    const { node, sign, text, buttons, bar } = parts.now;
    const job = spoken();
    const waits = sameface.state.queue.paused || !sameface.state.supervisor.active;
    const stuck = !job && waits && sameface.state.queue.jobs.find((one) => one.state === 'waiting');
    node.hidden = (!job && !stuck) || shownBelow(job);
    const words = job ? sentence(job) : stuck ? whyStuck() : '';
    sameface.setText(text, words);
    const tone = job && job.state === 'running' ? 'busy' : 'warn';
    if (sign.dataset.tone !== tone) sameface.fill(sign, sameface.sign(tone));
    sign.dataset.tone = tone;
    bar.hidden = !job;
    if (job) bar.set(share(job), job.text);
    const key = (one) => `${one.label} ${one.id}`;
    sameface.keyed(buttons, controls(job), key, (one) => sameface.button(one.label, one.run, { small: true, title: one.title }));
    announce(job);
  }

  /** Whether the shown step says all of this, with the same buttons: they are on the page once. */
  function shownBelow(job) {
    const steps = { train: 'train', test: 'test', choose: 'test' };
    return Boolean(job) && steps[job.kind] === sameface.step && job.slug === sameface.slug && sameface.job(job.kind) === job;
  }

  function whyStuck() {
    const { supervisor } = sameface.state;
    if (!supervisor.active) return supervisor.reason || t('Another webui works on these characters.');
    return t('The queue is paused.');
  }

  function share(job) {
    const told = job.standing;
    return told && told.total ? told.done / told.total : null;
  }

  /** One line: what it is, how far it is, and how long it will take. */
  function sentence(job) {
    const told = job.standing || {};
    const done = { done: sameface.format.number(told.done), total: sameface.format.number(told.total) };
    const counted = told.total ? (job.kind === 'train' ? t('step {done} of {total}', done) : t('{done} of {total}', done)) : '';
    const left = told.seconds_left ? t('{time} left', { time: sameface.format.duration(told.seconds_left) }) : '';
    const state = wished(job) || (job.state === 'paused' ? t('paused') : '');
    const phase = !counted || told.text ? told.text : '';
    return [job.text, state, counted || phase, !state && left].filter(Boolean).join(' · ');
  }

  function wished(job) {
    return { stop: t('is being stopped'), pause: t('is being paused') }[job.wish] || '';
  }

  function controls(job) {
    const id = job ? job.id : 0;
    const act = (what) => () => sameface.api.post(`/jobs/${id}/${what}`).then(() => sameface.refresh());
    const go = { id, label: 'Resume', run: () => sameface.api.post('/queue', { paused: false }).then(() => sameface.refresh()) };
    if (!job) return sameface.state.queue.paused ? [go] : [];
    const stop = { id, label: 'Stop', run: act('stop'), title: 'Saves what there is, and ends' };
    if (job.state === 'paused') return [go, stop];
    if (job.wish === 'stop') return [];
    const heavy = !['audit', 'fill'].includes(job.kind);
    const pause = { id, label: 'Pause', run: act('pause'), title: 'Saves, and goes on later' };
    return heavy && !job.wish ? [pause, stop] : [stop];
  }

  const OPEN = ['running', 'waiting', 'paused'];
  let last = 0; // id of the job that was spoken of
  let known = null; // the jobs of the state before, by id; null before the first one
  let youngest = 0; // the highest id so far

  /** Tell a screen reader, and everybody, when a job has ended. */
  function announce(job) {
    const { jobs } = sameface.state.queue;
    if (known) jobs.filter(hasEnded).reverse().forEach(told);
    known = new Map(jobs.map((one) => [one.id, one]));
    youngest = Math.max(youngest, ...known.keys());
    if (job && job.id !== last) sameface.setText(parts.status, t('{job} runs', { job: job.text }));
    last = job ? job.id : 0;
  }

  /** Since the state before: open then, or come and gone in between; an old one that moves up in the list is no news. */
  function hasEnded(job) {
    if (OPEN.includes(job.state)) return false;
    const before = known.get(job.id);
    return before ? OPEN.includes(before.state) || before.ended !== job.ended : job.id > youngest;
  }

  function told(job) {
    sameface.signal.over(job);
    if (['audit', 'fill'].includes(job.kind) && job.state === 'finished') return; // seen in the panel
    if (job.state === 'finished') sameface.toast(t('{job}: finished', { job: job.text }), 'good');
    if (job.state === 'interrupted') sameface.toast(t('{job}: {error}', { job: job.text, error: job.error }), 'warn');
    if (job.state === 'failed') sameface.toast(t('{job}: {error}', { job: job.text, error: job.error }), 'bad');
    if (job.state === 'stopped') sameface.toast(t('{job}: stopped', { job: job.text }), 'none');
  }

  sameface.head = { mount, update, sentence, share };
})();
