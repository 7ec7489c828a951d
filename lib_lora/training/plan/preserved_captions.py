"""Makes the captions under which the base model's predictions are kept: those without the trigger word, and those that
have one phrase beside it.

They are lists that are known before the training, so that text encoders which are not trained can leave memory. Pure
functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from lib_lora.character.caption_files import without_character
from lib_lora.character.store import Character

# What prompts for people often ask for beside the person. A base model that does not know some of them loses nothing.
PHRASES = (
    *("looking left", "looking right", "looking ahead", "smiling", "serious", "laughing", "in profile", "from above"),
    *("dark background", "light background", "coloured background", "dark hair", "light hair", "at night", "outdoors"),
    *("in a red coat", "in a suit", "wearing a hat", "in the city", "black and white"),
)
_NAMES = ("anna", "maria", "emma", "sofia", "david", "peter", "tavik", "brelo", "osmen", "quila")
_ANYBODY = (
    *("photo of {class_word}", "{class_word}", "a {class_word}, portrait", "photo of a person", "person, portrait"),
    *("photo of a woman", "photo of a man", "woman", "man", "photo of two people"),
)
_EACH = 2  # phrases that one caption is ever joined with
_GENERAL = 0.5  # share of the samples that ask for anybody; the others ask for what the photo shows
_JOINED = 0.5  # share of those others that have a phrase more


def joined(caption: str, phrase: str) -> str:
    """A caption with one phrase more."""
    return f"{caption}, {phrase}" if caption else phrase


def anybody(character: Character) -> list[str]:
    """Captions that ask for anybody but the character, each once; a name that is the trigger is left out."""
    plain = [text.format(class_word=character.class_word) for text in _ANYBODY]
    named = [f"photo of {name} {character.class_word}" for name in _NAMES]
    worded = [joined((plain + named)[number % len(plain + named)], phrase) for number, phrase in enumerate(PHRASES)]
    return [text for text in dict.fromkeys([*plain, *named, *worded]) if not calls(text, character)]


def phrases_for(caption: str) -> list[str]:
    """The phrases that a caption is joined with; always the same."""
    return Random(f"phrases of {caption}").sample(PHRASES, _EACH)


def calls(caption: str, character: Character) -> bool:
    """Whether a caption calls the character by the trigger."""
    return without_character(caption, character) != caption


def free_caption(caption: str, character: Character, random: Random) -> str:
    """A caption that does not call the character, for one sample.

    Args:
        caption: of the photo, as it was trained in the same sample; empty where it was dropped.
        character: whose trigger must not be called.
        random: of this sample.
    """
    general, choice = random.random() < _GENERAL, random.choice(anybody(character))
    phrase = random.choice(phrases_for(caption)) if random.random() < _JOINED else ""
    # a caption without the trigger is one that should show the person, so it cannot be kept free of the person
    if general or (caption and not calls(caption, character)):
        return choice
    own = without_character(caption, character)
    return joined(own, phrase) if phrase else own


@dataclass(frozen=True)
class PhrasePrompt:
    """A phrase beside the trigger word, and beside the class word alone.

    Attributes:
        ours: what is asked of the LoRA.
        of_base: what is asked of the base model.
    """

    ours: str
    of_base: str


def phrase_prompts(character: Character) -> list[PhrasePrompt]:
    """A prompt for each phrase of `PHRASES` that does not have the trigger in it; the character's traits are in none,
    since a phrase may say the opposite."""
    called, anyone = f"photo of {character.trigger} {character.class_word}", f"photo of {character.class_word}"
    phrases = [phrase for phrase in PHRASES if not calls(phrase, character)]
    return [PhrasePrompt(joined(called, phrase), joined(anyone, phrase)) for phrase in phrases]


def captions_needed(captions: Iterable[str], character: Character) -> list[str]:
    """All that `free_caption` can give, for captions that do not change; see `most_captions`."""
    found = anybody(character)
    for caption in ("", *captions):
        own = without_character(caption, character)
        found += [own, *(joined(own, phrase) for phrase in phrases_for(caption))]
    return list(dict.fromkeys(found))


def most_captions(photos: int) -> int:
    """How many `captions_needed` can give for so many photos."""
    return len(_ANYBODY) + len(_NAMES) + len(PHRASES) + (1 + _EACH) * (photos + 1)
