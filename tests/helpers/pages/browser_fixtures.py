"""A headless browser for the tests that look at a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

# The first draws no window of its own, which saves processor time.
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium draws parts of its own window as pages, in one more process for each page that is opened, which costs a third
# of a page. The second list is Playwright's own, which ours would replace.
_OWN_PAGES = (
    "PreloadTopChromeWebUI,WebUIOmniboxPopup,WebUIOmniboxAimPopup,InitialWebUI,WebUIReloadButton",
    "AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    "LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin,OptimizationHints,NetworkTimeServiceQuerying,AimEnabled,PreconnectToSearch",
)

# Run once in a window, before any script of its page; a file's page has no storage that could be cleared.
_FORGET = """if (location.protocol.startsWith('http') && !sessionStorage.getItem('sameface-test')) {
    localStorage.clear();
    sessionStorage.setItem('sameface-test', 'opened');
}"""


class BrowserWindows:
    """Opens windows that remember nothing of each other. Those that are open one after the other share a cache, so that
    a page's files are loaded once."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._contexts: dict[str, Any] = {}

    def new_page(self, width: int = 1280, height: int = 900, language: str = "en-US") -> Any:
        """Playwright's page, `width` x `height` pixels; without that cache while another one is open."""
        size = {"width": width, "height": height}
        if language not in self._contexts:
            self._contexts[language] = self._browser.new_context(locale=language)
            self._contexts[language].add_init_script(_FORGET)
        context = self._contexts[language]
        if context.pages:
            return self._browser.new_page(viewport=size, locale=language)
        context.clear_cookies()
        context.clear_permissions()
        page = context.new_page()
        page.set_viewport_size(size)
        return page


def find_chromium() -> str | None:
    """The path of a browser on this machine; None where there is none."""
    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A headless browser, Debian's chromium or another that is there, through Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    path = find_chromium()
    if path is None:
        pytest.skip(f"needs a browser; none of {', '.join(_BROWSERS)} is on this machine")
    with playwright.sync_playwright() as player:
        words = ["--no-sandbox", "--no-proxy-server", f"--disable-features={','.join(_OWN_PAGES)}"]
        browser = player.chromium.launch(executable_path=path, args=words)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browser_windows(chromium: object) -> BrowserWindows:
    """See `BrowserWindows`."""
    return BrowserWindows(chromium)
