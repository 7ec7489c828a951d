"""Checks and proposes trigger words by CLIP's own tokens.

A good trigger means nothing yet: the base model has no picture for it, and no other file of the webui answers to it.
Whether the base already paints one face for it is asked where there is a painter (`workflows.train.known_trigger`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from lib_lora.models.clip_tokens import pieces as pieces_of
from lib_lora.models.clip_tokens import vocabulary

LEAST, MOST = 2, 3  # tokens
LETTERS = (3, 12)
WORD = 4  # letters from which a word at the start of a trigger brings its meaning along
_END = "</w>"
_RARE = "xzqvkjw"
_VOWELS = "aeiou"


@dataclass(frozen=True)
class Trigger:
    """One checked word.

    Attributes:
        word: in small letters, as CLIP reads it.
        tokens: its pieces, without the mark of a word's end.
        problems: a sentence for each thing that speaks against it; empty = it will do.
    """

    word: str
    tokens: list[str]
    problems: list[str]


def check(word: str, taken: Mapping[str, str] | None = None) -> Trigger:
    """Look at a trigger word.

    Args:
        word: as the user writes it.
        taken: who answers to a word already ("the name of x.safetensors"), by the word in small letters.
    """
    small = " ".join(word.split()).casefold()
    pieces = pieces_of(small)
    problems = [*_form(small), *_meaning(small, pieces)]
    if small in _first_names():
        problems.append(f"{small!r} is a first name; the base model paints its own idea of who that is.")
    if taken and small in taken:
        problems.append(f"{small!r} is {taken[small]}; both would be painted.")
    return Trigger(small, [piece.removesuffix(_END) for piece in pieces], problems)


def propose(name: str, taken: Mapping[str, str] | None = None, count: int = 5) -> list[Trigger]:
    """Trigger words without a problem that sound like `name`, the same ones every time.

    Args:
        name: of the character, in any script.
        taken: as in `check`.
        count: how many.
    """
    found: list[Trigger] = []
    for candidate in _candidates(name):
        if len(found) == count:
            break
        one = check(candidate, taken)
        if not one.problems and candidate not in {other.word for other in found}:
            found.append(one)
    return found


def _form(word: str) -> Iterator[str]:
    if " " in word:
        yield f"{word!r} is several words; a trigger is one."
        return
    if not word.isascii():
        yield f"{word!r} has letters outside a to z, which CLIP cuts into bytes; write it in plain letters."
        return
    digits = sum(letter.isdigit() for letter in word)
    if digits and digits * 2 >= len(word):
        yield f"{word!r} is mostly digits, which the model hardly tells apart; use letters."
    elif not word.isalpha():
        yield f"{word!r} has more than letters in it; CLIP reads it as several words. Use the letters a to z."
    if not LETTERS[0] <= len(word) <= LETTERS[1]:
        yield f"{word!r} has {len(word)} letters; use {LETTERS[0]} to {LETTERS[1]}."


def _meaning(word: str, pieces: Sequence[str]) -> Iterator[str]:
    """What the tokens say. Words of several kinds of letters are `_form`'s business."""
    if not (word.isascii() and word.isalpha()):
        return
    if len(pieces) < LEAST:
        yield f"{word!r} is a word that CLIP knows; the base model paints something for it already."
    elif len(pieces) > MOST:
        parts = ", ".join(piece.removesuffix(_END) for piece in pieces)
        yield f"{word!r} is {len(pieces)} tokens ({parts}); {LEAST} or {MOST} are learned better."
    elif len(pieces[0]) >= WORD and pieces[0] + _END in vocabulary():
        yield f"{word!r} begins with the word {pieces[0]!r} and brings its meaning along."


@lru_cache(maxsize=1)
def _first_names() -> frozenset[str]:
    text = resources.files(__package__).joinpath("first_names.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def _candidates(name: str) -> Iterator[str]:
    """Words made of the letters of `name` and rare ones; the nearest to the name first."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().casefold()
    letters = "".join(letter for letter in plain if letter.isalpha())[:6] or "kara"
    bones = "".join(letter for letter in letters if letter not in _VOWELS) or letters
    vowels = "".join(letter for letter in letters if letter in _VOWELS) or "a"
    for rare in _RARE:
        yield bones[:3] + rare + vowels[-1]
    for rare in _RARE:
        yield letters[:1] + rare + letters[1:]
        yield letters[:-1] + rare + letters[-1:]
        yield letters + rare
    for first in _RARE:
        for second in _RARE:
            yield first + bones[:2] + vowels[0] + second
            yield bones[:1] + first + vowels[0] + second + vowels[-1]
