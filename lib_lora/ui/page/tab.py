"""Makes the tab as gradio sees it: a place that our own modules draw in, and a hidden button that fills in a prompt.

Works in gradio 3 to 6. Imports gradio alone.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from inspect import signature
from typing import Any

import gradio as gr  # type: ignore[import-untyped, import-not-found, unused-ignore]

from lib_lora.hosts.host_protocol import Host
from lib_lora.hosts.webuis.webui_page import ELEMENT, paste_button
from lib_lora.ui.page import page_modules

# Gradio 6 lays a style over HTML, which takes the ring from what has the focus; the page has its own.
_BARE = {"apply_default_css": False} if "apply_default_css" in signature(gr.HTML).parameters else {}
# Gradio 6 leaves out of the page what is not visible; a script must be able to press the button.
HIDDEN: Any = "hidden" if "hidden" in str(signature(gr.Button.__init__).parameters["visible"].annotation) else False
_LOADING = "Loading ... If this message stays, reload the page; the browser's console says what is wrong."


def tab(host: Host, token: str) -> gr.Blocks:
    """The tab.

    Args:
        host: a webui, whose own paste button the prompt goes through, or none.
        token: lets the page use the routes.
    """
    with gr.Blocks(analytics_enabled=False) as blocks:
        place = gr.HTML(mount(token), elem_id=f"{ELEMENT}_mount", **_BARE)
        infotext = gr.Textbox(elem_id=f"{ELEMENT}_infotext", visible=HIDDEN, show_label=False)
        send = gr.Button("Send", elem_id=f"{ELEMENT}_send", visible=HIDDEN)
        if host.name != "alone":
            paste_button(send, infotext)
    _not_in_config((place, infotext, send))
    return blocks


def mount(token: str, base: str = "") -> str:
    """The element that the scripts look for, with what they need to begin.

    Args:
        token: of the page.
        base: of the addresses, where the webui is below another path; empty = the page's own root.
    """
    values = {"token": token, "base": base, "modules": page_modules.address()}
    data = " ".join(f'data-{name}="{html.escape(value, quote=True)}"' for name, value in values.items())
    said = f"<noscript>This tab needs JavaScript.</noscript><p>{html.escape(_LOADING)}</p>"
    return f'<div id="{ELEMENT}" {data}>{said}</div>'


def _not_in_config(components: Iterable[Any]) -> None:
    """The webui keeps the values of components in ui-config.json; a token has no business there."""
    for component in components:
        component.do_not_save_to_config = True
