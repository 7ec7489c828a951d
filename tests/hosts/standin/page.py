"""The stand-in's page: python page.py FOLDER..., where the folders hold its modules (`stage.running_page` starts it).

As in the webui: prompt boxes, cards and their hidden refresh buttons, the tabs of extensions, their scripts and style
sheet in the page, settings, and Reload UI.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from typing import Any

sys.path[:0] = sys.argv[1:]
sys.path.remove(os.path.dirname(os.path.realpath(__file__)))

import gradio as gr  # noqa: E402
from modules import (  # noqa: E402
    call_queue,
    infotext_utils,
    paths,
    processing,
    progress,
    script_callbacks,
    scripts,
    sd_samplers,
    shared,
    standin_setup,
    ui_extra_networks,
)

HOST = os.path.dirname(os.path.dirname(os.path.realpath(processing.__file__)))
GRADIO4 = not gr.__version__.startswith("3.")
GRADIO6 = int(gr.__version__.partition(".")[0]) >= 6
HIDDEN: Any = "hidden" if GRADIO6 else False  # gradio 6 leaves out of the page what is not visible
original_template = gr.routes.templates.TemplateResponse
turn = 0


def webpath(path: str) -> str:
    return f"file={path}?{os.path.getmtime(path)}"


def style_sheet(path: str) -> str:
    """A link, as in the webui; but gradio 4.44 (no webui has it) serves style sheets as downloads."""
    if not GRADIO4:
        return f'<link rel="stylesheet" property="stylesheet" href="{webpath(path)}">'
    with open(path, encoding="utf8") as file:
        return f"<style>{file.read()}</style>"


def put_scripts_into_page() -> None:
    """As the webui: in <head> its own script, then those of extensions; style sheets before </body>."""
    head = f'<script type="text/javascript" src="{webpath(os.path.join(HOST, "standin.js"))}"></script>\n'
    for script in scripts.list_scripts("javascript", ".js"):
        head += f'<script type="text/javascript" src="{webpath(script.path)}"></script>\n'
    for script in scripts.list_scripts("javascript", ".mjs"):
        head += f'<script type="module" src="{webpath(script.path)}"></script>\n'
    body = "".join(style_sheet(path) for path in scripts.list_files_with_name("style.css"))

    def template_response(*args: Any, **kwargs: Any) -> Any:
        answer = original_template(*args, **kwargs)
        answer.body = answer.body.replace(b"</head>", f"{head}</head>".encode())
        answer.body = answer.body.replace(b"</body>", f"{body}</body>".encode())
        answer.init_headers()
        return answer

    gr.routes.templates.TemplateResponse = template_response


def paint(task: str, prompt: str, negative: str, steps: int, cfg: float, seed: int, width: int, height: int) -> Any:
    p = processing.StableDiffusionProcessingTxt2Img(
        prompt=prompt,
        negative_prompt=negative,
        steps=int(steps),
        cfg_scale=cfg,
        seed=int(seed),
        width=int(width),
        height=int(height),
        sampler_name="Euler",
        scheduler="Automatic",
        do_not_save_samples=True,
    )
    p.scripts, p.script_args = scripts.ScriptRunner(), ()
    return processing.process_images(p)


def painting_tab(tab: str) -> gr.Blocks:
    """Prompt boxes, numbers, Generate and the cards of "txt2img" or "img2img"."""
    with gr.Blocks(analytics_enabled=False) as interface:
        prompt = gr.Textbox(label="Prompt", elem_id=f"{tab}_prompt", lines=3, value="")
        negative = gr.Textbox(label="Negative prompt", elem_id=f"{tab}_neg_prompt", lines=2, value="")
        task = gr.Textbox(value="task(page)", visible=HIDDEN, elem_id=f"{tab}_task")
        go = gr.Button("Generate", elem_id=f"{tab}_generate", variant="primary")
        with gr.Row():
            gr.Dropdown(sd_samplers.visible_sampler_names(), label="Sampling method", elem_id=f"{tab}_sampling",
                        value="DPM++ 2M")  # fmt: skip
            steps = gr.Slider(1, 150, 20, step=1, label="Sampling steps", elem_id=f"{tab}_steps")
            cfg = gr.Slider(1.0, 30.0, 7.0, step=0.5, label="CFG Scale", elem_id=f"{tab}_cfg_scale")
            seed = gr.Number(label="Seed", value=-1, elem_id=f"{tab}_seed")
            width = gr.Slider(64, 2048, 512, step=8, label="Width", elem_id=f"{tab}_width")
            height = gr.Slider(64, 2048, 512, step=8, label="Height", elem_id=f"{tab}_height")
        gallery = gr.Gallery(label="Output", elem_id=f"{tab}_gallery")
        infotext = gr.Textbox(visible=HIDDEN, elem_id=f"generation_info_{tab}")
        cards = [gr.HTML(page.create_html(tab, empty=True), elem_id=f"{tab}_{page.extra_networks_tabname}_cards_html")
                 for page in ui_extra_networks.extra_pages]  # fmt: skip
        kept: list[str] = []  # as in the webui, the page's HTML changes by the button alone

        def cards_html() -> Any:
            kept[:] = kept or [page.create_html(tab) for page in ui_extra_networks.extra_pages]
            return kept if len(kept) > 1 else kept[0]

        def refresh() -> Any:
            for page in ui_extra_networks.extra_pages:
                page.refresh()
            kept.clear()
            return cards_html()

        gr.Button("Refresh", elem_id=f"{tab}_lora_extra_refresh_internal", visible=HIDDEN).click(refresh, [], cards)
        interface.load(cards_html, [], cards)

        def generate(*values: Any) -> Any:
            done = paint(*values)
            return done.images, done.infotexts[0]

        go.click(call_queue.wrap_gradio_gpu_call(generate),
                 [task, prompt, negative, steps, cfg, seed, width, height], [gallery, infotext])  # fmt: skip
    fields = [(prompt, "Prompt"), (negative, "Negative prompt"), (steps, "Steps"), (cfg, "CFG scale"), (seed, "Seed"),
              (width, "Size-1"), (height, "Size-2")]  # fmt: skip
    infotext_utils.add_paste_fields(tab, None, fields)
    return interface


def settings_tab() -> gr.Blocks:
    with gr.Blocks(analytics_enabled=False) as interface:
        for key, info in shared.opts.data_labels.items():
            label, value = info.label or key, shared.opts.data.get(key, info.default)
            component = info.component or gr.Textbox
            arguments = info.component_args() if callable(info.component_args) else info.component_args or {}
            if component is gr.Textbox and not isinstance(value, str):
                value = "" if value is None else str(value)
            shared.settings_components[key] = component(label=label, value=value, elem_id=f"setting_{key}", **arguments)
    return interface


def create_ui() -> gr.Blocks:
    put_scripts_into_page()
    infotext_utils.reset()
    shared.settings_components.clear()
    script_callbacks.ui_settings_callback()
    interfaces = [(painting_tab(tab), "Txt2img" if GRADIO4 and tab == "txt2img" else tab, tab)
                  for tab in ("txt2img", "img2img")]  # fmt: skip
    interfaces += script_callbacks.ui_tabs_callback()
    interfaces.append((settings_tab(), "Settings", "settings"))
    with gr.Blocks(analytics_enabled=False, title="Stand-in") as demo:
        with gr.Tabs(elem_id="tabs"):
            for interface, label, name in interfaces:
                with gr.TabItem(label, id=name, elem_id=f"tab_{name}"):
                    interface.render()
        infotext_utils.connect_paste_params_buttons()
    return demo


def add_routes(app: Any) -> None:
    """The webui's that matter, and the test's own below /standin."""
    progress.setup_progress_api(app)

    def txt2img(body: dict[str, Any]) -> dict[str, Any]:
        with call_queue.queue_lock:
            shared.state.begin(job="scripts_txt2img")
            try:
                done = paint("", body["prompt"], body.get("negative_prompt", ""), body.get("steps", 2), 7.0,
                             body.get("seed", 1), body.get("width", 64), body.get("height", 64))  # fmt: skip
            finally:
                shared.state.end()
        return {"infotexts": done.infotexts}

    def ping() -> dict[str, Any]:
        return {}

    def loras() -> list[dict[str, Any]]:
        import networks

        return [{"name": one.name, "alias": one.alias, "path": one.filename, "metadata": one.metadata}
                for one in networks.available_networks.values()]  # fmt: skip

    def restart() -> dict[str, Any]:
        shared.state.request("restart")
        return {}

    def state() -> dict[str, Any]:
        busy = not call_queue.queue_lock.acquire(blocking=False)
        if not busy:
            call_queue.queue_lock.release()
        return {"turn": turn, "busy": busy, "events": standin_setup.EVENTS,
                "devices": [one.device for one in shared_models()]}  # fmt: skip

    def shared_models() -> list[Any]:
        from modules import sd_models

        return sd_models.model_data.kept

    def set_options(body: dict[str, Any]) -> dict[str, Any]:
        return {key: shared.opts.set(key, value, is_api=True) for key, value in body.items()}

    app.add_api_route("/internal/ping", ping, methods=["GET"])
    app.add_api_route("/sdapi/v1/txt2img", txt2img, methods=["POST"])
    app.add_api_route("/sdapi/v1/loras", loras, methods=["GET"])
    app.add_api_route("/sdapi/v1/options", set_options, methods=["POST"])
    app.add_api_route("/standin/state", state, methods=["GET"])
    app.add_api_route("/standin/options", lambda: dict(shared.opts.data), methods=["GET"])
    app.add_api_route("/standin/reload", restart, methods=["POST"])


def credentials() -> list[tuple[str, str]] | None:
    given = shared.cmd_opts.gradio_auth
    return [tuple(one.strip().split(":", 1)) for one in given.split(",")] if given else None  # type: ignore[misc]


def let_go(server: Any) -> None:
    """End a server whose last connection is closed.

    Gradio 3's never ends by itself where a page was left while one of its events waited (``join_queue`` looks for ever
    at a websocket that nobody closes). A request that gets no answer keeps its connection, and the server, as before.
    """
    while not server.should_exit or server.server_state.connections:
        time.sleep(0.1)
    time.sleep(3)
    server.force_exit = True


def main() -> None:
    global turn
    import networks  # noqa: F401 - the built-in Lora is there before the extensions are

    standin_setup.shape()
    if os.path.isfile(shared.config_filename):
        shared.opts.load(shared.config_filename)
    while True:
        scripts.load_scripts()
        script_callbacks.before_ui_callback()
        for page in ui_extra_networks.extra_pages:
            page.refresh()
        shared.demo = create_ui()
        shared.demo.queue(64)
        app, _, _ = shared.demo.launch(
            server_name="127.0.0.1",
            server_port=shared.cmd_opts.port,
            auth=credentials(),
            prevent_thread_lock=True,
            inbrowser=False,
            quiet=True,
            **({"footer_links": []} if GRADIO6 else {"show_api": False}),
            allowed_paths=[HOST, paths.data_path, *standin_setup.EXTENSIONS],
        )
        app.user_middleware = [one for one in app.user_middleware if one.cls.__name__ != "CORSMiddleware"]
        add_routes(app)
        script_callbacks.app_started_callback(shared.demo, app)
        turn += 1
        while shared.state.wait_for_server_command(timeout=5) is None:
            pass
        threading.Thread(target=let_go, args=(shared.demo.server,), daemon=True).start()
        shared.demo.close()
        time.sleep(0.5)
        script_callbacks.app_reload_callback()
        script_callbacks.script_unloaded_callback()


if __name__ == "__main__":
    faulthandler.enable()
    if sys.platform != "win32":
        faulthandler.register(signal.SIGUSR1)
    main()
