"""Judges one picture at a time: whether it surely shows this person, and if not, why not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lib_lora.faces.face import FaceEngine
from lib_lora.likeness.measure.calibration import Calibration
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.likeness.verdict.facts import status_of
from lib_lora.likeness.verdict.traits import CopyLimits, copy_limits, is_copy, original
from lib_lora.workflows.judge.picture_lines import CharacterLines, origins_of
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
        said: the reason in words, where there is more to say.
        score: what was measured.
        hash: perceptual hash, 64 bits; None where the picture could not be read.
    """

    reason: Reason
    said: str
    score: ImageScore
    hash: int | None


class PictureCheck:
    """Judges pictures of one character; models, template and lines are loaded once.

    Args:
        folder: of the character.
        name: of the character.
        engine: finds and describes faces.
        base: the checkpoint that paints the pictures.
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
        measured = self._judge.measure([path])
        lines = self._judge.lines.of(measured, origins_of([path])).calibration
        score = measured[0].score
        reason, said = self._reason(score, lines)
        return Checked(reason, said, score, measured[0].hash)

    def _reason(self, score: ImageScore, lines: Calibration) -> tuple[Reason, str]:
        status = status_of(score, lines)
        if status == "no face":
            return "no face", ""
        if status == "unreadable":
            return "unreadable", score.reason
        if status == "unjudged":
            return "not judged", lines.refusal
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
