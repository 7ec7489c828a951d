"""Inspects painted pictures: whether a face can be measured, what it shows, and whether it is the picked face.

Embeddings stay in memory; what is kept on disk are pictures and plain numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lib_lora.captions.slots import AHEAD, TURNED
from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.faces.array_types import Box, Pixels
from lib_lora.faces.face import SECOND_FACE, Face, FaceEngine
from lib_lora.faces.picture_descriptors import phash
from lib_lora.faces.unjudgeable import COVERS, Hidden, covered
from lib_lora.likeness.measure.calibration import BASE, COHORT
from lib_lora.likeness.measure.cohort import cohort
from lib_lora.likeness.measure.one_face import FaceSample, Look, OneFace, near_copy, one_face
from lib_lora.likeness.measure.template import weight
from lib_lora.workflows.invent.good_candidates import doubt
from lib_lora.workflows.invent.invented_folder import InventedPicture
from lib_lora.workflows.invent.visible_traits import shows
from lib_lora.workflows.photos.measure_photos import facts

OTHER_FACE, NEAR_COPY = "other face", "near copy"
_COVERED: Hidden = "eyes covered"
# Cosine to a picture that shows the face, from which its eyes are not covered, whatever the model of covers says, which
# takes dark eyes under a fringe for covered ones: with its eyes covered, no face is more like itself than 0.76
# (`bench/photos/invent.py --what covers`, docs/inventing.md).
_UNCOVERED = 0.78
_FAULTS = {"small": "face too small", "blurred": "blurred", "cut": "face cut off", "unsure": "hardly a face"}


@dataclass(frozen=True, eq=False)
class VisibleFace:
    """What is visible in a picture.

    Attributes:
        why: its face cannot be used; empty where it can.
        sample: of the face; None where there is none, or several.
        weight: how much it counts in a mean, 0..1.
        shown: see `workflows.invent.visible_traits`.
        box: of the face, in pixels of the picture.
        yaw: how far it looks to a side (`Face.yaw`).
        doubt: why it is not good to begin from (`good_candidates`); empty where it is.
    """

    why: str
    sample: FaceSample | None = None
    weight: float = 0.0
    shown: dict[str, str] | None = None
    box: Box | None = None
    yaw: float | None = None
    doubt: str = ""


def inspect_face(engine: FaceEngine, image: Image.Image) -> VisibleFace:
    """Look at one upright RGB picture."""
    faces = sorted(engine.faces(image), key=lambda face: face.area, reverse=True)
    if not faces:
        return VisibleFace("no face")
    if sum(face.area >= SECOND_FACE * faces[0].area for face in faces) > 1:
        return VisibleFace("several faces")
    face = faces[0]
    sample, seen = FaceSample(face.embedding, phash(image), _grey(face)), facts(image, faces)
    return VisibleFace(
        _FAULTS.get(face.quality.fault, face.quality.fault),
        sample,
        weight(face),
        shows(seen),
        face.box,
        round(face.yaw, 3),
        doubt(seen.faces[0], 0.0 if face.crop is None else float(covered(face.crop)[COVERS.index(_COVERED)])),
    )


def inspect_file(engine: FaceEngine, path: Path) -> VisibleFace:
    """Look at a picture file.

    Raises:
        UserError: it cannot be read.
    """
    return inspect_face(engine, open_photo(path))


def _grey(face: Face) -> Pixels | None:
    return None if face.crop is None else np.asarray(cv2.cvtColor(face.crop, cv2.COLOR_RGB2GRAY), np.uint8)


def look_of(yaw: float, picked: float) -> Look:
    """Where a face looks beside the picked one, by their yaws (`Face.yaw`)."""
    if abs(yaw - picked) < AHEAD:
        return "same"
    side = 1 if picked > 0 else -1
    return "back" if abs(picked) >= TURNED and side * yaw < side * picked else "other"


def _is_like_one_of(sample: FaceSample, known: Sequence[FaceSample]) -> bool:
    return any(float(sample.embedding @ other.embedding) >= _UNCOVERED for other in known)


@dataclass(frozen=True)
class Judged:
    """What became of a picture; the numbers as in `InventedPicture`."""

    why: str
    likeness: float | None = None
    line: float | None = None
    to_picked: float | None = None
    picked_line: float | None = None


class Judge:
    """Decides whether pictures show the picked face; learns from what is kept.

    Args:
        engine: finds and describes faces.
        picked: the picked picture.
        strangers: other pictures of the same description by the same base model.

    Raises:
        UserError: the picked picture shows no face that can be measured, or there are too few strangers.
    """

    def __init__(self, engine: FaceEngine, picked: Path, strangers: Sequence[VisibleFace]) -> None:
        self.engine = engine
        self.first = inspect_file(engine, picked)
        if self.first.sample is None:
            raise UserError(
                f"{picked} shows no measurable face ({self.first.why}); pick another picture.",
                code="picture-without-clear-face",
            )
        found = [one.sample.embedding for one in strangers if one.sample is not None and not one.why]
        self._strangers = [
            (BASE, np.stack(found) if found else None),
            (COHORT, cohort(engine.id)),
        ]
        self._kept: list[tuple[str, VisibleFace]] = []  # by name; only such as show one face
        self.face = self._drawn(self.first.sample)

    def _drawn(self, first: FaceSample) -> OneFace:
        kept = [one.sample.embedding for _, one in self._kept if one.sample is not None]
        weights = np.array([self.first.weight, *(one.weight for _, one in self._kept)], np.float64)
        try:
            return one_face(
                first.embedding, np.stack(kept) if kept else np.zeros((0, 1), np.float32), weights, self._strangers
            )
        except ValueError as error:
            raise UserError(
                "Too few faces of strangers can be measured to tell the picked face from them; use a base model and a "
                "description that give a clear face.",
                code="too-few-strangers",
            ) from error

    def keep(self, seen: Sequence[tuple[str, VisibleFace]]) -> None:
        """Let these pictures (name, and what is visible) be part of the face; the lines are drawn again."""
        self._kept += [(name, one) for name, one in seen if one.sample is not None]
        if self.first.sample is not None:
            self.face = self._drawn(self.first.sample)

    def __call__(self, seen: VisibleFace, related: bool = True, original: InventedPicture | None = None) -> Judged:
        """Judge one picture.

        Args:
            seen: what is visible in it.
            related: it goes out from the picked picture, or from one that does.
            original: the kept picture that it is the mirror image of, to which the engine finds nearly no difference;
                it is judged by the line that the original was judged by.
        """
        known = [one.sample for one in (self.first, *(one for _, one in self._kept)) if one.sample is not None]
        if seen.sample is None or (seen.why and not (seen.why == _COVERED and _is_like_one_of(seen.sample, known))):
            return Judged(seen.why)
        embedding, face = seen.sample.embedding, self.face
        if original is not None:
            related = bool(original.start)
        yaw = seen.yaw if original is None else original.yaw
        look = look_of(yaw or 0.0, self.first.yaw or 0.0)
        numbers = (
            round(face.likeness(embedding), 4),
            round(face.mean_line.at, 4),
            round(face.to_picked(embedding), 4),
            round(face.picked_line(related, look), 4),
        )
        if not face.is_same(embedding, related, look):
            return Judged(OTHER_FACE, *numbers)
        copy = original is None and near_copy(seen.sample, known) is not None
        return Judged(NEAR_COPY if copy else "", *numbers)

    @property
    def fallen(self) -> list[str]:
        """Names of the kept, in the order in which they were, that would not be kept by the lines as they are now."""
        return [
            name
            for number, (name, one) in enumerate(self._kept)
            if one.sample is not None
            and (self.face.outliers[number] or not self.face.is_same(one.sample.embedding, related=False))
        ]
