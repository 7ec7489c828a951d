"""A person at the tab: looks for what is written on the page, clicks it, and takes pictures of what it shows."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PICTURES = os.environ.get("SAMEFACE_SCREENSHOTS")  # the folder for pictures of the page, for who wants to look at them
WAIT = 60.0  # seconds


class Visitor:
    """Someone with a browser window at `address`.

    Attributes:
        page: Playwright's.
        errors: what the page's scripts have raised.
    """

    def __init__(
        self,
        browser_windows: Any,
        address: str,
        name: str,
        width: int = 1280,
        height: int = 900,
        language: str = "en-US",
    ) -> None:
        self.address, self.name = address, name
        self.errors: list[str] = []
        self.page = browser_windows.new_page(width, height, language)
        self.page.set_default_timeout(WAIT * 1000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def come(self) -> None:
        """Open the page and turn to the tab."""
        self.page.goto(self.address)
        self.page.wait_for_selector("#sameface", state="attached")
        if not self.page.locator("#sameface").is_visible():  # alone, there is no other tab
            self.page.get_by_text(re.compile(r"^\s*Train LoRA\s*$")).first.click()
        self.page.wait_for_selector("#sameface .sf-tabs", state="visible")

    def step(self, name: str) -> None:
        """Turn to a step by its tab."""
        self.page.locator("#sameface").get_by_role("tab", name=re.compile(name)).first.click()
        self.page.wait_for_selector(f"#sf-panel-{name.lower()}", state="visible")

    def click(self, name: str, exact: bool = True) -> None:
        """Press the first button that can be seen with this on it."""
        self.page.locator("#sameface, .sf-dialog").get_by_role("button", name=name, exact=exact).locator(
            "visible=true"
        ).first.click()

    def sees(self, text: str | re.Pattern[str], seconds: float = WAIT) -> None:
        """Wait until something with this text can be seen."""
        found = self.page.locator("#sameface").get_by_text(text).locator("visible=true").first
        found.wait_for(state="visible", timeout=seconds * 1000)

    def photograph(self, what: str) -> None:
        """Keep a picture of the page where somebody asked for them."""
        if not PICTURES:
            return
        self.page.evaluate("document.querySelectorAll('img').forEach(one => { one.loading = 'eager' })")
        self.page.wait_for_timeout(700)  # nothing is left to be drawn when it is scrolled to
        self.page.screenshot(path=str(Path(PICTURES) / f"{self.name}-{what}.png"), full_page=True)

    def waits_for(self, ready: Callable[[], Any], seconds: float, what: str) -> Any:
        """Ask `ready` until it is true; the page lives on meanwhile."""
        until = time.monotonic() + seconds
        while not (answer := ready()):
            assert time.monotonic() < until, f"{what} did not come within {seconds:.0f} s"
            self.page.wait_for_timeout(300)
        return answer
