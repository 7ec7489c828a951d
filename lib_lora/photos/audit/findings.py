"""Finds what is wrong with one photo by rules on plain facts, which `finding_words` puts into sentences.

Where the limits come from is said in docs/references.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from lib_lora.captions.photo_facts import SMALL_FACE, AuditedPhoto, FaceFacts, PhotoComparison
from lib_lora.faces.face import SECOND_FACE
from lib_lora.photos.audit.near_duplicates import BURST_COSINE, COPY_COSINE, SAME_COSINE

Advice = Literal["drop", "look"]

TOO_SMALL = 32  # pixels of a face's longer side
SOFT, BLURRED = 50, 15  # variance of the Laplacian of the aligned face
SOFTER = 0.1  # of the set's median
DARK, BRIGHT = 45, 220  # mean grey level of the face
CLIPPED = 0.15  # share of the face's pixels
CUT, CUT_OFF = 0.85, 0.6  # share of the aligned face that is inside the photo
TILTED = 50  # degrees
LONG = 2.5  # longer side / shorter side
ENLARGED = 1.5  # times that a photo may be enlarged for training without a word
LETTERS = 5  # in one row


Code = Literal[
    # of a photo
    "photo-unreadable",
    "no-face",
    "sheet-of-four",
    "several-faces",
    "low-resolution",
    "long-photo",
    "writing",
    "same-bytes",
    "same-picture",
    "same-moment",
    "another-person",
    "unusual-view",
    "unclear-face",
    "small-face",
    "blurred-face",
    "soft-face",
    "cut-off-face",
    "tilted-head",
    "dark-face",
    "bright-face",
    "white-areas",
    "black-areas",
    "unsure-face",
    # of the set
    "several-people",
    "too-few-photos",
    "few-photos",
    "many-photos",
    "missing-views",
    "one-background",
    "one-outfit",
    "one-light",
]


# What may have been done to a copy, where its original has nothing of the kind.
MARRED: frozenset[Code] = frozenset(("writing", "dark-face", "bright-face", "white-areas", "black-areas"))


@dataclass(frozen=True)
class Finding:
    """Something that speaks against a photo, or against the set.

    Attributes:
        photo: its file name; empty = the whole set.
        code: of the rule that found it.
        advice: what is proposed: leave the photo out, or look at it.
        value, limit: what was measured, and from where on it is a finding; None where there is no number.
        details: what else its sentence names.
    """

    photo: str
    code: Code
    advice: Advice = "look"
    value: float | None = None
    limit: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def of_photo(photo: AuditedPhoto, resolution: int, usual_blur: float | None) -> list[Finding]:
    """Everything that is wrong with a photo; empty where all is well.

    Args:
        photo: compared with the others.
        resolution: pixels of a side of what will be trained.
        usual_blur: median of the set's faces; None where there is none.
    """
    name = photo.file
    if photo.facts.unreadable:
        return [Finding(name, "photo-unreadable", "drop", details={"reason": photo.facts.unreadable})]
    face = photo.facts.face
    of_face = [*_light(name, face)] if face is not None else []
    if face is not None and not of_face:  # in the dark everything is soft
        of_face += _face(name, face, usual_blur)
    # a face that can hardly be seen looks like nobody
    return [*_faces(photo), *_frame(photo, resolution), *of_face, *_comparison(photo, clear=not of_face)]


def _faces(photo: AuditedPhoto) -> Iterator[Finding]:
    name, faces = photo.file, photo.facts.faces
    if not faces:
        yield Finding(name, "no-face", "drop")
        return
    rivals = [face for face in faces[1:] if face.area >= SECOND_FACE * faces[0].area]
    if len(rivals) == 3 and _is_sheet(faces[:4]):
        yield Finding(name, "sheet-of-four", "drop", 4, 1)
    elif rivals:
        share = rivals[0].area / faces[0].area
        yield Finding(name, "several-faces", "drop", share, SECOND_FACE, {"faces": len(rivals) + 1})


def _is_sheet(faces: list[FaceFacts]) -> bool:
    """Whether there is one face in each quarter."""
    quarters = {(face.box[0] + face.box[2] / 2 > 0.5, face.box[1] + face.box[3] / 2 > 0.5) for face in faces}
    return len(quarters) == len(faces)


def _frame(photo: AuditedPhoto, resolution: int) -> Iterator[Finding]:
    name, facts = photo.file, photo.facts
    size = {"width": facts.width, "height": facts.height}
    larger = resolution / facts.short_side
    if larger > ENLARGED:
        yield Finding(name, "low-resolution", "look", larger, ENLARGED, {**size, "resolution": resolution})
    length = max(facts.width, facts.height) / facts.short_side
    if length > LONG:
        yield Finding(name, "long-photo", "look", length, LONG, size)
    tiny = facts.face is not None and facts.face.px < TOO_SMALL  # the photo goes, whatever is written on it
    if facts.letters >= LETTERS and not tiny:
        yield Finding(name, "writing", "look", facts.letters, LETTERS)


def _comparison(photo: AuditedPhoto, clear: bool) -> Iterator[Finding]:
    name, comparison = photo.file, photo.comparison
    if comparison.same_as:  # a decision is about the bytes, so it would be about both
        yield Finding(name, "same-bytes", details={"other": comparison.same_as})
    elif comparison.copy_of:
        limit = COPY_COSINE if (comparison.alike or 0.0) > COPY_COSINE else SAME_COSINE
        yield Finding(name, "same-picture", "drop", *_alike(comparison, limit), {"other": comparison.copy_of})
    elif comparison.burst_of:
        yield Finding(name, "same-moment", "drop", *_alike(comparison, BURST_COSINE), {"other": comparison.burst_of})
    if comparison.unlike and comparison.likeness is not None and comparison.usual is not None:
        yield _unlike(name, comparison, comparison.likeness, comparison.usual, clear)


def _unlike(name: str, comparison: PhotoComparison, likeness: float, usual: float, clear: bool) -> Finding:
    """Whom the template finds unlike the others is always named, so that nobody is left out of it unsaid."""
    value = None if comparison.reach is None else likeness  # a number stands beside its limit only
    details = {"likeness": likeness, "usual": usual, "left_out": comparison.left_out}
    if clear and comparison.stranger:
        return Finding(name, "another-person", "drop", value, comparison.reach, details)
    return Finding(name, "unusual-view" if clear else "unclear-face", "look", value, comparison.reach, details)


def _alike(comparison: PhotoComparison, limit: float) -> tuple[float | None, float | None]:
    """Value and limit; nothing where it is not the faces that tell."""
    return (None, None) if comparison.alike is None else (comparison.alike, limit)


@dataclass(frozen=True)
class _Bound:
    """A number of the face with one or two limits; under (or over) the harder one it is proposed to drop the photo."""

    code: Code
    value: Callable[[FaceFacts], float]
    limit: float
    hard: float | None = None
    over: bool = False


_FACE = (
    _Bound("small-face", lambda face: face.px, SMALL_FACE, TOO_SMALL),
    _Bound("blurred-face", lambda face: face.blur, SOFT, BLURRED),
    _Bound("cut-off-face", lambda face: face.shown, CUT, CUT_OFF),
    _Bound("tilted-head", lambda face: abs(face.roll), TILTED, over=True),
)
# Of each, the first that is found is enough.
_DARK = (
    _Bound("dark-face", lambda face: face.light, DARK),
    _Bound("black-areas", lambda face: face.black, CLIPPED, over=True),
)
_BRIGHT = (
    _Bound("bright-face", lambda face: face.light, BRIGHT, over=True),
    _Bound("white-areas", lambda face: face.white, CLIPPED, over=True),
)


def _bounds(name: str, face: FaceFacts, bounds: tuple[_Bound, ...]) -> Iterator[Finding]:
    for bound in bounds:
        value = bound.value(face)

        def beyond(limit: float | None, value: float = value, over: bool = bound.over) -> bool:
            return limit is not None and (value > limit if over else value < limit)

        if beyond(bound.limit):
            yield Finding(name, bound.code, "drop" if beyond(bound.hard) else "look", value, bound.limit)


def _face(name: str, face: FaceFacts, usual_blur: float | None) -> Iterator[Finding]:
    found = list(_bounds(name, face, _FACE))
    yield from found
    codes = {finding.code for finding in found}
    if usual_blur is not None and "blurred-face" not in codes and face.blur < SOFTER * usual_blur:
        yield Finding(name, "soft-face", "look", face.blur, SOFTER * usual_blur)
    if face.score < face.sure and not codes:
        yield Finding(name, "unsure-face", "look", face.score, face.sure)


def _light(name: str, face: FaceFacts) -> Iterator[Finding]:
    for bounds in (_DARK, _BRIGHT):
        yield from islice(_bounds(name, face, bounds), 1)
