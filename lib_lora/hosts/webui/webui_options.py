"""SameFace's one entry in the webui's own settings page: where its data lies, which its tab must know to start.

Everything else is set in the tab itself.
"""

from __future__ import annotations

import importlib
from typing import Any

from lib_lora.hosts.webui_attributes import ask, ask_or

SECTION = ("sameface", "SameFace")
DATA_DIR = "sameface_data_dir"


def add(remote: bool) -> None:
    """Add it; to be called in the webui's ``on_ui_settings``.

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
