/** What a request alone may not do: a code is shown where the webui runs, and asked for here. */
(function () {
  'use strict';

  const sameface = (window.sameface = window.sameface || {});
  const NEEDED = 428;
  const WHY = 'So that nobody but you can have a program run or a folder written into.';

  /**
   * Post; where the route asks for the code, ask for it in a dialog, and post again with it.
   * @returns {Promise} of the answer; rejects with one sentence where the dialog is closed.
   */
  sameface.postWithCode = async function (path, body) {
    try {
      return await sameface.api.post(path, body);
    } catch (error) {
      if (error.status !== NEEDED) throw error;
      return typed(path, body, error.message);
    }
  };

  function typed(path, body, sentence) {
    return new Promise((resolve, reject) => {
      let ended = () => reject(new Error(sameface.t('No code was typed, so nothing was changed.')));
      const said = sameface.el('p', { text: sameface.t(sentence), role: 'status' });
      const input = sameface.el('input', { class: 'sf-input', type: 'text', spellcheck: false, autocomplete: 'off' });
      const send = async () => {
        if (!input.value.trim()) return input.focus();
        try {
          const answer = await sameface.api.post(path, { ...body, code: input.value });
          ended = () => resolve(answer);
        } catch (error) {
          if (error.status === NEEDED) return wrong(error.message);
          ended = () => reject(error);
        }
        return shown.close();
      };
      const wrong = (text) => {
        sameface.setText(said, sameface.t(text));
        input.select();
      };
      input.addEventListener('keydown', (event) => event.key === 'Enter' && send());
      const buttons = [sameface.button('Cancel', () => shown.close()), sameface.button('Confirm', send, { main: true })];
      const field = sameface.field('Code', input, WHY);
      const row = sameface.el('div', { class: 'sf-row sf-end' }, buttons);
      const content = sameface.el('div', { class: 'sf-dialog-body' }, said, field, row);
      const shown = sameface.dialog('Is that you?', content, { closed: () => ended() });
      input.focus();
    });
  }
})();
