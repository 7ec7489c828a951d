"""How alike painted faces are to a character's template: per picture, and with the LoRA against without.

These are first numbers, not a verdict: which likeness is good enough depends on the character and is calibrated
elsewhere. What could not be measured is None and says why; no number stands in for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lib_lora.character.photos import open_photo
from lib_lora.errors import UserError
from lib_lora.likeness.faces import FaceEngine, Quality
from lib_lora.likeness.robust import Numbers, spread
from lib_lora.likeness.template import Template

CAVEAT = (
    "These are first numbers, not yet a verdict: what counts as the same face has not been calibrated for this "
    "character, and similarity is no proof of identity."
)
LEAST_PHOTOS = 8  # fewer leave-one-out scores do not tell how alike the photos are
LEAST_FACES = 5  # with a usual spread of 0.08 the mean of five is known to about 0.04
LEAST_SEPARATION = 3.0  # d' under which photos and base pictures overlap too much for retention to mean anything


@dataclass(frozen=True)
class ImageScore:
    """One picture against the template.

    Attributes:
        image: its file name, or "picture 1", "picture 2", ...
        likeness: cosine, -1..1, of the face most like the template; None where none can be measured.
        reason: why there is no likeness, or why it is left out of summaries; empty where all is well.
        faces: how many were found.
        face: the quality of the face that `likeness` belongs to.
        largest: the likeness of the largest face where several were found: picking the most similar flatters.
    """

    image: str
    likeness: float | None
    reason: str
    faces: int
    face: Quality | None = None
    largest: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it is part of summaries."""
        return self.likeness is not None and not self.reason


@dataclass(frozen=True)
class Spread:
    """The likeness over a set of pictures.

    Attributes:
        images: how many pictures there are.
        faces: in how many a face was found.
        counted: how many the numbers are from (faces too small, blurred or doubtful are not).
        median, mean, p10, lowest: cosines; p10 is the interpolated 10th percentile. None where nothing was counted.
    """

    images: int
    faces: int
    counted: int
    median: float | None = None
    mean: float | None = None
    p10: float | None = None
    lowest: float | None = None


@dataclass(frozen=True)
class Uplift:
    """Likeness with the LoRA minus without it, over the pairs in which both were measured.

    Attributes:
        pairs: how many.
        median, mean: of the differences.
        better: in how many the LoRA's picture is more alike.
    """

    pairs: int
    median: float
    mean: float
    better: int


@dataclass(frozen=True)
class Summary:
    """A test grid against the photos.

    Attributes:
        engine: id of the face engine.
        photos: the photos' own leave-one-out likeness: what a perfect LoRA could reach.
        with_lora, without_lora: the painted pictures; None where none were given.
        uplift: None with `uplift_reason` where it cannot be measured.
        retention: (mean with the LoRA - median without) / (median of the photos - median without): 0 is the base
            model, 1 the photos themselves. None with `retention_reason` where it cannot be measured.
        separation: d' between photos and pictures without the LoRA; None where either is missing.
        remarks: photos left out, several faces, and the like, one sentence each.
        caveat: what these numbers are not.
    """

    engine: str
    photos: Spread
    with_lora: Spread
    without_lora: Spread | None
    uplift: Uplift | None
    uplift_reason: str
    retention: float | None
    retention_reason: str
    separation: float | None
    remarks: list[str] = field(default_factory=list)
    caveat: str = CAVEAT


def score_images(
    engine: FaceEngine,
    template: Template,
    images: Sequence[Image.Image | Path],
    progress: Callable[[int], None] | None = None,
) -> list[ImageScore]:
    """Score pictures or picture files against a template, one result for each, in order.

    A file that cannot be read is a result without a likeness. `progress` is called with the number done.

    Raises:
        UserError: the template was made by another engine.
    """
    if template.engine != engine.id:
        raise UserError(
            f"The face template was made by another face engine ({template.engine}, not {engine.id}); make it again."
        )
    scores = []
    for number, image in enumerate(images, 1):
        name = image.name if isinstance(image, Path) else f"picture {number}"
        scores.append(_score(engine, template, image, name))
        if progress:
            progress(number)
    return scores


def _score(engine: FaceEngine, template: Template, image: Image.Image | Path, name: str) -> ImageScore:
    try:
        faces = engine.faces(open_photo(image) if isinstance(image, Path) else image)
    except UserError as error:
        return ImageScore(name, None, str(error), 0)
    if not faces:
        return ImageScore(name, None, "no face found", 0)
    vector = template.array
    likenesses = [float(face.embedding @ vector) for face in faces]
    best = int(np.argmax(likenesses))
    quality = Quality.of(faces[best])
    largest = likenesses[0] if len(faces) > 1 else None  # an engine gives the largest face first
    return ImageScore(name, likenesses[best], quality.doubt, len(faces), quality, largest)


def spread_of(scores: Sequence[ImageScore]) -> Spread:
    """The summary of one set of pictures."""
    found = sum(score.faces > 0 for score in scores)
    return _spread(_counted(scores), len(scores), found)


def summarise(
    with_lora: Sequence[ImageScore],
    without_lora: Sequence[ImageScore] | None,
    template: Template,
    which: str = " with the LoRA",
) -> Summary:
    """Sum up a test grid.

    Args:
        with_lora: scores of the pictures painted with the LoRA.
        without_lora: the same prompts and seeds, in the same order, without it; None where they were not painted.
        template: what both were scored against.
        which: stands behind the names of the first pictures in remarks.
    """
    loo, kept = template.loo, _counted(with_lora)
    base = _counted(without_lora) if without_lora is not None else None
    uplift, uplift_reason = _uplift(with_lora, without_lora)
    retention, retention_reason = _retention(kept, base, loo)
    return Summary(
        engine=template.engine,
        photos=_spread(loo, len(template.references), sum(item.face is not None for item in template.references)),
        with_lora=spread_of(with_lora),
        without_lora=spread_of(without_lora) if without_lora is not None else None,
        uplift=uplift,
        uplift_reason=uplift_reason,
        retention=retention,
        retention_reason=retention_reason,
        separation=_separation(loo, base) if base is not None and min(len(loo), len(base)) >= 2 else None,
        remarks=[*_remarks(which, with_lora), *(f"photo {line}" for line in template.remarks)],
    )


def _counted(scores: Sequence[ImageScore]) -> Numbers:
    return np.array([score.likeness for score in scores if score.counts], np.float64)


def _spread(values: Numbers, images: int, faces: int) -> Spread:
    if not len(values):
        return Spread(images, faces, 0)
    median, mean, p10 = float(np.median(values)), float(values.mean()), float(np.percentile(values, 10))
    return Spread(images, faces, len(values), median, mean, p10, float(values.min()))


def _uplift(with_lora: Sequence[ImageScore], without_lora: Sequence[ImageScore] | None) -> tuple[Uplift | None, str]:
    if without_lora is None:
        return None, "there are no pictures without the LoRA"
    if len(with_lora) != len(without_lora):
        return None, f"{len(with_lora)} pictures with and {len(without_lora)} without the LoRA are no pairs"
    pairs = [(one, other) for one, other in zip(with_lora, without_lora, strict=True) if one.counts and other.counts]
    if not pairs:
        return None, "in no pair both faces could be measured"
    gain = np.array([(one.likeness or 0.0) - (other.likeness or 0.0) for one, other in pairs])
    return Uplift(len(pairs), float(np.median(gain)), float(gain.mean()), int((gain > 0).sum())), ""


def _separation(photos: Numbers, base: Numbers) -> float:
    """d' = (median of the photos - median of the base) / sqrt of their mean robust variance."""
    variance = (spread(photos) ** 2 + spread(base) ** 2) / 2
    return float((np.median(photos) - np.median(base)) / np.sqrt(variance))


def _retention(kept: Numbers, base: Numbers | None, photos: Numbers) -> tuple[float | None, str]:
    if base is None:
        return None, "there are no pictures without the LoRA to compare with"
    if len(photos) < LEAST_PHOTOS:
        return None, f"only {len(photos)} photos could be compared with each other; {LEAST_PHOTOS} are needed"
    for values, which in ((base, "without"), (kept, "with")):
        if len(values) < LEAST_FACES:
            found = f"only {len(values)} faces" if len(values) else "no face"
            return None, f"{found} could be measured {which} the LoRA; {LEAST_FACES} are needed"
    separation = _separation(photos, base)
    if separation < LEAST_SEPARATION:
        return None, (
            f"the photos and the pictures without the LoRA are too alike to tell apart "
            f"(separation {separation:.1f}; {LEAST_SEPARATION:.0f} is needed)"
        )
    zero, one = float(np.median(base)), float(np.median(photos))
    return (float(kept.mean()) - zero) / (one - zero), ""


def _remarks(which: str, scores: Sequence[ImageScore]) -> list[str]:
    remarks = []
    several = sum(score.faces > 1 for score in scores)
    if several:
        remarks.append(f"{several} of {len(scores)} pictures{which} show several faces; the most similar one counts.")
    remarks += [f"{score.image}{which}: {score.reason.rstrip('.')}." for score in scores if score.reason]
    return remarks
