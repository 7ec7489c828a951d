"""Splits captions into phrases at commas, as kohya's tools do, and joins them again.

Two phrases are the same one when they differ in case and blanks only. Every edit keeps the other phrases as they are
written, in their order. Pure functions on text; no file is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

Captions = Mapping[str, str]  # by photo


def split(caption: str) -> list[str]:
    """The phrases of a caption, without blanks around them; empty ones are left out."""
    return [" ".join(part.split()) for part in caption.split(",") if part.strip()]


def join(phrases: Iterable[str]) -> str:
    """A caption of these phrases."""
    return ", ".join(phrases)


def same(one: str, other: str) -> bool:
    """Whether two phrases are the same one."""
    return key(one) == key(other)


def key(phrase: str) -> str:
    """What is equal for all spellings of a phrase."""
    return " ".join(phrase.split()).casefold()


def add(caption: str, phrase: str, place: int | None = None) -> str:
    """`caption` with a phrase (or several between commas) it does not have yet.

    Args:
        caption: any text.
        phrase: to be added.
        place: which one it should be, counted from 0, or from the end where negative (-1 = the last); None = the last.
    """
    present = split(caption)
    new = [one for one in _unique(split(phrase)) if key(one) not in {key(other) for other in present}]
    start = _start(len(present), -1 if place is None else place)
    return join([*present[:start], *new, *present[start:]]) if new else caption


def remove(caption: str, phrase: str) -> str:
    """`caption` without a phrase (or several between commas)."""
    gone = {key(one) for one in split(phrase)}
    present = split(caption)
    kept = [one for one in present if key(one) not in gone]
    return caption if len(kept) == len(present) else join(kept)


def replace(caption: str, phrase: str, by: str) -> str:
    """`caption` with `by` in place of a phrase; where it has `by` already, the phrase just goes."""
    present = split(caption)
    if not any(same(one, phrase) for one in present):
        return caption
    result: list[str] = []
    for one in present:
        result += split(by) if same(one, phrase) else [one]
    return join(_unique(result))


def move(caption: str, phrase: str, place: int) -> str:
    """`caption` with a phrase at another place, counted from 0, or from the end where negative (-1 = the last)."""
    present = split(caption)
    found = [one for one in present if same(one, phrase)]
    if not found:
        return caption
    rest = [one for one in present if not same(one, phrase)]
    start = _start(len(rest), place)
    return join([*rest[:start], found[0], *rest[start:]])


def change(captions: Captions, edit: Callable[[str], str]) -> dict[str, str]:
    """What `edit` makes of the captions, of those alone that it changes."""
    edited = {photo: edit(caption) for photo, caption in captions.items()}
    return {photo: caption for photo, caption in edited.items() if caption != captions[photo]}


def frequency(captions: Captions) -> list[tuple[str, int]]:
    """Each phrase, as it is first written, with the number of captions it is in; the most frequent first."""
    counts: dict[str, int] = {}
    written: dict[str, str] = {}
    for caption in captions.values():
        for phrase in _unique(split(caption)):
            written.setdefault(key(phrase), phrase)
            counts[key(phrase)] = counts.get(key(phrase), 0) + 1
    return sorted(((written[one], count) for one, count in counts.items()), key=lambda item: (-item[1], item[0]))


def _start(count: int, place: int) -> int:
    """Before which of `count` phrases one must stand to be at `place`."""
    return max(0, min(count, place if place >= 0 else count + 1 + place))


def _unique(phrases: Sequence[str]) -> list[str]:
    return list({key(one): one for one in reversed(phrases)}.values())[::-1]
