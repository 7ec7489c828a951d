"""Sentences about many photos that say the same, as one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

FEW = 3  # so many that say the same stand each for itself
_SHOWN = 3  # names in a sentence about many
_LEADS = ("The text beside ", "The caption of ")
_SUBJECT = re.compile(r"(.*?\.[A-Za-z0-9]{2,5})(?=[\s,:;'\"])")


def folded(sentences: Iterable[str], few: int = FEW) -> list[str]:
    """`sentences`, where those that differ in their photo and in numbers alone are one, in the place of the first.

    Args:
        sentences: each begins with what it is about, down to a file's name, or is about none.
        few: up to so many that say the same stay as they are.
    """
    groups: dict[str, list[str]] = {}
    for sentence in sentences:
        subject = _subject(sentence)
        groups.setdefault(re.sub(r"\d[\d.,]*", "0", sentence[len(subject) :]), []).append(sentence)
    return [line for group in groups.values() for line in (group if len(group) <= few else [_as_one(group)])]


def _subject(sentence: str) -> str:
    found = _SUBJECT.match(sentence)
    return found[1] if found else ""


def _as_one(group: list[str]) -> str:
    names = [_name(sentence) for sentence in group[1:]]
    if not all(names):
        return f"{group[0]} ({len(group)} times)"
    others = " and others" if len(names) > _SHOWN else ""
    return f"{group[0]} So with {len(names)} more: {', '.join(names[:_SHOWN])}{others}."


def _name(sentence: str) -> str:
    subject = _subject(sentence)
    return next((subject.removeprefix(lead) for lead in _LEADS if subject.startswith(lead)), subject)
