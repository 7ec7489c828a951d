"""What the extension's script hands to the webui at every "Reload UI": the tab, the routes, the settings."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lib_lora.hosts import webui_options
from lib_lora.hosts.webui_modules import part

TITLE, ELEMENT = "Train LoRA", "sameface"


def register(
    host: Any,
    tab: Callable[[], Any],
    started: Callable[[Any, Any], None],
    unloaded: Callable[[], None] | None = None,
) -> None:
    """Make all registrations; to be called from ``scripts/``, whose calls alone the webui knows after a reload.

    Args:
        host: of `lib_lora.hosts.detect.host`; it is told of each new app.
        tab: makes the tab's ``gr.Blocks``.
        started: gets the page (None where the webui runs without one) and the FastAPI app, at each start.
        unloaded: called before the scripts are loaded anew. The process goes on, and what runs in it should too.
    """
    callbacks = part("script_callbacks")

    def app_started(demo: Any, app: Any) -> None:
        host.app = app
        started(demo, app)

    def register_all() -> None:
        callbacks.on_ui_settings(lambda: webui_options.add(host.remote()))
        callbacks.on_ui_tabs(lambda: [(tab(), TITLE, ELEMENT)])
        callbacks.on_app_started(app_started)
        if unloaded is not None:
            callbacks.on_script_unloaded(unloaded)

    # The webui reads the whole stack at each registration, 0.1 s in the main thread's; a new thread has a short one.
    with ThreadPoolExecutor(1) as short_stack:
        short_stack.submit(register_all).result()


def paste_button(button: Any, infotext_box: Any) -> None:
    """A click on `button` sends the infotext in a text box to txt2img, and turns to it; to be called within `tab`."""
    infotext = part("infotext_utils")
    infotext.register_paste_params_button(
        infotext.ParamBinding(paste_button=button, tabname="txt2img", source_text_component=infotext_box)
    )
