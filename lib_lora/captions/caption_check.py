"""Finds problems in a set of captions, which `caption_words` puts into sentences.

Pure functions, except that CLIP's tokenizer is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lib_lora.captions import phrases, slots
from lib_lora.captions.phrases import Captions
from lib_lora.character import caption_files
from lib_lora.character.store import Character
from lib_lora.models.clip_tokens import CHUNK, token_ids

EVERYWHERE = 0.9  # share of the captions; training cannot tell a phrase in as many from the trigger
LEAST = 8  # captions from which that can be told

Code = Literal[
    "caption-unreadable",
    "caption-missing",
    "trigger-missing",
    "too-many-tokens",
    "captions-identical",
    "constant-phrases",
    "constant-expression",
]


@dataclass(frozen=True)
class Problem:
    """Something to look at.

    Attributes:
        photo: whose caption it is; empty = the whole set's.
        code: what kind of problem it is.
        details: what its sentence names.
        command: that would mend it, as arguments of the command line; empty where the user has to decide.
    """

    photo: str
    code: Code
    details: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()


def problems(captions: Captions, character: Character) -> list[Problem]:
    """What is wrong with the captions of a character's photos; empty where all is well."""
    return [*_of_each(captions, character), *_of_all(captions, character)]


def _of_each(captions: Captions, character: Character) -> list[Problem]:
    found = []
    for photo, caption in captions.items():
        words = caption.casefold().split()
        if not words:
            found.append(Problem(photo, "caption-missing"))
            continue
        if character.trigger.casefold() not in " ".join(words):
            phrase = character.called
            command = ("caption", character.name, "--add", phrase, "--place", "0")
            found.append(Problem(photo, "trigger-missing", {"trigger": character.trigger}, command))
        count = len(token_ids(caption))
        if count > CHUNK:
            found.append(Problem(photo, "too-many-tokens", {"tokens": count, "limit": CHUNK}))
    return found


def _of_all(captions: Captions, character: Character) -> list[Problem]:
    written = {photo: caption for photo, caption in captions.items() if caption.strip()}
    if len(written) < LEAST:
        return []
    if len({phrases.key(caption) for caption in written.values()}) == 1:
        plain = phrases.same(next(iter(written.values())), caption_files.template(character))
        fill = ("caption", character.name, "--fill") if plain else ()
        return [Problem("", "captions-identical", {"captions": len(written)}, fill)]
    constant = [
        phrase
        for phrase, count in phrases.frequency(written)
        if count >= EVERYWHERE * len(written) and not _of_the_character(phrase, character.trigger, character.traits)
    ]
    faces = [phrase for phrase in constant if phrases.key(phrase) in slots.EXPRESSIONS]
    others = ", ".join(f"'{phrase}'" for phrase in constant if phrase not in faces)
    found = [Problem("", "constant-phrases", {"phrases": others, "captions": len(written)})] if others else []
    return found + [Problem("", "constant-expression", {"phrase": face, "captions": len(written)}) for face in faces]


def _of_the_character(phrase: str, trigger: str, traits: Collection[str]) -> bool:
    return trigger.casefold() in phrases.key(phrase) or any(phrases.same(phrase, trait) for trait in traits)
