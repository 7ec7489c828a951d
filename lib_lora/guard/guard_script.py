"""Registers the guard with a webui: its script in txt2img and img2img, its part in saving, its axis of the X/Y/Z plot.

To be called from ``scripts/`` at every "Reload UI"; the judge, with the engine and templates that it has loaded, stays.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from lib_lora.guard.guard_controls import controls
from lib_lora.guard.guard_judge import GuardJudge
from lib_lora.guard.guard_words import KEY, TITLE
from lib_lora.guard.guarded_run import AXIS
from lib_lora.guard.picture_guard import PictureGuard
from lib_lora.hosts.webui_attributes import report
from lib_lora.hosts.webuis import webui_generation
from lib_lora.hosts.webuis.detect import host

NOBODY = "nobody"  # of the axis: not judged


def guard_script() -> type[Any] | None:
    """The class for the webui, which makes one for each of its tabs; None, and a line in its log, where it cannot."""
    try:
        base, always = webui_generation.script_class()
        guard = _guard()
        webui_generation.on_saving(guard.before_saved, guard.saved)
        webui_generation.on_before_page(lambda: webui_generation.offer_axis(KEY, _judge_by, lambda: _choices(guard)))
        return _class(base, always, guard)
    except Exception as error:
        report(f"SameFace guard: {' '.join(str(error).split())[:300]}")
        return None


@cache
def _guard() -> PictureGuard:
    """The only guard of the process, which outlives the scripts."""
    found = host()
    if found is None:
        raise RuntimeError("there is no webui in this process.")
    return PictureGuard(GuardJudge(lambda: found.roots().data))


def _class(base: type[Any], always: Any, guard: PictureGuard) -> type[Any]:
    class FaceGuardScript(base):  # type: ignore[misc]
        """What the webui calls; see `PictureGuard`."""

        def title(self) -> str:
            return TITLE

        def show(self, is_img2img: bool) -> Any:
            return always

        def ui(self, is_img2img: bool) -> Any:
            return controls(lambda: _names(guard), is_img2img)

        def process(self, p: Any, *values: Any) -> None:
            guard.begin(p, values)

        def postprocess_image_after_composite(self, p: Any, pp: Any, *values: Any) -> None:
            guard.finished(p, pp)

        def postprocess(self, p: Any, processed: Any, *values: Any) -> None:
            guard.ended(p, processed)

    return FaceGuardScript


def _names(guard: PictureGuard) -> list[str]:
    """The characters; none where the data folder cannot be read, which the tab says."""
    try:
        return guard.judge.names()
    except Exception as error:
        report(f"SameFace guard: {' '.join(str(error).split())[:300]}")
        return []


def _choices(guard: PictureGuard) -> list[str]:
    return [*_names(guard), NOBODY]


def _judge_by(p: Any, value: Any, _values: Any) -> None:
    """The axis: a cell is judged by a character, whatever the controls say."""
    name = str(value).strip()
    setattr(p, AXIS, "" if name == NOBODY else name)
