"""Lists the words that name permanent features of a person, which the trigger word stands for and captions leave out.

Pure functions on lists of small-letter words; English only, as captioners speak it. Knows nothing about captions.
"""

from __future__ import annotations

from collections.abc import Sequence


def word_set(text: str) -> frozenset[str]:
    """A set of words, written as a line of them."""
    return frozenset(text.split())


PERSONS = word_set(
    "woman women man men girl girls boy boys lady ladies guy guys gentleman person persons people female females male "
    "males model models actor actress celebrity child children kid kids baby teenager teenagers adult adults human "
    "couple character individual other others blonde brunette redhead"
)
BEAUTY = word_set(
    "attractive beautiful cute gorgeous handsome hot lovely perfect pretty sexy stunning ugly feminine masculine"
)
_AGE = word_set("adult aged elderly little mature middle-aged old older teen teenage young younger youthful")
_BUILD = word_set(
    "athletic chubby curvy fat fit heavy muscular obese overweight petite plump short skinny slender slim tall thin "
    "toned busty buff"
)
_ORIGIN = word_set(
    "african african-american afro american arab arabic asian brazilian british caucasian chinese european "
    "french german hispanic indian indonesian italian japanese korean latin latina latino mexican russian spanish "
    "thai turkish vietnamese white-skinned black-skinned dark-skinned light-skinned pale fair tanned"
)
OF_PERSONS = BEAUTY | _AGE | _BUILD | _ORIGIN  # adjectives: permanent of a person, harmless of a house
COLOURS = word_set(
    "amber aqua auburn black blond blonde blue brown brunette chestnut dark ginger gold golden gray green grey hazel "
    "light multicolored orange pale pink platinum purple red silver strawberry two-tone violet white yellow"
)
_HAIR_SHAPES = word_set("absurdly curly fine long medium shoulder-length short straight thick very wavy length")
_EYE_SHAPES = word_set("almond beautiful big bright deep large narrow piercing round slanted small")
_FACE_SHAPES = word_set(
    "angular beautiful diamond heart heart-shaped long narrow oval pretty round shaped square thin wide"
)
_HAIR = word_set("hair haired beard bearded moustache mustache goatee stubble sideburns bald")
_FEATURES = word_set(  # alone they say nothing, with something to say beside them they do ("parted lips")
    "arm arms body cheeks chin chest collarbone ear ears eye eyes eyebrow eyebrows eyelash eyelashes face finger "
    "fingers foot feet forehead hair hand hands head leg legs lip lips mouth neck nose shoulder shoulders skin teeth "
    "tongue waist lap back"
)
_ALWAYS = word_set(
    "birthmark birthmarks boob boobs breast breasts cheekbones complexion dimple dimples eyed freckle freckled "
    "freckles heterochromia jaw jawline mole moles scar scars skin skinned tattoo tattooed tattoos wrinkle "
    "wrinkled wrinkles abs"
)
_GLUE = word_set("a an the her his their its my own of and with in on at very some she he they it who")


def is_permanent(words: Sequence[str], keep_hair: bool = False) -> bool:
    """Whether a phrase of these words is about what a person always looks like.

    Args:
        words: of one thing ("long", "brown", "hair"), small letters.
        keep_hair: colour, length and kind of hair, and beards, are no trait.
    """
    said = set(words) - _GLUE
    hair = said & _HAIR and not said & {"ornament", "ribbon", "bow", "clip", "hairband"}
    if hair and keep_hair:
        return said <= {"hair", "haired"}
    return bool(
        said & _ALWAYS
        or (hair and (said & (COLOURS | _HAIR_SHAPES | {"facial"}) or not said & {"hair"}))
        or (said & {"eye", "eyes"} and said & (COLOURS | _EYE_SHAPES))
        or ("face" in said and said & _FACE_SHAPES)
        or (
            said & {"eyebrows", "eyelashes", "nose", "lips", "teeth"}
            and said & (_HAIR_SHAPES | _EYE_SHAPES - {"piercing"})
        )
        or (said and said <= _FEATURES)
        or (said & OF_PERSONS and said <= OF_PERSONS | PERSONS)
    )


def may_begin(words: Sequence[str]) -> bool:
    """Whether all that these words say is a colour or a shape, which may belong to what follows ("black and ...")."""
    said = set(words) - _GLUE
    return bool(said) and said <= COLOURS | _HAIR_SHAPES | _EYE_SHAPES | _FACE_SHAPES


def is_part(words: Sequence[str]) -> bool:
    """Whether these words name nothing but a part of somebody's body ("her hand")."""
    said = set(words) - _GLUE
    return bool(said) and said <= _FEATURES


def without_persons_adjectives(words: Sequence[str]) -> list[str]:
    """``sitting next to an old beautiful woman`` -> ``sitting next to a woman``; beauty goes everywhere."""
    kept: list[str] = []
    gone = False  # the word after this one
    for word in reversed(words):
        after = kept[-1] if kept else ""
        if word in BEAUTY or (word in OF_PERSONS and after in PERSONS - COLOURS):
            gone = True
            continue
        kept.append(_article(after) if gone and word in ("a", "an") else word)
        gone = False
    return kept[::-1]


def _article(after: str) -> str:
    """``a`` or ``an`` as the next word wants it, but for the few that are not spoken as they are written."""
    return "an" if after.startswith(("a", "e", "i", "o", "u")) and not after.startswith(("uni", "one", "eu")) else "a"
