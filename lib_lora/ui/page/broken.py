"""Shows a tab that opens although SameFace cannot start, and says what is wrong and how to fix it.

Written so that it loads where nothing else does: with the standard library alone, until it makes the tab.
"""

from __future__ import annotations

import html
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from lib_lora.errors import UserError
from lib_lora.setup import environment

TITLE, ELEMENT = "Train LoRA", "sameface"
_OLDEST = (3, 10)


@contextmanager
def shown_in_tab() -> Iterator[None]:
    """Whatever fails in the block becomes the tab's words; the stack trace goes to the console."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        words = said(error)
        _on_tabs(lambda: [(tab(words), TITLE, ELEMENT)])


def whole(make: Callable[[], Any]) -> Callable[[], Any]:
    """`make`, or the tab that says why it failed: the webui leaves out a tab whose function raises."""

    def made() -> Any:
        try:
            return make()
        except Exception as error:
            traceback.print_exc()
            return tab(said(error))

    return made


def said(error: BaseException) -> tuple[str, str]:
    """What is wrong and what mends it, in plain words."""
    if sys.version_info[:2] < _OLDEST:
        version = "{}.{}".format(*sys.version_info)
        return f"SameFace needs Python 3.10 or newer, and this webui runs Python {version}.", (
            "Install Python 3.10, delete the webui's folder venv, and start the webui again; it makes a new one."
        )
    if getattr(error, "code", "") == "webui-attribute-missing":
        return str(error), (
            "Update SameFace under Extensions, and restart the webui. If the problem persists, the webui is newer "
            "than SameFace."
        )
    if isinstance(error, UserError):
        return str(error), "Fix this, then press Reload UI in Settings."
    if isinstance(error, ModuleNotFoundError) and error.name and error.name.split(".")[0] != "lib_lora":
        name = error.name.split(".")[0]
        lost = [line for line in environment.requirements("run") if environment.parse(line)[0] == name]
        return f"The Python package {name} is missing from the webui's Python.", (
            "Start the webui once without --skip-install and --skip-prepare-environment: it then installs its own "
            f"packages again. Or type: {_quoted(sys.executable)} -m pip install {_quoted((lost or [name])[0])}"
        )
    if isinstance(error, ImportError) and error.name and error.name.split(".")[0] == "lib_lora":
        # Reload UI runs the new script with the modules of before, which stay loaded.
        return f"SameFace was updated while the webui was running: {_line(error)}", (
            "Restart the webui. If the problem persists, install SameFace again."
        )
    if isinstance(error, (ImportError, AttributeError)):
        return f"SameFace is not compatible with this webui: {_line(error)}", (
            "Update SameFace under Extensions, and restart the webui. If the problem persists, the webui may be newer "
            "than "
            "SameFace, or older than A1111 1.9."
        )
    return f"SameFace could not start: {_line(error)}", (
        "Restart the webui. If the problem persists, the webui's console has the details."
    )


def tab(words: tuple[str, str]) -> Any:
    """The tab with these words: what is wrong, and what mends it."""
    import gradio as gr

    wrong, mend = map(html.escape, words)
    with gr.Blocks(analytics_enabled=False) as blocks:
        place = gr.HTML(
            f'<div role="alert" style="max-width: 48em; padding: 1em"><h3>SameFace cannot start</h3><p>{wrong}</p>'
            f"<p><b>What to do:</b> {mend}</p></div>",
            elem_id="sameface_broken",
        )
    place.do_not_save_to_config = True
    return blocks


def _on_tabs(tabs: Callable[[], Any]) -> None:
    import_module("lib_lora.hosts.webui_attributes").ask("script_callbacks:on_ui_tabs")(tabs)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}: {text}." if text else f"{type(error).__name__}."


def _quoted(word: str) -> str:
    return f'"{word}"' if set(word) & set(" <>&|()'") else word
