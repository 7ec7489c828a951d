"""SameFace's few entries in the webui's own settings page."""

from __future__ import annotations

import importlib
from typing import Any

from lib_lora.hosts.parts import part

SECTION = ("sameface", "SameFace")
DATA_DIR, WORKER_PYTHON = "sameface_data_dir", "sameface_worker_python"
WHILE_TRAINING, WAIT, PAINT = "sameface_while_training", "make others wait", "let others paint"


def add(remote: bool) -> None:
    """Add them; to be called in the webui's ``on_ui_settings``.

    Args:
        remote: others may reach the webui. A folder or program is then no longer theirs to choose: the webui refuses to
            change an entry that is not shown, and the API never shows these two.
    """
    gr = importlib.import_module("gradio")
    info = part("options").OptionInfo
    hidden: dict[str, Any] = {"visible": False} if remote else {}
    entries = {
        DATA_DIR: info(
            "", "Folder of characters, runs and tests", gr.Textbox, hidden or None, section=SECTION, restrict_api=True
        )
        .info("empty: the folder sameface beside the webui's own data")
        .needs_restart(),
        WORKER_PYTHON: info(
            "", "Python that trains", gr.Textbox, hidden or None, section=SECTION, restrict_api=True
        ).info("empty: the webui's own"),
        WHILE_TRAINING: info(
            WAIT, "While a LoRA is trained", gr.Radio, {"choices": [WAIT, PAINT]}, section=SECTION
        ).info(
            "to let others paint brings the webui's model back to the GPU beside the training, which needs the memory"
            " for both"
        ),
    }
    for key, entry in entries.items():
        part("shared").opts.add_option(key, entry)
