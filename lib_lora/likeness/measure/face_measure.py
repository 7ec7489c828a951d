"""Measures one picture against a character's template, before any threshold is applied.

What could not be measured is None and says why; no number stands in for it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.faces.array_text import unpacked, unpacked_crop
from lib_lora.faces.array_types import Array, Pixels
from lib_lora.faces.eye_colour import delta_e
from lib_lora.faces.face import SECOND_FACE, Face, FaceEngine, Quality
from lib_lora.faces.picture_descriptors import hamming, phash
from lib_lora.likeness.measure.image_similarity import ssim, surroundings
from lib_lora.likeness.measure.template import Reference, Template

Picture = Image.Image | Path


@dataclass(frozen=True)
class ImageScore:
    """One picture against the template; plain numbers that may be kept (no biometric data).

    Attributes:
        image: its file name, or "picture 1", "picture 2", ...
        likeness: cosine, -1..1, of the face most like the template; None where none can be measured.
        reason: why there is no likeness, or why it is left out of summaries; empty where all is well.
        faces: how many may be the one that is meant: all but those much smaller (`faces.face.SECOND_FACE`) than the one
            that `likeness` belongs to.
        face: the quality of the face that `likeness` belongs to.
        largest: the likeness of the largest face where `faces` is more than 1: picking the most similar flatters.
        nearest: the photo whose face is most alike, and `nearest_likeness` how much (cosine).
        nearest_copy: the photo whose whole picture is most alike, and `copy_bits` in how many of 64 bits their
            perceptual hashes differ.
        copy_ssim: structural similarity, -1..1, of the aligned face and that of `nearest`.
        eye_change: difference of the eyes' colour to the photos' (CIE76); None where either is too small to tell.
    """

    image: str
    likeness: float | None
    reason: str
    faces: int
    face: Quality | None = None
    largest: float | None = None
    nearest: str | None = None
    nearest_likeness: float | None = None
    nearest_copy: str | None = None
    copy_bits: int | None = None
    copy_ssim: float | None = None
    eye_change: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it is part of summaries."""
        return self.likeness is not None and not self.reason


@dataclass(frozen=True, eq=False)
class Measured:
    """A picture's score with what summaries of a set need besides; not for keeping.

    Attributes:
        score: the numbers that may be kept.
        embedding: 128, of the face that was scored; None where there is none. Biometric data.
        hash: perceptual hash of the whole picture; None where it could not be read.
        surroundings: colour histogram of all but the face (`image_similarity.surroundings`).
        size: width and height in pixels.
    """

    score: ImageScore
    embedding: Array | None = None
    hash: int | None = None
    surroundings: Array | None = None
    size: tuple[int, int] = (0, 0)


class Measurer:
    """Measures pictures against one template.

    Args:
        engine: finds and describes faces.
        template: made by the same engine.

    Raises:
        UserError: the template was made by another engine.
    """

    def __init__(self, engine: FaceEngine, template: Template) -> None:
        if template.engine != engine.id:
            raise UserError(
                f"The face template was made by another face engine ({template.engine}, not {engine.id}); "
                "make it again.",
                code="template-of-other-engine",
                engine=template.engine,
            )
        self._engine = engine
        self._vector = template.array
        # a photo left out of the template for being a near copy or an outlier can still have been copied
        self._photos = [item for item in template.references if item.embedding is not None and not item.dropped]
        self._embeddings = np.stack([unpacked(item.embedding) for item in self._photos if item.embedding])
        self._eyes = _median_eyes(self._photos)

    def __call__(self, pictures: Sequence[Picture], progress: Callable[[int], None] | None = None) -> list[Measured]:
        """Measure pictures or picture files, one result for each, in order; a broken file is a result with a reason.

        `progress` is called with the number done.
        """
        measured = []
        for number, picture in enumerate(pictures, 1):
            measured.append(self._file(picture, number))
            if progress:
                progress(number)
        return measured

    def _file(self, picture: Picture, number: int) -> Measured:
        name = picture.name if isinstance(picture, Path) else f"picture {number}"
        try:
            return self.one(open_photo(picture) if isinstance(picture, Path) else picture, name)
        except UserError as error:
            return Measured(ImageScore(name, None, str(error), 0))

    def one(self, image: Image.Image, name: str) -> Measured:
        """Measure one upright RGB picture."""
        faces = self._engine.faces(image)
        digest = phash(image)
        if not faces:
            score = ImageScore(name, None, "no face found", 0)
            return Measured(score, None, digest, surroundings(image, None), image.size)
        likenesses = [float(face.embedding @ self._vector) for face in faces]
        best = int(np.argmax(likenesses))
        face = faces[best]
        quality = face.quality
        rivals = sum(other.area >= SECOND_FACE * face.area for other in faces)
        cosines = self._embeddings @ face.embedding
        near = int(np.argmax(cosines))
        copy, bits = self._copied(digest)
        score = ImageScore(
            image=name,
            likeness=likenesses[best],
            reason=quality.doubt,
            faces=rivals,
            face=quality,
            largest=likenesses[0] if rivals > 1 else None,  # an engine gives the largest face first
            nearest=self._photos[near].file,
            nearest_likeness=float(cosines[near]),
            nearest_copy=copy,
            copy_bits=bits,
            copy_ssim=_crop_ssim(face, self._photos[near]),
            eye_change=delta_e(face.eyes, self._eyes) if face.eyes and self._eyes else None,
        )
        return Measured(score, face.embedding, digest, surroundings(image, face.box), image.size)

    def _copied(self, digest: int) -> tuple[str | None, int | None]:
        apart = [(hamming(digest, int(item.hash, 16)), item.file) for item in self._photos if item.hash]
        return (min(apart)[1], min(apart)[0]) if apart else (None, None)


def _crop_ssim(face: Face, photo: Reference) -> float | None:
    if face.crop is None or photo.crop is None:
        return None
    grey: Pixels = np.asarray(cv2.cvtColor(face.crop, cv2.COLOR_RGB2GRAY), np.uint8)
    return round(ssim(grey, unpacked_crop(photo.crop)), 4)


def _median_eyes(photos: Sequence[Reference]) -> tuple[float, float, float] | None:
    """The usual colour of the eyes; None where fewer than three photos show it."""
    known = [item.face.eyes for item in photos if item.used and item.face and item.face.eyes]
    if len(known) < 3:
        return None
    light, a, b = (statistics.median(channel) for channel in zip(*known, strict=True))
    return light, a, b
