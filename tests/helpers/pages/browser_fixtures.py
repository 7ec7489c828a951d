"""A headless browser for the tests that look at a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Chromium draws parts of its own window as pages, in one more process for each page that is opened, which costs a third
# of a page. The second list is Playwright's own, which ours would replace.
_OWN_PAGES = (
    "PreloadTopChromeWebUI,WebUIOmniboxPopup,WebUIOmniboxAimPopup,InitialWebUI,WebUIReloadButton",
    "AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    "LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin,OptimizationHints,NetworkTimeServiceQuerying,AimEnabled,PreconnectToSearch",
)


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
