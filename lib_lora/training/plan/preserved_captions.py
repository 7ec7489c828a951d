"""Makes the captions under which the base model's predictions are kept: those without the trigger word, and those that
have one phrase beside it.

They are lists that are known before the training, so that text encoders which are not trained can leave memory. Pure
functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
PAINTED = 24  # pictures that the base model paints itself
PAINTING_STEPS = 8  # of sampling; the small base model's faces are nearly the same with 20 (docs/quality.md)
_EACH = 2  # phrases that one caption is ever joined with
_GENERAL = 0.5  # share of the samples that ask for anybody; the others ask for what the photo shows
_JOINED = 0.5  # share of those others that have a phrase more


def joined(caption: str, phrase: str) -> str:
    """A caption with one phrase more."""
    return f"{caption}, {phrase}" if caption else phrase


def anybody(characters: Sequence[Character]) -> list[str]:
    """Captions that ask for anybody but these characters, with the class word of the first, each once; a name that is a
    trigger is left out."""
    class_word = characters[0].class_word
    plain = [text.format(class_word=class_word) for text in _ANYBODY]
    named = [f"photo of {name} {class_word}" for name in _NAMES]
    worded = [joined((plain + named)[number % len(plain + named)], phrase) for number, phrase in enumerate(PHRASES)]
    return [text for text in dict.fromkeys([*plain, *named, *worded]) if not calls(text, characters)]


def phrases_for(caption: str) -> list[str]:
    """The phrases that a caption is joined with; always the same."""
    return Random(f"phrases of {caption}").sample(PHRASES, _EACH)


def calls(caption: str, characters: Sequence[Character]) -> bool:
    """Whether a caption calls one of these characters by the trigger."""
    return _without(caption, characters) != caption


def _without(caption: str, characters: Sequence[Character]) -> str:
    for one in characters:
        caption = without_character(caption, one)
    return caption


def free_caption(caption: str, characters: Sequence[Character], random: Random) -> str:
    """A caption that calls none of the characters, for one sample.

    Args:
        caption: of the photo, as it was trained in the same sample; empty where it was dropped.
        characters: those of the LoRA, whose triggers must not be called; the photo's own first.
        random: of this sample.
    """
    general, choice = random.random() < _GENERAL, random.choice(anybody(characters))
    phrase = random.choice(phrases_for(caption)) if random.random() < _JOINED else ""
    # a caption without the person's trigger is one that should show the person, so it cannot be kept free of them
    if general or (caption and not calls(caption, characters[:1])):
        return choice
    own = _without(caption, characters)
    return joined(own, phrase) if phrase else own


def painted_captions(
    photos: Sequence[tuple[str, str]], characters: Sequence[Character], draw: Callable[[int], Random], count: int
) -> list[str]:
    """The captions from which the base model paints pictures of its own, as `free_caption` gives them.

    Args:
        photos: caption, and whose it is as in `own_first`; at least one.
        characters: those of the LoRA, the run's own first.
        draw: gives what is random about a picture, by its number.
        count: of pictures.
    """
    ordered, found = own_first(characters), []
    for number in range(count):
        random = draw(number)
        caption, of = random.choice(photos)
        found.append(free_caption(caption, ordered[of], random))
    return found


@dataclass(frozen=True)
class PhrasePrompt:
    """A phrase beside the trigger word, and beside the class word alone.

    Attributes:
        ours: what is asked of the LoRA.
        of_base: what is asked of the base model.
    """

    ours: str
    of_base: str


def phrase_prompts(characters: Sequence[Character]) -> list[PhrasePrompt]:
    """A prompt about the first of the characters of a LoRA for each phrase of `PHRASES` that has no trigger in it;
    traits are in none, since a phrase may say the opposite."""
    who = characters[0]
    called, anyone = f"photo of {who.called}", f"photo of {who.class_word}"
    phrases = [phrase for phrase in PHRASES if not calls(phrase, characters)]
    return [PhrasePrompt(joined(called, phrase), joined(anyone, phrase)) for phrase in phrases]


def captions_needed(captions: Iterable[str], characters: Sequence[Character]) -> list[str]:
    """All that `free_caption` can give for the first of the characters, with captions that do not change; see
    `most_captions`."""
    found = anybody(characters)
    for caption in ("", *captions):
        own = _without(caption, characters)
        found += [own, *(joined(own, phrase) for phrase in phrases_for(caption))]
    return list(dict.fromkeys(found))


def own_first(characters: Sequence[Character]) -> dict[str, list[Character]]:
    """The characters of a LoRA with each in turn first, by the name that its photos have as `TrainingPhoto.of`: empty
    for the run's own, which comes first in `characters`."""
    names = ["", *(one.name for one in characters[1:])]
    return {
        name: [one, *(other for other in characters if other is not one)]
        for name, one in zip(names, characters, strict=True)
    }


def most_captions(photos: int, characters: int = 1) -> int:
    """How many `captions_needed` can give for so many photos of so many characters."""
    return characters * (len(_ANYBODY) + len(_NAMES) + len(PHRASES) + 1 + _EACH) + (1 + _EACH) * photos
