"""The page's own modules, used from a test: what is chosen, another step, the newest state."""

from __future__ import annotations

import time
from typing import Any

_WITH = r"""async (arg) => {
    const found = document.querySelector('#sameface');
    const base = (found.dataset.base || location.pathname).replace(/\/+$/, '');
    const [%(names)s] = await Promise.all(%(paths)s.map((path) => import(base + found.dataset.modules + path)));
    return (%(code)s)(arg);
}"""
_MODULES = {
    "api": "base/api.js",
    "shared": "base/app.js",
    "choice": "base/choice.js",
    "polling": "page/polling.js",
    "pictures": "test/grid_pictures.js",
    "parts": "widgets/form_parts.js",
}


def script(code: str) -> str:
    """JavaScript that calls a function with the modules `_MODULES` in its reach; for Playwright's `evaluate`."""
    paths = list(_MODULES.values())
    return _WITH % {"names": ", ".join(_MODULES), "paths": paths, "code": code}


def in_page(page: Any, code: str, arg: Any = None) -> Any:
    """What a function of JavaScript returns, which has the modules `_MODULES` in its reach."""
    return page.evaluate(script(code), arg)


def until(page: Any, code: str, arg: Any = None, seconds: float = 60) -> None:
    """Wait until such a function returns what is true (Playwright's own `wait_for_function` takes a promise for it)."""
    end = time.monotonic() + seconds
    page.wait_for_selector("#sameface.sf", state="attached")
    while not in_page(page, code, arg):
        assert time.monotonic() < end, f"{code} did not become true within {seconds:.0f} s"
        page.wait_for_timeout(50)


def go(page: Any, step: str, slug: str = "") -> None:
    """Turn to a step, of another character where one is named."""
    in_page(page, "to => choice.goTo(to)", {"slug": slug, "step": step} if slug else {"step": step})


def refresh(page: Any) -> None:
    """Have the newest state drawn."""
    in_page(page, "() => polling.refresh()")
