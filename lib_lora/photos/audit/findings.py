"""What is wrong with one photo: rules on plain facts, each a sentence with the measured value and the limit.

Where the limits come from is said in docs/references.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from lib_lora.captions.photo_facts import AuditedPhoto, FaceFacts, PhotoComparison
from lib_lora.photos.audit.near_duplicates import BURST_COSINE, COPY_COSINE

Advice = Literal["drop", "look"]

SECOND_FACE = 0.3  # of the largest face's area
SMALL, TOO_SMALL = 64, 32  # pixels of a face's longer side
SOFT, BLURRED = 50, 15  # variance of the Laplacian of the aligned face
SOFTER = 0.1  # of the set's median
DARK, BRIGHT = 45, 220  # mean grey level of the face
CLIPPED = 0.15  # share of the face's pixels
CUT, CUT_OFF = 0.85, 0.6  # share of the aligned face that is inside the photo
TILTED = 50  # degrees
LONG = 2.5  # longer side / shorter side
ENLARGED = 1.5  # times that a photo may be enlarged for training without a word
LETTERS = 5  # in one row


@dataclass(frozen=True)
class Finding:
    """Something that speaks against a photo, or against the set.

    Attributes:
        photo: its file name; empty = the whole set.
        kind: in a word or two, the same for all findings of one rule.
        text: a sentence with the measured value and the limit.
        advice: what is proposed: leave the photo out, or look at it.
        value, limit: what was measured, and from where on it is a finding; None where there is no number.
    """

    photo: str
    kind: str
    text: str
    advice: Advice = "look"
    value: float | None = None
    limit: float | None = None


def of_photo(photo: AuditedPhoto, resolution: int, usual_blur: float | None) -> list[Finding]:
    """Everything that is wrong with a photo; empty where all is well.

    Args:
        photo: with its standing among the others.
        resolution: pixels of a side of what will be trained.
        usual_blur: median of the set's faces; None where there is none.
    """
    name = photo.file
    if photo.facts.unreadable:
        return [Finding(name, "unreadable", photo.facts.unreadable, "drop")]
    face = photo.facts.face
    of_face = [*_light(name, face)] if face is not None else []
    if face is not None and not of_face:  # in the dark everything is soft
        of_face += _face(name, face, usual_blur)
    # a face that can hardly be seen looks like nobody
    return [*_faces(photo), *_frame(photo, resolution), *of_face, *_standing(photo, clear=not of_face)]


def _faces(photo: AuditedPhoto) -> Iterator[Finding]:
    name, faces = photo.file, photo.facts.faces
    if not faces:
        yield Finding(
            name,
            "no face",
            f"{name}: no face is found; a photo from behind, or of something else, teaches none.",
            "drop",
        )
        return
    rivals = [face for face in faces[1:] if face.area >= SECOND_FACE * faces[0].area]
    if len(rivals) == 3 and _is_sheet(faces[:4]):
        yield Finding(
            name, "sheet", f"{name} is a sheet of four pictures; cut it apart and import the pieces.", "drop", 4, 1
        )
    elif rivals:
        share = rivals[0].area / faces[0].area
        yield Finding(
            name,
            "several people",
            f"{name} shows {len(rivals) + 1} faces of similar size (the second has {share:.1%} of the first one's "
            f"area, the limit is {SECOND_FACE:.0%}); crop it to one person.",
            "drop",
            share,
            SECOND_FACE,
        )


def _is_sheet(faces: list[FaceFacts]) -> bool:
    """One face in each quarter."""
    quarters = {(face.box[0] + face.box[2] / 2 > 0.5, face.box[1] + face.box[3] / 2 > 0.5) for face in faces}
    return len(quarters) == len(faces)


def _frame(photo: AuditedPhoto, resolution: int) -> Iterator[Finding]:
    name, facts = photo.file, photo.facts
    larger = resolution / facts.short_side
    if larger > ENLARGED:
        yield Finding(
            name,
            "low resolution",
            f"{name} is {facts.width} x {facts.height} pixels and must be enlarged {larger:.2f} times for {resolution} "
            f"(up to {ENLARGED:g} is fine); find a larger copy.",
            "look",
            larger,
            ENLARGED,
        )
    length = max(facts.width, facts.height) / facts.short_side
    if length > LONG:
        yield Finding(
            name,
            "long",
            f"{name} is {facts.width} x {facts.height} pixels, {length:.2f} to 1 (limit {LONG:g}); its ends will be "
            "cut off, so crop it.",
            "look",
            length,
            LONG,
        )
    if facts.letters >= LETTERS:
        yield Finding(
            name,
            "writing",
            f"{name} seems to have writing on it ({facts.letters} letters in a row, {LETTERS} are enough to say so); a "
            "watermark is learned with the face, so crop it off.",
            "look",
            facts.letters,
            LETTERS,
        )


def _standing(photo: AuditedPhoto, clear: bool) -> Iterator[Finding]:
    name, standing = photo.file, photo.standing
    if standing.same_as:  # a decision is about the bytes, so it would be about both
        yield Finding(name, "copy", f"{name} holds the same bytes as {standing.same_as} and is used once; delete one.")
    elif standing.copy_of:
        how, alike, limit = _alike(standing, COPY_COSINE)
        text = f"{name} is the same picture as {standing.copy_of}, which is better{how}."
        yield Finding(name, "copy", text, "drop", alike, limit)
    elif standing.burst_of:
        how, alike, limit = _alike(standing, BURST_COSINE)
        text = f"{name} shows the same moment as {standing.burst_of}, which is better{how}; one will do."
        yield Finding(name, "burst", text, "drop", alike, limit)
    if standing.unlike and standing.likeness is not None and standing.usual is not None:
        yield _unlike(name, standing, standing.likeness, standing.usual, clear)


def _unlike(name: str, standing: PhotoComparison, likeness: float, usual: float, clear: bool) -> Finding:
    """Whom the template finds unlike the others is always named, so that nobody is left out of it unsaid."""
    reach = "" if standing.reach is None else f", and strangers can have {standing.reach:.2f}"
    head = f"{name} looks unlike the others (likeness {likeness:.2f}, usual is {usual:.2f}{reach}): "
    after = " Likeness is measured without it, also if you keep it for the training." if standing.left_out else ""
    value = None if standing.reach is None else likeness  # a number stands beside its limit only
    if clear and standing.stranger:
        text = f"{head}another person, or a view that hides the face.{after}"
        return Finding(name, "another person", text, "drop", value, standing.reach)
    why = "most likely this person in an unusual view" if clear else "a face that can hardly be seen looks like nobody"
    return Finding(name, "unlike", f"{head}{why}.{after}", "look", value, standing.reach)


def _alike(standing: PhotoComparison, limit: float) -> tuple[str, float | None, float | None]:
    """In words, value and limit; nothing where the photos show no face."""
    if standing.alike is None:
        return "", None, None
    return f" (likeness of the faces {standing.alike:.3f}, limit {limit:g})", standing.alike, limit


@dataclass(frozen=True)
class _Bound:
    """A number of the face with one or two limits; under (or over) the harder one it is proposed to drop the photo."""

    kind: str
    value: Callable[[FaceFacts], float]
    limit: float
    hard: float | None
    over: bool
    text: str


_FACE = (
    _Bound(
        "tiny face", lambda face: face.px, SMALL, TOO_SMALL, False, "the face has {value:.1f} pixels (limit {limit:g})"
    ),
    _Bound(
        "blurred", lambda face: face.blur, SOFT, BLURRED, False, "the face is blurred ({value:.0f}, limit {limit:g})"
    ),
    _Bound(
        "cut off",
        lambda face: face.shown,
        CUT,
        CUT_OFF,
        False,
        "the edge cuts the face off ({value:.1%} is shown, limit {limit:.0%})",
    ),
    _Bound(
        "tilted",
        lambda face: abs(face.roll),
        TILTED,
        None,
        True,
        "the head lies on its side ({value:.0f} degrees, limit {limit:g}); turn the photo if it is not meant to",
    ),
)
_LIGHT = (
    _Bound(
        "dark", lambda face: face.light, DARK, None, False, "the face is dark (grey level {value:.0f}, limit {limit:g})"
    ),
    _Bound(
        "bright",
        lambda face: face.light,
        BRIGHT,
        None,
        True,
        "the face is too bright (grey level {value:.0f}, limit {limit:g})",
    ),
    _Bound(
        "bright",
        lambda face: face.white,
        CLIPPED,
        None,
        True,
        "{value:.0%} of the face is fully white (limit {limit:.0%}), and what was there is lost",
    ),
    _Bound(
        "dark",
        lambda face: face.black,
        CLIPPED,
        None,
        True,
        "{value:.0%} of the face is fully black (limit {limit:.0%}), and what was there is lost",
    ),
)


def _bounds(name: str, face: FaceFacts, bounds: tuple[_Bound, ...]) -> Iterator[Finding]:
    for bound in bounds:
        value = bound.value(face)

        def beyond(limit: float | None, value: float = value, over: bool = bound.over) -> bool:
            return limit is not None and (value > limit if over else value < limit)

        if beyond(bound.limit):
            advice: Advice = "drop" if beyond(bound.hard) else "look"
            text = bound.text.format(value=value, limit=bound.limit)
            yield Finding(name, bound.kind, f"{name}: {text}.", advice, value, bound.limit)


def _face(name: str, face: FaceFacts, usual_blur: float | None) -> Iterator[Finding]:
    found = list(_bounds(name, face, _FACE))
    yield from found
    kinds = {finding.kind for finding in found}
    if usual_blur is not None and "blurred" not in kinds and face.blur < SOFTER * usual_blur:
        limit = SOFTER * usual_blur
        text = (
            f"{name}: the face is far softer than the others ({face.blur:.0f}; a tenth of the median is {limit:.0f})."
        )
        yield Finding(name, "blurred", text, "look", face.blur, limit)
    if face.score < face.sure and not kinds:
        text = f"{name}: it is not sure that this is a face ({face.score:.3f}, limit {face.sure:g})."
        yield Finding(name, "unsure", text, "look", face.score, face.sure)


def _light(name: str, face: FaceFacts) -> Iterator[Finding]:
    """One sentence for dark, one for bright."""
    yield from {finding.kind: finding for finding in reversed(list(_bounds(name, face, _LIGHT)))}.values()
