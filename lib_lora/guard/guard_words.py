"""Words what the guard found, for a picture's infotext, the gallery and a cell of an X/Y/Z plot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib_lora.messages.message import Message

if TYPE_CHECKING:
    from lib_lora.workflows.produce.picture_check import Checked

KEY = "Face match"  # in the infotext, which is English in every language
TITLE = "SameFace guard"
ENABLED, CHARACTER, LINE, ACTION = "Judge each picture's face", "Character", "What passes", "What happens to the rest"
TRIES = "Tries per picture, if painted again"
_PASSED = "{passed} of {counted} pass."
_STOPPED = "stopped, not judged"
_TRY = "{status}, try {tries}"
_NONE = "none"
_NOT_JUDGED = "Not judged: {why}."
_OTHER_SIZE = "Judged by the test grid at {wide} x {high}, since there is none at this size."
_UNMARKED = "{problem} Pictures pass unmarked."


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
    said: Message | str = ""
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


def templates() -> Iterator[str]:
    """The labels of the controls, which the webui itself translates, and the templates of the lines under the
    gallery; the words for a picture are those of a production."""
    yield from (TITLE, ENABLED, CHARACTER, LINE, ACTION, TRIES)
    yield from (KEY, _PASSED, _STOPPED, _TRY, _NONE, _NOT_JUDGED, _OTHER_SIZE, _UNMARKED)


def under_gallery(found: Sequence[FaceFinding | None], say: Callable[[Message], str] = str) -> list[str]:
    """The lines under the gallery.

    Args:
        found: of each picture, in their order; None = it was stopped before it was finished.
        say: puts a message into the user's language.
    """
    judged = [one for one in found if one is not None]
    if not judged:
        return []
    passed, counted = sum(one.passes for one in judged), [one for one in judged if one.passes or one.fails]
    begin = f"{say(Message(KEY))} ({judged[0].character}): "
    if counted:
        begin += f"{say(Message(_PASSED, {'passed': passed, 'counted': len(counted)}))} "
    several = len(found) > 1
    parts = []
    for number, one in enumerate(found, 1):
        words = say(Message(_STOPPED)) if one is None else f"{_number(one, say)} {_status(one, say)}"
        parts.append((f"{number}: " if several else "") + words)
    lines = [begin + "; ".join(parts) + "."]
    reasons = {_why(one.said, say) for one in judged if one.reason == "not judged" and one.said}
    lines += [say(Message(_NOT_JUDGED, {"why": why})) for why in sorted(reasons)]
    sizes = {one.lines_of for one in judged if one.lines_of}
    lines += [say(Message(_OTHER_SIZE, {"wide": wide, "high": high})) for wide, high in sorted(sizes)]
    return lines


def unmarked(problem: str, say: Callable[[Message], str] = str) -> str:
    """The line about pictures that could not be judged."""
    return f"{say(Message(TITLE))}: {say(Message(_UNMARKED, {'problem': problem}))}"


def _why(said: Message | str, say: Callable[[Message], str]) -> str:
    return (say(said) if isinstance(said, Message) else said).rstrip(".")


def _number(found: FaceFinding, say: Callable[[Message], str] = str) -> str:
    return say(Message(_NONE)) if found.likeness is None else f"{found.likeness:.2f}"


def _status(found: FaceFinding, say: Callable[[Message], str] = str) -> str:
    status = Message("ok" if found.passes else found.reason)
    return say(Message(_TRY, {"status": status, "tries": found.tries}) if found.tries > 1 else status)
