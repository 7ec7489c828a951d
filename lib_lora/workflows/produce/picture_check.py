"""Judges one picture at a time: whether it surely shows this person, and if not, why not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from lib_lora.faces.face import FaceEngine
from lib_lora.grid.picture_origin import PictureOrigin, read_origin
from lib_lora.likeness.measure.calibration import Calibration
from lib_lora.likeness.measure.face_measure import ImageScore, Measured
from lib_lora.likeness.verdict.facts import status_of
from lib_lora.likeness.verdict.traits import CopyLimits, copy_limits, is_copy, original
from lib_lora.messages.message import Message
from lib_lora.workflows.judge.picture_lines import CharacterLines
from lib_lora.workflows.judge.scoring import PictureJudge
from lib_lora.workflows.photos.character_template import ruler_of, template_of
from lib_lora.workflows.produce.production import Line, Reason
from lib_lora.workspace.workspace import CharacterFolder

_FAULTS: dict[str, Reason] = {
    "small": "small",
    "blurred": "blurred",
    "heavily compressed": "blurred",
    "cut": "cut",
    "unsure": "unsure",
    "eyes covered": "hidden",
    "lower half covered": "hidden",
    "posterised": "unsure",
    "painted": "unsure",
}


@dataclass(frozen=True)
class Checked:
    """What was found of one picture.

    Attributes:
        reason: why it does not pass; empty = it does.
        said: the reason in words, where there is more to say: a message where it can be translated.
        score: what was measured.
        hash: perceptual hash, 64 bits; None where the picture could not be read.
        lines_of: width and height of the test grid that it was judged by, where that is another size than its own.
    """

    reason: Reason
    said: Message | str
    score: ImageScore
    hash: int | None
    lines_of: tuple[int, int] | None = None


class PictureCheck:
    """Judges pictures of one character; models, template and lines are loaded once.

    Args:
        folder: of the character.
        name: of the character.
        engine: finds and describes faces.
        base: the checkpoint that paints the pictures; None = as their files say.
        line: see `ProductionPlan.line`.
        several: see there.

    Raises:
        UserError: none of the photos shows a face.
    """

    def __init__(
        self,
        folder: CharacterFolder,
        name: str,
        engine: FaceEngine,
        base: str | None,
        line: Line = "keep",
        several: bool = False,
    ) -> None:
        template, ruler = template_of(folder, engine), ruler_of(folder, engine)
        self._judge = PictureJudge(name, CharacterLines(folder, engine, template, ruler, base=base))
        self._limits: CopyLimits | None = copy_limits(template)
        self._line, self._several = line, several

    def __call__(self, path: Path) -> Checked:
        """What is to be said of one picture file."""
        return self._checked(self._judge.measure([path])[0], read_origin(path))

    def pixels(self, image: Image.Image, origin: PictureOrigin, elsewhere: bool = False) -> Checked:
        """What is to be said of a picture that is no file, or not yet.

        Args:
            image: the picture.
            origin: what its file would say of it.
            elsewhere: where no test grid has its size, it is judged by the lines of the nearest size that one has.
        """
        measured = self._judge.measure.one(image.convert("RGB"), "picture")
        found = self._checked(measured, origin)
        if found.reason != "not judged" or not elsewhere:
            return found
        sizes = self._judge.lines.sizes(origin)
        near = min(sizes, key=lambda size: _apart(size, image.size), default=None)
        if near is None:
            return found
        return replace(self._checked(measured, replace(origin, size=near)), lines_of=near)

    def _checked(self, measured: Measured, origin: PictureOrigin) -> Checked:
        lines = self._judge.lines.of([measured], [origin]).calibration
        reason, said = self._reason(measured.score, lines)
        return Checked(reason, said, measured.score, measured.hash)

    def _reason(self, score: ImageScore, lines: Calibration) -> tuple[Reason, Message | str]:
        status = status_of(score, lines)
        if status == "no face":
            return "no face", ""
        if status == "unreadable":
            return "unreadable", score.reason
        if status == "unjudged":
            return "not judged", lines.refusal.message() if lines.refusal else ""
        if score.face is not None and status == "suspect":
            return _FAULTS.get(score.face.fault, "unsure"), score.reason
        if status == "lost":
            return "lost", ""
        if status == "drift" and self._line == "keep":
            return "below the line", ""
        if score.faces > 1 and not self._several:
            return "several people", f"{score.faces} faces"
        if is_copy(score, self._limits):
            return "copy", original(score)
        return "", ""


def _apart(size: tuple[int, int], other: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    """How different two sizes are, by the shorter side; of two that are alike, the smaller one counts."""
    return abs(math.log(min(size) / max(1, min(other)))), size
