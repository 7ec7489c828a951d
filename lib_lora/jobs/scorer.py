"""A scorer that stays: one JSON object a line in, one a line out, so that the models are loaded once.

{"image": "PATH"}            -> {"image": "PATH", "likeness": 0.71, "status": "ok", ...}
{"images": ["PATH", ...]}    -> {"verdict": {...}, "facts": {...}, "pictures": [...], ...}   a whole report
anything else                -> {"error": "one sentence"}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from lib_lora import settings
from lib_lora.character.store import folder_of, load
from lib_lora.errors import UserError
from lib_lora.jobs.scoring import lines_for, template_of
from lib_lora.likeness import report as reports
from lib_lora.likeness.faces import FaceEngine
from lib_lora.likeness.facts import Asked, status_of
from lib_lora.likeness.measure import Measurer
from lib_lora.likeness.report import Subject
from lib_lora.likeness.shown import Shown

LONGEST = 1 << 20  # characters of a line


class Scorer:
    """Judges pictures against one character; models, template and lines are loaded once.

    Raises:
        UserError: no such character, or none of its photos shows a face.
    """

    def __init__(self, root: Path, name: str, engine: FaceEngine) -> None:
        folder = folder_of(root, name)
        load(folder)
        self.subject, self.licence = Subject(name), engine.licence
        self.template = template_of(folder, engine)
        self.lines = lines_for(self.template)
        self.measure = Measurer(engine, self.template)

    def answer(self, line: str) -> dict[str, Any]:
        """The answer to one line; an error is an answer too."""
        try:
            if len(line) > LONGEST:
                raise UserError("The line is too long.")
            asked = json.loads(line)
        except ValueError:
            return {"error": 'This line is no JSON; send {"image": "PATH"}.'}
        except UserError as error:
            return {"error": str(error)}
        match asked:
            case {"image": str() as image}:
                return self._one(image)
            case {"images": list() as images} if images and all(isinstance(item, str) for item in images):
                return self._many(images)
        return {"error": 'Send {"image": "PATH"} or {"images": ["PATH", ...]}.'}

    def _one(self, image: str) -> dict[str, Any]:
        score = self.measure([Path(image)])[0].score
        values = settings.to_dict(score)
        return {**values, "image": image, "status": status_of(score, self.lines), "refusal": self.lines.refusal}

    def _many(self, images: list[str]) -> dict[str, Any]:
        measured = self.measure([Path(image) for image in images])
        shown = Shown(measured, [Asked()] * len(images))
        report = reports.make(shown, reports.Paths(images), self.template, self.lines, self.subject, self.licence)
        return settings.to_dict(report)


def serve(scorer: Scorer, lines: Iterable[str], out: IO[str]) -> None:
    """Answer line by line until the input ends."""
    for line in lines:
        if line.strip():
            out.write(json.dumps(scorer.answer(line), ensure_ascii=False) + "\n")
            out.flush()
