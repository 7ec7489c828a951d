"""Builds a character's reference: the mean of its photos' face embeddings, and how alike these are.

A photo that is not used is listed with the reason, never dropped silently. The file holds embeddings, which are
biometric data: deleting the file deletes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lib_lora import files, typed_settings
from lib_lora.character.photo_files import open_photo
from lib_lora.errors import UserError
from lib_lora.faces.array_text import packed, packed_crop, unpacked, unpacked_crop
from lib_lora.faces.array_types import Array, Numbers
from lib_lora.faces.face import LEAST_BLUR, SECOND_FACE, Face, FaceEngine, Quality
from lib_lora.faces.picture_descriptors import phash
from lib_lora.faces.robust_mean import near_copies, robust_mean
from lib_lora.likeness.measure.cohort import cohort

VERSION = 2


@dataclass(frozen=True)
class Reference:
    """One photo of the character.

    Attributes:
        file: its name.
        sha256: of its bytes; empty where they could not be read.
        used: whether it is part of the template.
        remark: why it is not used, or what to look at; empty where all is well.
        weight: in the mean, 0..1.
        likeness: cosine to the mean of the other used photos (leave one out); None where there is none.
        face: the face that was taken.
        embedding: of that face, base64 of little-endian float32.
        outlier: it looks like another person.
        dropped: the user has left the photo out; it is neither part of the template nor compared with it.
        hash: perceptual hash of the whole picture, 16 hexadecimal digits.
        crop: the aligned face in grey, base64 of a PNG of 112 x 112.
    """

    file: str
    sha256: str
    used: bool
    remark: str = ""
    weight: float = 0.0
    likeness: float | None = None
    face: Quality | None = None
    embedding: str | None = None
    outlier: bool = False
    dropped: bool = False
    hash: str | None = None
    crop: str | None = None


@dataclass(frozen=True)
class Template:
    """What a character's face is compared with. Means nothing to an engine with another id.

    Attributes:
        engine: id of the face engine.
        opencv: version that made it, for the record (versions agree to cosine 0.9999).
        vector: weighted robust mean of the used photos' embeddings, unit length, base64 of little-endian float32.
        references: every photo that was given, in that order.
        version: of this file's layout.
    """

    engine: str
    opencv: str
    vector: str
    references: list[Reference] = field(default_factory=list)
    version: int = VERSION

    @property
    def array(self) -> Array:
        """The template as unit vector of float32."""
        return unpacked(self.vector)

    @property
    def used(self) -> list[Reference]:
        """The photos that are part of it."""
        return [reference for reference in self.references if reference.used]

    @property
    def loo(self) -> Numbers:
        """Leave-one-out scores of the used photos; empty when there are fewer than two."""
        return np.array([item.likeness for item in self.used if item.likeness is not None], np.float64)

    @property
    def remarks(self) -> list[str]:
        """One line for each photo that is left out or looks odd."""
        return [f"{item.file}: {item.remark}" for item in self.references if item.remark]

    def is_current(self, engine: str, photos: Iterable[tuple[str, str]], dropped: Collection[str] = ()) -> bool:
        """Whether a new template of photos with these names and SHA-256 would be the same; see `assemble`."""
        known = sorted((item.file, item.sha256, item.dropped) for item in self.references)
        asked = sorted((file, digest, digest in dropped) for file, digest in photos)
        return self.version == VERSION and self.engine == engine and known == asked


def build(
    engine: FaceEngine,
    photos: Sequence[Path],
    progress: Callable[[int], None] | None = None,
    dropped: Collection[str] = (),
) -> Template:
    """The template of a character's photos.

    Args:
        engine: finds and describes the faces.
        photos: picture files.
        progress: is called with the number of photos done.
        dropped: see `assemble`.

    Raises:
        UserError: in no photo a face can be measured.
    """
    references: list[Reference] = []
    for photo in photos:
        references.append(_reference_of(engine, photo))
        if progress:
            progress(len(references))
    return assemble(engine.id, references, dropped)


def reference(file: str, sha256: str, image: Image.Image, faces: Sequence[Face]) -> Reference:
    """A photo by itself, before it is compared with the others.

    Args:
        file, sha256: its name, and the digest of its bytes.
        image: upright RGB.
        faces: in it, as an engine gives them.
    """
    face, why = choose_face(faces)
    if face is None:
        return Reference(file, sha256, False, why)
    quality = face.quality
    return Reference(
        file=file,
        sha256=sha256,
        used=True,
        remark=quality.doubt,
        weight=weight(face),
        face=quality,
        embedding=packed(face.embedding),
        hash=f"{phash(image):016x}",
        crop=None if face.crop is None else packed_crop(face.crop),
    )


def alone(item: Reference) -> Reference:
    """What `reference` gave for a photo of a template, so that it can be part of another one."""
    if item.embedding is None or item.face is None:
        return item
    return replace(item, used=True, remark=item.face.doubt, likeness=None, outlier=False, dropped=False)


def assemble(engine: str, references: Sequence[Reference], dropped: Collection[str] = ()) -> Template:
    """The template of photos, each as `reference` or `alone` gives it.

    Args:
        engine: id of the engine that saw the faces.
        references: in the order that the template should have.
        dropped: SHA-256 of the photos that the user has left out; they stay on the list, so that they need not be
            looked at again.

    Raises:
        UserError: in no photo a face can be measured.
    """
    items = [_dropped(item) if item.sha256 in dropped else item for item in _without_same_files(references)]
    embeddings = {
        place: unpacked(item.embedding)
        for place, item in enumerate(items)
        if item.embedding is not None and not item.dropped
    }
    if not embeddings:
        reasons = "; ".join(f"{item.file}: {item.remark}" for item in items[:3])
        raise UserError(
            f"No face can be measured in any of the {len(items)} photos"
            f"{f' ({reasons})' if reasons else ''}; add photos that show the character's face clearly.",
            code="no-measurable-face",
            photos=len(items),
        )
    vector = _settle(items, embeddings, cohort(engine))
    return Template(engine, cv2.__version__, packed(vector), items)


def choose_face(faces: Sequence[Face]) -> tuple[Face | None, str]:
    """The face of the character in a photo, or None and why: no face, several people, or nothing to measure."""
    if not faces:
        return None, "no face found"
    ordered = sorted(faces, key=lambda face: face.area, reverse=True)
    rivals = sum(face.area >= SECOND_FACE * ordered[0].area for face in ordered)
    if rivals > 1:
        return None, f"shows {rivals} faces of similar size; crop it to one person"
    quality = ordered[0].quality
    if quality.px < 32:
        return None, f"the face is only {quality.px:.0f} pixels, too small to measure"
    if quality.blur < LEAST_BLUR:
        return None, "the face is too blurred to measure"
    return ordered[0], ""


def weight(face: Face) -> float:
    """How much a photo counts, 0..1.

    The detector's score x size (full from 80 pixels) x sharpness (full from a blur of 50) x share inside the picture.
    """
    return face.score * min(1.0, face.px / 80) * min(1.0, max(0.25, face.blur / 50)) * face.shown


def save(template: Template, path: Path) -> None:
    """Write the template as JSON, atomically."""
    files.write_json(path, typed_settings.to_dict(template))


def load(path: Path) -> Template:
    """Read a template that `save` wrote.

    Raises:
        UserError: missing, damaged, or written by another version.
    """
    values = files.read_json(path)
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise UserError(
            f"{path} is not a face template of this version of SameFace; delete it and it will be made again.",
            code="template-of-other-version",
            file=path,
        )
    template = typed_settings.from_dict(Template, values, str(path))
    try:
        lengths = {unpacked(text).size for text in (template.vector, *_embeddings(template))}
        for item in template.references:
            int(item.hash or "0", 16)
            if item.crop is not None:
                unpacked_crop(item.crop)
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({error}); delete it and it will be made again.", code="template-damaged", file=path
        ) from error
    if len(lengths) != 1:
        raise UserError(
            f"{path} is damaged (vectors of several lengths); delete it and it will be made again.",
            code="template-damaged",
            file=path,
        )
    return template


def _embeddings(template: Template) -> list[str]:
    return [item.embedding for item in template.references if item.embedding is not None]


def _reference_of(engine: FaceEngine, photo: Path) -> Reference:
    digest = ""
    try:
        digest = files.sha256_once(photo)
        image = open_photo(photo)
        return reference(photo.name, digest, image, engine.faces(image))
    except UserError as error:
        return Reference(photo.name, digest, False, str(error))


def _dropped(item: Reference) -> Reference:
    return replace(item, used=False, dropped=True, remark="left out by you")


def _without_same_files(references: Sequence[Reference]) -> list[Reference]:
    first: dict[str, str] = {}
    found = []
    for item in references:
        if item.sha256 and first.setdefault(item.sha256, item.file) != item.file:
            item = Reference(item.file, item.sha256, False, f"the same file as {first[item.sha256]}")
        found.append(item)
    return found


def _settle(references: list[Reference], embeddings: dict[int, Array], strangers: Array | None) -> Array:
    """Compare the photos with each other: complete `references` in place, and return the template's vector."""
    places = list(embeddings)
    weights = np.array([references[place].weight for place in places])
    copies = near_copies(np.stack([embeddings[place] for place in places]), weights)
    for place, original in zip(places, copies, strict=True):
        if original is not None:
            other = references[places[original]].file
            references[place] = replace(references[place], used=False, remark=f"nearly the same picture as {other}")
    places = [place for place, original in zip(places, copies, strict=True) if original is None]
    result = robust_mean(
        np.stack([embeddings[place] for place in places]),
        np.array([references[place].weight for place in places]),
        strangers=strangers,
    )
    usual = float(np.median(result.scores[result.kept]))
    for row, place in enumerate(places):
        score = None if np.isnan(result.scores[row]) else float(result.scores[row])
        remark = references[place].remark
        if result.outlier[row]:
            remark = f"looks unlike the others (likeness {score:.2f}, usual is {usual:.2f}): another person, a profile?"
            if result.kept[row]:
                remark += " It is still counted, because too many photos differ."
            else:
                remark += " Likeness is measured without it, also if it is trained on."
        references[place] = replace(
            references[place],
            used=bool(result.kept[row]),
            remark=remark,
            likeness=score,
            outlier=bool(result.outlier[row]),
        )
    return result.vector
