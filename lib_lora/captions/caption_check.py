"""What is wrong with a set of captions, in sentences. Pure but for CLIP's tokenizer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lib_lora.captions import phrases
from lib_lora.captions.phrases import Captions
from lib_lora.character.store import Character
from lib_lora.errors import typed
from lib_lora.models.clip_tokens import CHUNK, token_ids

EVERYWHERE = 0.9  # share of the captions; a phrase in as many says nothing that the trigger does not say
LEAST = 8  # captions from which that can be told


@dataclass(frozen=True)
class Problem:
    """Something to look at.

    Attributes:
        photo: whose caption it is; empty = the whole set's.
        text: a sentence.
    """

    photo: str
    text: str


def problems(captions: Captions, character: Character) -> list[Problem]:
    """What is wrong with the captions of a character's photos; empty where all is well."""
    return [*_of_each(captions, character), *_of_all(captions, character)]


def _of_each(captions: Captions, character: Character) -> list[Problem]:
    found = []
    for photo, caption in captions.items():
        words = caption.casefold().split()
        if not words:
            found.append(Problem(photo, f"{photo} has no caption."))
            continue
        if character.trigger.casefold() not in " ".join(words):
            how = typed(
                "caption", character.name, "--add", f"{character.trigger} {character.class_word}", "--place", "0"
            )
            text = f"The caption of {photo} lacks the trigger {character.trigger!r}; to put it into all that do: {how}"
            found.append(Problem(photo, text))
        count = len(token_ids(caption))
        if count > CHUNK:
            found.append(
                Problem(photo, f"The caption of {photo} has {count} tokens; what is beyond {CHUNK} is learned apart.")
            )
    return found


def _of_all(captions: Captions, character: Character) -> list[Problem]:
    written = {photo: caption for photo, caption in captions.items() if caption.strip()}
    if len(written) < LEAST:
        return []
    if len({phrases.key(caption) for caption in written.values()}) == 1:
        how = typed("caption", character.name, "--fill")
        return [Problem("", f"All {len(written)} captions are the same; have what differs written with: {how}")]
    return [
        Problem(
            "",
            f"{phrase!r} is in {count} of {len(written)} captions: what never changes belongs to the trigger; take it "
            "out, or add photos without it.",
        )
        for phrase, count in phrases.frequency(written)
        if count >= EVERYWHERE * len(written) and not _of_the_character(phrase, character.trigger, character.traits)
    ]


def _of_the_character(phrase: str, trigger: str, traits: Collection[str]) -> bool:
    return trigger.casefold() in phrases.key(phrase) or any(phrases.same(phrase, trait) for trait in traits)
