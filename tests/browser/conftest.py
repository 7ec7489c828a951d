"""A real browser for the tests of the tab: Debian's chromium, or another that is there, through Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A headless browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"needs a browser; none of {', '.join(NAMES)} is on this machine")
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=path, args=["--no-sandbox", "--no-proxy-server"])
        yield browser
        browser.close()
