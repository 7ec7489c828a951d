"""Runs a scorer that stays loaded: one JSON object per line in, one per line out.

{"image": "PATH"}            -> {"image": "PATH", "likeness": 0.71, "status": "ok", ...}
{"images": ["PATH", ...]}    -> {"verdict": {...}, "facts": {...}, "pictures": [...], ...}   a whole report
anything else                -> {"error": "one sentence"}
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from lib_lora import typed_settings
from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.faces.face import FaceEngine
from lib_lora.likeness.report import report as reports
from lib_lora.likeness.verdict.facts import status_of
from lib_lora.workflows.judge.picture_lines import CharacterLines, origins_of
from lib_lora.workflows.judge.scoring import PictureJudge
from lib_lora.workflows.photos.character_template import ruler_of, template_of
from lib_lora.workspace.workspace import Workspace

LONGEST = 1 << 20  # characters of a line


class Scorer:
    """Judges pictures against one character; models, template and lines are loaded once.

    `base` as in `workflows.judge.picture_lines.CharacterLines`.

    Raises:
        UserError: no such character, none of its photos shows a face, or no such file as `base`.
    """

    def __init__(self, root: Path, name: str, engine: FaceEngine, base: str | None = None) -> None:
        folder = Workspace(root).character(name)
        load(folder)
        template, ruler = template_of(folder, engine), ruler_of(folder, engine)
        self.judge = PictureJudge(name, CharacterLines(folder, engine, template, ruler, base=base))

    def answer(self, line: str) -> dict[str, Any]:
        """The answer to one line; an error is an answer too."""
        if len(line) > LONGEST:
            return {"error": "The line is too long."}
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):  # the latter by brackets in thousands of brackets
            return {"error": 'This line is not JSON; send {"image": "PATH"}.'}
        try:
            match asked:
                case {"image": str() as image}:
                    return _refused([image]) or self._one(image)
                case {"images": list() as images} if images and all(isinstance(item, str) for item in images):
                    return _refused(images) or self._many(images)
        except UserError as error:
            return {"error": str(error)}
        return {"error": 'Send {"image": "PATH"} or {"images": ["PATH", ...]}.'}

    def _one(self, image: str) -> dict[str, Any]:
        path = [Path(image)]
        measured = self.judge.measure(path)
        lines = self.judge.lines.of(measured, origins_of(path), path).calibration
        score = measured[0].score
        values = typed_settings.to_dict(score)
        return {**values, "image": image, "status": status_of(score, lines), "refusal": str(lines.refusal or "")}

    def _many(self, images: list[str]) -> dict[str, Any]:
        report, _ = self.judge.report([Path(image) for image in images])
        rows = [replace(row, path=image) for row, image in zip(report.pictures, images, strict=True)]
        return reports.values_of(replace(report, pictures=rows))


def _refused(images: list[str]) -> dict[str, Any] | None:
    """The answer to a name that the system cannot even be asked for: with a NUL, or outside its encoding of names."""
    for image in images:
        try:
            if b"\0" not in os.fsencode(image):
                continue
        except UnicodeEncodeError:
            pass
        return {"error": f"{image!r} cannot be the name of a file."}
    return None


def serve(scorer: Scorer, lines: Iterable[str], out: IO[str]) -> None:
    """Answer line by line until the input ends."""
    for line in lines:
        if line.strip():
            out.write(json.dumps(scorer.answer(line)) + "\n")  # in ASCII: a name may hold what UTF-8 cannot
            out.flush()
