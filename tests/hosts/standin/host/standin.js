// The few globals of a webui's page that extensions use.
(() => {
  const loaded = [], after = [], tabs = [], options = [];
  let seen = null, ready = false;
  window.opts = {};
  window.localization = window.localization || {};
  window.gradioApp = () => {
    const app = document.getElementsByTagName("gradio-app")[0] || document;
    if (app !== document) app.getElementById = (id) => document.getElementById(id);
    return app.shadowRoot || app;
  };
  window.onUiLoaded = (call) => loaded.push(call);
  window.onUiUpdate = window.onAfterUiUpdate = (call) => after.push(call);
  window.onUiTabChange = (call) => tabs.push(call);
  window.onOptionsAvailable = window.onOptionsChanged = (call) => options.push(call);
  const current = () => document.querySelector("#tabs > .tab-nav > button.selected, #tabs > .tab-nav button[aria-selected=true], #tabs button.selected");
  window.get_uiCurrentTab = current;
  window.get_uiCurrentTabContent = () => [...document.querySelectorAll("#tabs > .tabitem")].find((tab) => tab.style.display !== "none");
  window.updateInput = (element) => element.dispatchEvent(new Event("input", { bubbles: true }));
  window.switch_to_txt2img = (...all) => {
    const button = [...document.querySelectorAll("#tabs button")].find((one) => /^\s*txt2img\s*$/i.test(one.textContent));
    if (button) button.click();
    return all;
  };
  window.cardClicked = (tab, prompt) => {
    const box = document.querySelector(`#${tab}_prompt textarea`);
    box.value = box.value ? `${box.value} ${prompt}` : prompt;
    window.updateInput(box);
  };
  const call = (all, ...values) => all.forEach((one) => { try { one(...values); } catch (error) { console.error(error); } });
  new MutationObserver((changes) => {
    if (!ready && document.querySelector("#txt2img_prompt textarea")) {
      ready = true;
      fetch("./standin/options").then((answer) => answer.json()).then((all) => { Object.assign(window.opts, all); call(options); });
      call(loaded);
    }
    if (ready) call(after, changes);
    const now = current();
    if (now && now !== seen) { seen = now; call(tabs); }
  }).observe(document, { childList: true, subtree: true });
})();
