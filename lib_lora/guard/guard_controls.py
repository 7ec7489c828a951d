"""Makes the guard's controls in txt2img and img2img."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lib_lora.guard.guard_settings import ACTIONS, LINES, MOST_TRIES, GuardSettings
from lib_lora.guard.guard_words import ACTION, CHARACTER, ENABLED, LINE, TITLE, TRIES
from lib_lora.hosts.webuis import webui_generation


def controls(names: Callable[[], list[str]], is_img2img: bool) -> Sequence[Any]:
    """The controls, in the order of `guard_settings`.

    Args:
        names: gives the characters that there are.
        is_img2img: for that tab; else for txt2img.
    """
    import gradio as gr  # type: ignore[import-untyped, import-not-found, unused-ignore]

    tab, plain = "img2img" if is_img2img else "txt2img", GuardSettings()

    def element(name: str) -> str:
        return f"{tab}_sameface_guard_{name}"

    there = names()
    words = [[one for one, _ in pairs] for pairs in (LINES, ACTIONS)]
    with gr.Accordion(TITLE, open=False, elem_id=element("accordion")):
        with gr.Row():
            enabled = gr.Checkbox(value=False, label=ENABLED, elem_id=element("enabled"))
            character = gr.Dropdown(
                there, value=there[0] if there else "", label=CHARACTER, elem_id=element("character")
            )
            webui_generation.refresh_button(character, names, element("refresh"))
        with gr.Row():
            line = gr.Radio(words[0], value=words[0][0], label=LINE, elem_id=element("line"))
            action = gr.Radio(words[1], value=words[1][0], label=ACTION, elem_id=element("action"))
            tries = gr.Slider(
                1,
                MOST_TRIES,
                value=plain.tries,
                step=1,
                label=TRIES,
                elem_id=element("tries"),
            )
        more = gr.Textbox(value="", visible=False, label="Further settings", elem_id=element("more"))
    found = [enabled, character, line, tries, action, more]
    for one in found:
        one.do_not_save_to_config = True  # the webui would keep today's first character as the default for ever
    return found
