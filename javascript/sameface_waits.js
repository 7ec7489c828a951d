/** Says below the webui's own Generate buttons that a picture waits while a LoRA is trained, and how long. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});
  const TABS = ['txt2img', 'img2img'];
  const AGAIN = 5000; // milliseconds between two looks, as long as something is said

  let timer = 0;

  document.addEventListener('click', (event) => {
    const pressed = TABS.some((tab) => event.target.closest && event.target.closest(`#${tab}_generate`));
    if (pressed && sameface.mount) look();
  });

  async function look() {
    clearTimeout(timer);
    const job = await holder();
    TABS.forEach((tab) => say(tab, job));
    if (job) timer = setTimeout(look, AGAIN);
  }

  /** The job for which the webui's queue is held; null where pictures are painted. */
  async function holder() {
    try {
      const { queue } = await sameface.api.get('/state');
      return queue.jobs.find((job) => job.id === queue.holds) || null;
    } catch {
      return null; // then nothing can be said
    }
  }

  function say(tab, job) {
    const line = document.querySelector(`#sameface_waits_${tab}`) || (job && make(tab));
    if (!line) return;
    line.hidden = !job;
    if (job) sameface.setText(line, words(job));
  }

  function make(tab) {
    const button = document.querySelector(`#${tab}_generate`);
    if (!button) return null;
    const line = sameface.el('p', { class: 'sameface-waits', id: `sameface_waits_${tab}`, role: 'status' });
    (button.closest(`#${tab}_generate_box`) || button).after(line);
    return line;
  }

  function words(job) {
    const left = job.standing && job.standing.seconds_left;
    const values = { job: job.text, time: left ? sameface.format.duration(left) : '' };
    return left
      ? sameface.t('{job}: pictures wait until it is done, {time} left. Pause it in Train LoRA to paint now.', values)
      : sameface.t('{job}: pictures wait until it is done. Pause it in Train LoRA to paint now.', values);
  }
})();
