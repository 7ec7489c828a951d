"""A webui's loop with the guard in it, and a judge that knows pictures by their colour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from painting_loop import Webui

from lib_lora.errors import UserError
from lib_lora.guard.picture_guard import PictureGuard
from lib_lora.hosts.webuis import webui_generation
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.workflows.produce.picture_check import Checked


class ColourJudge:
    """Judges by the seed that a picture's colour tells: `bad` says which fail, and why; all others pass."""

    def __init__(self) -> None:
        self.bad: dict[int, tuple[str, float | None]] = {}
        self.judged: list[int] = []
        self.fails = False

    def __call__(self, image: Any, infotext: str, settings: Any) -> Checked:
        if self.fails:
            raise RuntimeError("the engine is broken")
        red, green, _ = image.getpixel((0, 0))
        seed = red + 256 * green
        self.judged.append(seed)
        reason, likeness = self.bad.get(seed, ("", 0.71))
        said = "there is no test grid" if reason == "not judged" else ""
        return Checked(reason, said, ImageScore("picture", likeness, "", 1), 0)  # type: ignore[arg-type]

    def name(self, wanted: str) -> str:
        if wanted == "nobody here":
            raise UserError("There is no such character.", code="character-missing")
        return wanted or "mara"

    def names(self) -> list[str]:
        return ["mara"]


@pytest.fixture
def judge() -> ColourJudge:
    return ColourJudge()


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines in the webui's log."""
    found: list[str] = []
    monkeypatch.setattr("lib_lora.guard.picture_guard.report", found.append)
    return found


@pytest.fixture
def webui(
    judge: ColourJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reports: list[str]
) -> Callable[..., Webui]:
    """webui(others...): a loop, and its state as `webui_generation` sees it."""

    def made(*others: Any) -> Webui:
        folder = tmp_path / "out"
        folder.mkdir()
        found = Webui(PictureGuard(judge), folder, list(others))  # type: ignore[arg-type]
        for one in others:
            one.webui = found
        there = {f"shared:state.{name}": name for name in vars(found.state)}

        def ask_or(name: str, default: Any = None) -> Any:
            if name == "processing:create_infotext":
                return lambda p, *_, index, **__: found.infotext(p, index)
            return getattr(found.state, there[name]) if name in there else default

        monkeypatch.setattr(webui_generation, "ask_or", ask_or)
        monkeypatch.setattr(webui_generation, "ask", lambda name: found.process_images)
        monkeypatch.setattr(webui_generation, "put", lambda name, value: setattr(found.state, there[name], value))
        return found

    return made
