"""Templates and test grids made of stored embeddings of people who do not exist, without any picture.

`tests/data/simulated_people.npz` holds 16 people in 60 pictures each (tools/cohort.py); they are not in the cohort.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lib_lora.faces.array_text import packed
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import Quality
from lib_lora.faces.robust_mean import near_copies, robust_mean, unit
from lib_lora.likeness.measure.calibration import COHORT, Calibration, against, calibrate
from lib_lora.likeness.measure.cohort import cohort
from lib_lora.likeness.measure.face_measure import ImageScore, Measured
from lib_lora.likeness.measure.template import Reference, Template
from lib_lora.likeness.verdict.facts import Asked
from lib_lora.likeness.verdict.picture_set import PictureSet

FILE = Path(__file__).resolve().parents[2] / "data" / "simulated_people.npz"
FACE = Quality(px=200.0, score=0.9, blur=300.0, yaw=0.0)


@cache
def people() -> np.ndarray:
    """16 x 60 x 128, unit length."""
    with np.load(FILE, allow_pickle=False) as archive:
        return unit(archive["embeddings"].astype(np.float32)).astype(np.float32)


@cache
def engine_id() -> str:
    """Of the engine that described them."""
    return SFaceEngine().id


def template_of(embeddings: np.ndarray) -> Template:
    """The template of photos with these embeddings (n x d), as `template.build` settles it."""
    weights = np.ones(len(embeddings))
    copies = near_copies(embeddings, weights)
    own = [row for row, original in enumerate(copies) if original is None]
    result = robust_mean(embeddings[own], weights[own], strangers=cohort(engine_id()))
    place = {row: number for number, row in enumerate(own)}
    references = [
        Reference(
            file=f"{row:02d}.jpg",
            sha256=str(row),
            used=row in place and bool(result.kept[place[row]]),
            weight=1.0,
            likeness=float(result.scores[place[row]]) if row in place else None,
            face=FACE,
            embedding=packed(vector),
        )
        for row, vector in enumerate(embeddings)
    ]
    return Template(engine_id(), "", packed(result.vector), references)


def lines_of(template: Template) -> Calibration:
    """The lines with the shipped cohort alone."""
    return calibrate(template.loo, [(COHORT, against(template, cohort(template.engine)))])


def picture(embedding: np.ndarray, template: Template, name: str = "picture") -> Measured:
    """A picture of this face."""
    score = ImageScore(name, float(embedding @ template.array), "", 1, FACE)
    return Measured(score, embedding)


def shown(
    embeddings: Sequence[np.ndarray], template: Template, base: Sequence[np.ndarray] | None = None, **more: Any
) -> PictureSet:
    """A set of pictures of these faces, each of its own prompt; `base` without the LoRA."""
    return PictureSet(
        [picture(one, template) for one in embeddings],
        [Asked(f"prompt {number}") for number in range(len(embeddings))],
        base=None if base is None else [picture(one, template) for one in base],
        **more,
    )


def blend(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """A face between two, by spherical interpolation; share 0 = one."""
    angle = np.arccos(np.clip(float(one @ other), -1, 1))
    between: np.ndarray = (np.sin((1 - share) * angle) * one + np.sin(share * angle) * other) / np.sin(angle)
    return between
