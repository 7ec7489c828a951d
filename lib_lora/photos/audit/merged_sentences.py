"""Merges sentences that say the same of many photos into one.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lib_lora.errors import UserError

FEW = 3  # so many that say the same stand each for itself
_SHOWN = 3  # names in a sentence about many


@dataclass(frozen=True)
class Sentence:
    """One sentence.

    Attributes:
        photo: that it is about; empty = none.
        key: the same for all sentences that say the same of different photos.
        text: the sentence.
    """

    photo: str
    key: Hashable
    text: str


def of_error(error: UserError) -> Sentence:
    """The sentence of an error about a photo, which says the same as others of its code whose other texts, such as the
    reason, are equal."""
    names = {key: str(value) for key, value in error.parameters.items() if isinstance(value, (str, Path))}
    photo = next((names.pop(key) for key in ("photo", "member", "file") if key in names), "")
    return Sentence(photo, (error.code, *names.values()), str(error))


def merged(sentences: Iterable[Sentence], few: int = FEW) -> list[str]:
    """The texts of `sentences`, where those that say the same are one, in place of the first.

    Args:
        sentences: in the order in which they are shown.
        few: up to so many that say the same stay as they are.
    """
    groups: dict[Hashable, list[Sentence]] = {}
    for sentence in sentences:
        groups.setdefault(sentence.key, []).append(sentence)
    return [
        line
        for group in groups.values()
        for line in ([one.text for one in group] if len(group) <= few else [_as_one(group)])
    ]


def _as_one(group: list[Sentence]) -> str:
    names = [sentence.photo for sentence in group[1:]]
    if not all(names):
        return f"{group[0].text} ({len(group)} times)"
    others = " and others" if len(names) > _SHOWN else ""
    return f"{group[0].text} The same applies to {len(names)} more: {', '.join(names[:_SHOWN])}{others}."
