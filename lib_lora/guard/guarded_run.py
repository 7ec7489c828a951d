"""Keeps what the guard is asked, and what it found of each picture, during one run of the webui's painting.

It hangs on the webui's own ``p``, of which other programs make shallow copies at any time; a copy shares it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lib_lora.guard.guard_settings import GuardSettings
from lib_lora.guard.guard_words import KEY, FaceFinding, in_infotext
from lib_lora.provenance.source_type import COMPOSITE, GENERATED, SourceType, says_generated

_RUN, INNER, AXIS = "_sameface_run", "_sameface_inner", "_sameface_character"  # attributes of ``p``
_OTHERS_INNER = ("_ad_inner",)  # of what another program paints within: ADetailer


@dataclass
class GuardedRun:
    """See the module.

    Attributes:
        settings: what is asked.
        scores_only: nothing is painted again or put away.
        captions: scores are written on the cells of a plot.
        findings: by the picture's number in the run; None = it was stopped before it was finished.
        pictures: the finished pictures themselves, by the same: saving knows them by their identity.
        problem: why nothing is judged any more; empty = all is well.
    """

    settings: GuardSettings
    scores_only: bool = False
    captions: bool = False
    findings: dict[int, FaceFinding | None] = field(default_factory=dict)
    pictures: dict[int, Any] = field(default_factory=dict)
    problem: str = ""

    def finding_of(self, image: Any) -> FaceFinding | None:
        """What was found of this very picture; None where it is none of these, or was not judged."""
        return next((self.findings.get(number) for number, one in self.pictures.items() if one is image), None)


def run_of(p: Any) -> GuardedRun | None:
    """The run that hangs on ``p``; None where there is none, or ``p`` paints something within another picture."""
    if is_inner(p):
        return None
    found = getattr(p, _RUN, None)
    return found if isinstance(found, GuardedRun) else None


def put_run(p: Any, run: GuardedRun | None) -> None:
    """Hang a run on ``p``."""
    setattr(p, _RUN, run)


def is_inner(p: Any) -> bool:
    """Whether ``p`` paints something within another picture: our own next try, or ADetailer's faces."""
    return any(getattr(p, name, False) for name in (INNER, *_OTHERS_INNER))


def number_of(p: Any) -> int:
    """The number of the current picture in its run, from 0."""
    return int(getattr(p, "iteration", 0)) * int(p.batch_size) + int(getattr(p, "batch_index", 0))


def write_infotext(p: Any, run: GuardedRun) -> None:
    """Have the webui write each picture's finding into its infotext, and into no other.

    The webui calls a value that can be called whenever it makes an infotext. A grid's is asked for with
    ``use_main_prompt``; a picture that is not finished has no finding yet.
    """

    def text(use_main_prompt: bool = False, index: int | None = None, **_: Any) -> str | None:
        if use_main_prompt:
            return None
        found = run.findings.get(int(p.iteration) * int(p.batch_size) + int(index or 0))
        return in_infotext(found) if found else None

    p.extra_generation_params[KEY] = text


def source_type(p: Any) -> SourceType:
    """How a run's pictures came about: with a mask, a part is painted into a picture that stays."""
    masked = getattr(p, "image_mask", None) is not None or getattr(p, "mask", None) is not None
    starts = getattr(p, "init_images", None) or []
    painted = starts and all(_is_painted(one) for one in starts)
    return COMPOSITE if masked and starts and not painted else GENERATED


def _is_painted(image: Any) -> bool:
    """Whether a picture that the user gave says that it was painted itself."""
    info = getattr(image, "info", None) or {}
    return "parameters" in info or any(says_generated(one) for one in info.values() if isinstance(one, str))
