"""Names findings and puts them into sentences: in full for a terminal, shorter beside the picture.

A finding itself holds only a code and numbers, so that programs and the page need not read sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lib_lora.character.photo_counts import BEST_COUNT, FEW_BELOW, LEAST_TO_TRAIN
from lib_lora.messages.message import Message
from lib_lora.photos.audit.coverage import all_missing
from lib_lora.photos.audit.findings import Code, Finding


@dataclass(frozen=True)
class _Words:
    """How a finding is said.

    Attributes:
        kind: a word or two.
        text: the sentence, with the finding's numbers and details in braces. Where it begins with ``{it}``, that is the
            photo; else the photo's name is put before it.
    """

    kind: str
    text: str


_FEW_TO_MOST = f"{BEST_COUNT[0]} to {BEST_COUNT[1]}"
_ALIKE = (
    "{value:.0%} of the photos have nearly the same {what} (limit {limit:.0%}), which will be learned with the face; "
    "add others, or name the {what} in those captions."
)
_UNLIKE = "{{it}} looks unlike the others (likeness {{likeness:.2f}}, usual is {{usual:.2f}}{{reach}}): {}.{{left_out}}"

_WORDS: Mapping[Code, _Words] = {
    "photo-unreadable": _Words("unreadable", "{reason}"),
    "no-face": _Words(
        "no face",
        "no face was found; a face cannot be learned from a photo taken from behind, or of something else.",
    ),
    "sheet-of-four": _Words("sheet", "{it} is a sheet of four pictures; cut it apart and import the pieces."),
    "several-faces": _Words(
        "several people",
        "{it} shows {faces} faces of similar size (the second has {value:.1%} of the first one's area, limit "
        "{limit:.0%}); crop it to one person.",
    ),
    "low-resolution": _Words(
        "low resolution",
        "{it} is {width} x {height} pixels and must be enlarged {value:.2f} times for {resolution} (up to {limit:g} is "
        "fine); find a larger copy.",
    ),
    "long-photo": _Words(
        "long",
        "{it} is {width} x {height} pixels, {value:.2f} to 1 (limit {limit:g}); its ends will be cut off, so crop it.",
    ),
    "writing": _Words(
        "writing",
        "{it} seems to have writing on it ({value} letters in a row, limit {limit}); a watermark is learned with the "
        "face, so crop it off.",
    ),
    "same-bytes": _Words("copy", "{it} holds the same bytes as {other} and is used once; delete one."),
    "same-picture": _Words("copy", "{it} is the same picture as {other}, which is better{alike}."),
    "same-moment": _Words("burst", "{it} shows the same moment as {other}, which is better{alike}; one is enough."),
    "another-person": _Words("another person", _UNLIKE.format("another person, or a view that hides the face")),
    "unusual-view": _Words("unlike", _UNLIKE.format("most likely this person in an unusual view")),
    "unclear-face": _Words("unlike", _UNLIKE.format("the face is too unclear to be recognised")),
    "small-face": _Words("tiny face", "the face has {value:.1f} pixels (limit {limit:g})."),
    "blurred-face": _Words("blurred", "the face is blurred ({value:.0f}, limit {limit:g})."),
    "soft-face": _Words(
        "blurred", "the face is far softer than the others ({value:.0f}; a tenth of the median is {limit:.0f})."
    ),
    "cut-off-face": _Words("cut off", "the edge cuts the face off ({value:.1%} is shown, limit {limit:.0%})."),
    "tilted-head": _Words(
        "tilted",
        "the head lies on its side ({value:.0f} degrees, limit {limit:g}); rotate the photo if it should be upright.",
    ),
    "dark-face": _Words("dark", "the face is dark (grey level {value:.0f}, limit {limit:g})."),
    "bright-face": _Words("bright", "the face is too bright (grey level {value:.0f}, limit {limit:g})."),
    "white-areas": _Words(
        "bright", "{value:.0%} of the face is fully white (limit {limit:.0%}), so its detail is lost there."
    ),
    "black-areas": _Words(
        "dark", "{value:.0%} of the face is fully black (limit {limit:.0%}), so its detail is lost there."
    ),
    "unsure-face": _Words("unsure", "this may not be a face (confidence {value:.3f}, limit {limit:g})."),
    "several-people": _Words(
        "several people", "The photos seem to show {value} people ({each}); leave out all but one of them."
    ),
    "too-few-photos": _Words(
        "too few",
        f"{{photos}} cannot teach a stable face; use at least {LEAST_TO_TRAIN}, {_FEW_TO_MOST} are best.",
    ),
    "few-photos": _Words(
        "few", f"{{photos}} are few, so the face will look stiff; {_FEW_TO_MOST} are best (limit {FEW_BELOW})."
    ),
    "many-photos": _Words(
        "many", f"{{photos}} are more than the {{limit}} that help; the {_FEW_TO_MOST} most varied ones are enough."
    ),
    "missing-views": _Words("views", "The {photos} photos include {missing}; the LoRA invents what no photo shows."),
    "one-background": _Words("one background", _ALIKE.replace("{what}", "background")),
    "one-outfit": _Words("one outfit", _ALIKE.replace("{what}", "clothes")),
    "one-light": _Words(
        "one light",
        "The light is nearly the same in all photos (the faces' grey levels spread by {value:.0f}, limit {limit:g}); "
        "add some in daylight, in lamplight and lit from the side.",
    ),
}


_ALIKE_BY = " (likeness of the faces {value:.3f}, limit {limit:g})"
_REACH = ", and strangers can have {limit:.2f}"
_LEFT_OUT = " Likeness is measured without it, even if you keep it for training."
_OF_PERSON = "{photos} like {like}"
_PHOTO, _PHOTOS = "{n} photo", "{n} photos"


def kind(code: Code) -> str:
    """What all findings of a rule are called, in a word or two."""
    return _WORDS[code].kind


def sentence(finding: Finding) -> str:
    """A finding in full, with the photo's name, for a terminal."""
    text = _WORDS[finding.code].text.replace("{it}", "{photo}")
    named = not finding.photo or "{photo}" in text or finding.code == "photo-unreadable"  # which begins with its name
    return str(Message(text if named else f"{{photo}}: {text}", _values(finding)))


def message(finding: Finding) -> Message:
    """A finding beside the picture and its name, for a card of the page or of the contact sheet; one about the set in
    full."""
    return Message(_beside(finding.code), _values(finding), finding.code)


def beside_photo(finding: Finding) -> str:
    """`message` in English."""
    return str(message(finding))


def templates() -> Iterator[str]:
    """The templates of `message`, and of the parts that it may have."""
    yield from map(_beside, _WORDS)
    yield from (_ALIKE_BY, _REACH, _LEFT_OUT, _OF_PERSON, _PHOTO, _PHOTOS, *all_missing())


def values(finding: Finding) -> dict[str, Any]:
    """A finding for programs."""
    return {**asdict(finding), "kind": kind(finding.code), "text": sentence(finding)}


def _beside(code: Code) -> str:
    text = _WORDS[code].text.replace("{it}", "This photo")
    return f"{text[:1].upper()}{text[1:]}"


def _values(finding: Finding) -> dict[str, Any]:
    named = {"photo": finding.photo, "value": finding.value, "limit": finding.limit, **finding.details}
    return {**named, **_parts(finding)}


def _parts(finding: Finding) -> dict[str, Any]:
    """Parts of a sentence that depend on what is known."""
    details = finding.details
    measured = {"value": finding.value, "limit": finding.limit} if _measured(finding) else None
    parts: dict[str, Any] = {
        "alike": Message(_ALIKE_BY, measured) if measured else "",
        "reach": Message(_REACH, measured) if measured else "",
        "left_out": Message(_LEFT_OUT) if details.get("left_out") else "",
        "each": [Message(_OF_PERSON, one) for one in details.get("people", ())],
        "missing": [Message(one) for one in details.get("missing", ())],
    }
    if "photos" not in details:
        parts["photos"] = Message(_PHOTO if finding.value == 1 else _PHOTOS, {"n": finding.value})
    return parts


def _measured(finding: Finding) -> bool:
    return finding.value is not None and finding.limit is not None
