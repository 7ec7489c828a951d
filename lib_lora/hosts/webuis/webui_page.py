"""Registers the tab, the routes and SameFace's entry of the settings with the webui at every "Reload UI"."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lib_lora.hosts.webui_attributes import AttributeMissing, ask, ask_or, report

TITLE, ELEMENT = "Train LoRA", "sameface"
SECTION = ("sameface", "SameFace")
DATA_DIR = "sameface_data_dir"


def register(
    host: Any,
    tab: Callable[[], Any],
    started: Callable[[Any, Any], None],
    unloaded: Callable[[], None] | None = None,
) -> None:
    """Make all registrations; to be called from ``scripts/``, whose calls alone the webui knows after a reload.

    Args:
        host: of `lib_lora.hosts.webuis.detect.host`; it is told of each new app.
        tab: makes the tab's ``gr.Blocks``.
        started: gets the page (None where the webui runs without one) and the FastAPI app, at each start.
        unloaded: called before the scripts are loaded again. The process goes on, and what runs in it should too.
    """
    ask("shared:cmd_opts")  # they say who may come in
    on_tabs, on_started = ask("script_callbacks:on_ui_tabs"), ask("script_callbacks:on_app_started")

    def app_started(demo: Any, app: Any) -> None:
        host.app = app
        started(demo, app)

    def settings() -> None:
        try:
            add_option(host.remote())
        except AttributeMissing as error:
            report(f"SameFace: {error}")

    def register_all() -> None:
        ask_or("script_callbacks:on_ui_settings", _unheard)(settings)
        on_tabs(lambda: [(tab(), TITLE, ELEMENT)])
        on_started(app_started)
        if unloaded is not None:
            ask_or("script_callbacks:on_script_unloaded", _unheard)(unloaded)

    # The webui reads the whole stack at each registration, 0.1 s in the main thread's; a new thread has a short one.
    with ThreadPoolExecutor(1) as short_stack:
        short_stack.submit(register_all).result()


def paste_button(button: Any, infotext_box: Any) -> None:
    """A click on `button` sends the infotext in a text box to txt2img, and turns to it; to be called within `tab`.

    A webui that has no such buttons gets none: `Webui.shows` says so where the prompt is offered.
    """
    try:
        binding = ask("infotext_utils:ParamBinding")(
            paste_button=button, tabname="txt2img", source_text_component=infotext_box
        )
        ask("infotext_utils:register_paste_params_button")(binding)
    except AttributeMissing as error:
        report(f"SameFace: {error}")


def _unheard(_callback: Callable[..., Any]) -> None:
    """In place of a registration that this webui does not have."""


def add_option(remote: bool) -> None:
    """Add SameFace's one entry to the webui's settings, where its data lies; called in ``on_ui_settings``.

    Args:
        remote: others may reach the webui. A folder is then no longer theirs to choose: the webui refuses to change an
            entry that is not shown, and the API never shows this one.
    """
    gr = importlib.import_module("gradio")
    hidden: dict[str, Any] | None = {"visible": False} if remote else None
    entry = ask("options:OptionInfo")(
        "", "Folder of characters, runs and tests", gr.Textbox, hidden, section=SECTION, restrict_api=True
    )
    entry.info("empty: the folder sameface beside the webui's own data; the rest is set in the tab, under Doctor")
    ask("shared:opts.add_option")(DATA_DIR, entry.needs_restart())


def data_folder() -> str:
    """What is set; the folder's usual name where nothing is."""
    return str(ask_or(f"shared:opts.{DATA_DIR}") or "sameface").strip()
