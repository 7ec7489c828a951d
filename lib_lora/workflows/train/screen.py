"""Detects whether a person sits at the screen, and opens a page for them."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import suppress


def at_a_screen() -> bool:
    """Whether a browser window would be seen: not in a pipe, a CI job or a bare terminal."""
    window = sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return window and sys.stdout.isatty() and not os.environ.get("SSH_CONNECTION")


def in_browser(address: str) -> None:
    """Open an address in the person's browser; where there is none, nothing happens."""
    with suppress(webbrowser.Error):
        browser = webbrowser.get()
        if type(browser) is not webbrowser.GenericBrowser:  # lynx and the like would take the terminal
            browser.open(address)
