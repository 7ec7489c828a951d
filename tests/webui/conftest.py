"""What the tests of the tab in a running webui share: the webui, a character, its training, and what was seen."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from running import BASE, BUILD, MINI, PATIENCE, PRESET, SAMPLING, SAVE_EVERY, SETTINGS, STEPS, Running, phase

TESTS = Path(__file__).resolve().parents[1]
PHOTOS = 12


@pytest.fixture(scope="session")
def webui() -> Iterator[Running]:
    """The webui; one that was started here is ended again."""
    address, root = os.environ.get("WEBUI_URL", ""), os.environ.get("WEBUI_ROOT", "")
    if not address or not root:
        pytest.skip("WEBUI_URL and WEBUI_ROOT do not name a running webui and its folder")
    found = Running(address, Path(root), os.environ.get("WEBUI_START", ""))
    found.log.unlink(missing_ok=True)
    was_there = found.answers()
    if not was_there and not found.command:
        pytest.skip(f"nothing of SameFace answers at {address}, and WEBUI_START does not say how to start it")
    if not was_there:
        found.start()
    yield found
    found.headers.clear()
    if not was_there and found.process() is not None:
        found.kill()
    if was_there and found.process() is None and found.command:
        found.start()


@pytest.fixture(scope="session")
def seen() -> Iterator[dict[str, Any]]:
    """Numbers worth telling; written to ``build/webui-seen.json``."""
    found: dict[str, Any] = {}
    yield found
    BUILD.mkdir(exist_ok=True)
    (BUILD / "webui-seen.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


@pytest.fixture(scope="session")
def folders(webui: Running) -> dict[str, str]:
    """Where the webui keeps our data and its LoRAs."""
    found: dict[str, str] = webui.api("/doctor")["folders"]
    return found


@pytest.fixture(scope="session")
def base(webui: Running) -> str:
    """The base that is trained on: the webui's own copy, or the tests' small one where it has none."""
    known = [one["path"] for one in webui.api("/bases") if Path(one["path"]).name == BASE]
    return known[0] if known else str(TESTS / "data" / "mini-face" / MINI)


@pytest.fixture(scope="session")
def plain(webui: Running) -> Any:
    """A picture of the base before anything is trained; None where the webui cannot paint with it."""
    selected = [one for one in webui.api("/bases") if one["current"] and Path(one["path"]).name == BASE]
    return webui.picture() if selected else None


@pytest.fixture(scope="session")
def paints(plain: Any) -> bool:
    """Whether the webui can paint with the base."""
    return plain is not None


@pytest.fixture
def painting(paints: bool) -> None:
    """Skips where it cannot."""
    if not paints:
        pytest.skip(f"the webui does not paint with {BASE} (it is not there, not selected, or not supported)")


@pytest.fixture
def restartable(webui: Running) -> None:
    """Skips where the webui cannot be started again."""
    if not webui.command:
        pytest.skip("WEBUI_START does not say how to start the webui again")


@pytest.fixture(scope="session")
def character(webui: Running, seen: dict[str, Any], folders: dict[str, str]) -> Iterator[str]:
    """A character with audited and captioned photos, made through the routes; its slug."""
    name = f"Mara {time.strftime('%H%M%S')}"
    body = {"name": name, "trigger": "mrxa", "class_word": "woman", "consent": "fictional"}
    slug = webui.api("/characters", body)["slug"]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted((TESTS / "data" / "personas" / "mara").glob("*.jpg"))[:PHOTOS]:
            archive.write(path, path.name)
    data = base64.b64encode(content.getvalue()).decode()
    taken = webui.api(f"/characters/{slug}/photos", {"name": "mara.zip", "data": data})
    assert len(taken["added"]) == PHOTOS, taken
    for what in ("audit", "captions/fill"):
        begun = time.monotonic()
        webui.ended(webui.api(f"/characters/{slug}/{what}", {})["id"])
        seen[f"{what} seconds"] = round(time.monotonic() - begun, 1)
    yield slug
    with suppress(Exception):  # a webui that a failed test has left dead
        _put_away(webui, slug, name, folders)


def _put_away(webui: Running, slug: str, name: str, folders: dict[str, str]) -> None:
    mine = [job for job in webui.api("/jobs") if job["slug"] == slug]
    for job in mine:
        if job["state"] in ("waiting", "running"):
            webui.api(f"/jobs/{job['id']}/stop", {})
            webui.until(job["id"], lambda job: job["state"] not in ("waiting", "running"), 120)
        webui.api(f"/jobs/{job['id']}/forget", {})
    moved = webui.api(f"/characters/{slug}/delete", {"name": name})["moved_to"]
    shutil.rmtree(moved, ignore_errors=True)
    for path in Path(folders["loras"]).glob(f"{slug}*"):
        path.unlink()


@pytest.fixture(scope="session")
def trained(webui: Running, character: str, base: str, folders: dict[str, str], paints: bool, seen: Any) -> Any:
    """A short training, and what was seen of the webui while it ran."""
    found: dict[str, Any] = {}
    settings = {"steps": STEPS, "save_every": SAVE_EVERY, "likeness_curve": True, **SETTINGS}
    arguments = {"base": base, "preset": PRESET, "settings": settings, "then_test": False, "few": True}
    job = webui.api("/jobs", {"kind": "train", "character": character, "arguments": arguments})
    webui.until(job["id"], lambda job: phase(job) in ("preparing", "working", "training"), 180)
    [worker] = webui.workers(folders["data"])
    found |= {"exe": worker.exe(), "environment": worker.environ(), "parent": worker.ppid()}
    found["progress"] = webui.ask("/sdapi/v1/progress").json() if paints else {}
    asked, painted = time.time(), dict[str, Any]()

    def paint() -> None:
        painted.update(picture=webui.picture(), at=time.time())

    thread = threading.Thread(target=paint, daemon=True)
    if paints:
        thread.start()
    job = webui.ended(job["id"])
    thread.join(120 * PATIENCE) if paints else None
    found |= {"job": job, "meanwhile": painted, "asked": asked, "after": webui.picture() if paints else None}
    found |= {"run": job["result"]["run"], "steps": job["result"]["steps"]}
    steps = webui.events(job["id"], "step")
    seen["training seconds"] = round(job["ended"] - job["started"], 1)
    seen["seconds a step"] = round((steps[-1]["t"] - steps[0]["t"]) / max(1, steps[-1]["step"] - steps[0]["step"]), 2)
    return found


@pytest.fixture(scope="session")
def grid_job(webui: Running, character: str, trained: Any, folders: dict[str, str], paints: bool, seen: Any) -> Any:
    """The job that painted a small test grid, and what could change in the webui, before and after it."""

    def of_the_webui() -> Any:
        options = webui.ask("/sdapi/v1/options").json() if paints else None
        files = [webui.root / name for name in ("params.txt", "config.json")]
        contents = [path.read_bytes() if path.is_file() else None for path in files]
        return options, contents, sorted(path.name for path in Path(folders["loras"]).iterdir())

    before, begun = of_the_webui(), time.monotonic()
    arguments = {
        "run": trained["run"],
        "quick": True,
        "grid_steps": SAMPLING,
        "painter": "webui" if paints else "worker",
    }
    job = webui.api("/jobs", {"kind": "test", "character": character, "arguments": arguments})
    job = webui.ended(job["id"], seconds=1800)
    seen["grid seconds"] = round(time.monotonic() - begun, 1)
    return {"job": job, "before": before, "after": of_the_webui()}


class Window:
    """The webui's page in a browser.

    Attributes:
        page: Playwright's.
        errors: what was raised in our scripts; `others`: in the webui's own, or another extension's.
    """

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 1400, "height": 1000})
        self.page.set_default_timeout(120_000)
        self.errors: list[str] = []
        self.others: list[str] = []
        self.page.on("pageerror", self._raised)
        self.page.goto(address)
        self.page.wait_for_selector("#sameface.sf", state="attached")

    def _raised(self, error: Any) -> None:
        text = f"{error}\n{getattr(error, 'stack', '')}"
        (self.errors if "sameface" in text else self.others).append(text)

    def turn_to_us(self) -> None:
        """A click on our tab."""
        self.page.locator("#tabs > .tab-nav, #tabs > div").get_by_text("Train LoRA", exact=True).first.click()
        self.page.wait_for_selector("#sameface .sf-tabs, #sameface .sf-panel", state="visible")

    def photograph(self, name: str) -> None:
        """Keep a picture of the page."""
        folder = Path(os.environ.get("SAMEFACE_SCREENSHOTS") or BUILD / "screenshots")
        folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(folder / f"webui-{name}.png"), full_page=True)


@pytest.fixture
def window(webui: Running, chromium: Any) -> Iterator[Window]:
    """The page, open in a browser; whatever our scripts raise in it is a failure."""
    found = Window(chromium, webui.address)
    yield found
    found.page.close()
    assert found.errors == []
