"""Words what the guard found, for a picture's infotext, the gallery and a cell of an X/Y/Z plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lib_lora.workflows.produce.picture_check import Checked

KEY = "Face match"  # in the infotext


@dataclass(frozen=True)
class FaceFinding:
    """What was found of one picture.

    Attributes:
        character: whom it should show.
        passes: whether it does.
        reason: why not; "not judged" is no failure.
        said: more of the reason.
        likeness: cosine; None where none could be measured.
        tries: pictures that were painted for it.
        lines_of: see `Checked`.
    """

    character: str
    passes: bool
    reason: str = ""
    said: str = ""
    likeness: float | None = None
    tries: int = 1
    lines_of: tuple[int, int] | None = None

    @property
    def fails(self) -> bool:
        """Whether it is surely not what is wanted."""
        return not self.passes and self.reason not in ("not judged", "")


def finding_of(character: str, checked: Checked) -> FaceFinding:
    """A judgement as a finding."""
    likeness = None if checked.score.likeness is None else float(checked.score.likeness)
    return FaceFinding(character, not checked.reason, checked.reason, checked.said, likeness, 1, checked.lines_of)


def in_infotext(found: FaceFinding) -> str:
    """The value under `KEY`, such as ``0.71 (mara, ok)``."""
    return f"{_number(found)} ({found.character}, {_status(found)})"


def on_cell(found: FaceFinding) -> str:
    """The words on a cell of a plot."""
    return f"{_number(found)} {_status(found)}"


def under_gallery(found: Sequence[FaceFinding | None]) -> list[str]:
    """The lines under the gallery.

    Args:
        found: of each picture, in their order; None = it was stopped before it was finished.
    """
    judged = [one for one in found if one is not None]
    if not judged:
        return []
    passed, counted = sum(one.passes for one in judged), [one for one in judged if one.passes or one.fails]
    begin = f"{KEY} ({judged[0].character}): "
    if counted:
        begin += f"{passed} of {len(counted)} pass. "
    several = len(found) > 1
    parts = []
    for number, one in enumerate(found, 1):
        words = "stopped, not judged" if one is None else f"{_number(one)} {_status(one)}"
        parts.append((f"{number}: " if several else "") + words)
    lines = [begin + "; ".join(parts) + "."]
    reasons = {one.said for one in judged if one.reason == "not judged" and one.said}
    lines += [f"Not judged: {said.rstrip('.')}." for said in sorted(reasons)]
    sizes = {one.lines_of for one in judged if one.lines_of}
    lines += [
        f"Judged by the test grid at {wide} x {high}, since there is none at this size." for wide, high in sorted(sizes)
    ]
    return lines


def _number(found: FaceFinding) -> str:
    return "none" if found.likeness is None else f"{found.likeness:.2f}"


def _status(found: FaceFinding) -> str:
    words = "ok" if found.passes else found.reason
    return f"{words}, try {found.tries}" if found.tries > 1 else words
