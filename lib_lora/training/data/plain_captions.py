"""Captions without the trigger word, under which output preservation keeps the base model's pictures. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from lib_lora.character.caption_files import without_character
from lib_lora.character.store import Character

_PLAIN = ("photo of {class_word}", "{class_word}", "photo of a person", "photo of a woman", "photo of a man")
_SHARE = 1 / 3  # of the pictures that get one of these in place of their own caption without the trigger


def plain_captions(character: Character) -> list[str]:
    """Captions that describe nobody in particular, each once."""
    return list(dict.fromkeys(text.format(class_word=character.class_word) for text in _PLAIN))


def plain_caption(caption: str, character: Character, random: Random) -> str:
    """What a picture is called in one sample of output preservation.

    Args:
        caption: as it was trained in the same sample; empty where it was dropped.
        character: whose trigger must not be called.
        random: of this sample.
    """
    general = plain_captions(character)
    chosen, own = random.choice(general), without_character(caption, character)
    # a caption without the trigger is one that shall bring the person, so it cannot be kept free of the person
    own_is_free = own != caption or not caption
    return chosen if random.random() < _SHARE or not own_is_free else own


def captions_needed(captions: Iterable[str], character: Character) -> list[str]:
    """All that `plain_caption` can give for captions that do not change."""
    own = (without_character(caption, character) for caption in captions)
    return list(dict.fromkeys([*plain_captions(character), *own]))
