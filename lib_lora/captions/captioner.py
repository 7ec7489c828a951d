"""Defines what a captioner is, and turns its answers into phrases of a caption.

A caption of a LoRA names what may change (clothes, place, light, what someone does), so that the trigger learns what
does not. Sentences as BLIP writes them are cut where a new thing begins; tags as the boorus' taggers write them lose
their marks; both lose the person and the permanent (`permanent`). Knows no model and opens no file. Pure functions on
text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from PIL import Image

from lib_lora.captions import permanent, phrases

OWN = {  # by the name of each of SameFace's own, what it does
    "": "Framing, direction, expression and background, as measured",
    "clip": "CLIP adds clothes, place and light",
    "blip:blip": "BLIP adds a sentence of its own",
}
LONGEST = 80  # characters of a phrase
MOST = 24  # phrases of a photo; a caption of more is cut by the text encoder anyway
_READ = 10_000  # characters that are looked at; a captioner that says more has gone astray


class Captioner(Protocol):
    """Something that says what is visible.

    Attributes:
        id: what it is, with its model; another one may say something else of the same photo.
    """

    id: str

    def phrases(self, image: Image.Image) -> list[str]:
        """What may change in an upright RGB picture, as phrases for a caption; none is normal."""


_PREPOSITIONS = permanent.word_set(
    "with without in on at behind beside near next under underneath beneath against by inside outside among between "
    "over above along across around through during from into"
)
_PARTICIPLES = permanent.word_set("dressed seated posed perched surrounded covered wrapped lit")
_NOUNS_IN_ING = permanent.word_set(
    "awning bedding being building ceiling clothing crossing dining during earring engagement evening everything "
    "flooring having king legging lighting lightning living morning nothing painting parking piercing railing ring "
    "shopping sling something spring stocking string swing thing training wedding wing"
)
_SAYS_ING = {  # "a woman sits on a bench" is said of her as "sitting on a bench"
    "carries": "carrying",
    "drinks": "drinking",
    "eats": "eating",
    "holds": "holding",
    "leans": "leaning",
    "lies": "lying",
    "looks": "looking",
    "poses": "posing",
    "reads": "reading",
    "rides": "riding",
    "runs": "running",
    "sits": "sitting",
    "smiles": "smiling",
    "stands": "standing",
    "walks": "walking",
    "wears": "wearing",
}
_EITHER = permanent.word_set(
    "baking boxing cooking fishing hiking racing riding running swimming working"
)  # also "boots"
_ARTICLES = permanent.word_set("a an the her his their its some")
_EMPTY = _ARTICLES | permanent.word_set(
    "is are was has have having and or while as that who which she he they there this to of it them him one being "
    "up down front for on"
)
_LIKE_WITH = permanent.word_set("has have having")
_LOST = permanent.word_set("is are was that who which she he they there this be being")  # between subject and verb
_NOISE = permanent.word_set("word words text says caption signature watermark username logo meme letters")
_SUBJECT_ACTS = permanent.word_set("smiling laughing crying sleeping sitting standing running walking dancing")
_INCOMPLETE = permanent.word_set(
    "wearing holding carrying touching taking making using dressed surrounded covered wrapped"
)
_PLACES = ("in the background", "in the foreground", "in the distance", "in background")
_ARAFED = re.compile(r"\bar+aff?e+d?\b")  # no word: BLIP says it where it has to say more than it knows
_FRAME = re.compile(
    r"^\s*((there|this) (is|are) )?((a|an|the) )?((very|extreme|blurry|black and white) )*"
    r"(close[- ]?up|photo(graph)?|picture|image|portrait|selfie|shot|view|drawing|painting)"
    r"( (photo(graph)?|picture|image|portrait|shot|view))? of\b"
)
_AGE = re.compile(r"\b\d+[- ]years?[- ]old\b")
_COUNT = re.compile(r"(\d+\+?|multiple)\s?(girl|boy|other|woman|man|women|men|people|person)s?")
_NO_CHANGE = frozenset(  # tags about the subject, the file or the framing, which is measured elsewhere
    phrases.split(
        "solo, solo focus, male focus, female focus, no humans, realistic, photorealistic, photo medium, 3d, dated, "
        "virtual youtuber, real life, commentary, highres, absurdres, artist name, web address, english text, "
        "portrait, upper body, cowboy shot, full body, close-up, close up"
    )
)


def of_sentence(sentence: str, keep_hair: bool = False) -> list[str]:
    """The phrases in a captioner's sentence.

    ``a woman with long brown hair wearing a red coat standing in front of a building`` ->
    ``["wearing a red coat", "standing in front of a building"]``

    Args:
        sentence: anything.
        keep_hair: what it says about the hair is wanted.

    Returns:
        at most `MOST` phrases in small letters, of at most `LONGEST` characters, without commas, brackets or line ends.
    """
    text = _AGE.sub(" ", _FRAME.sub(" ", _ARAFED.sub(" ", _plain(sentence))))
    text = re.sub(r"(?<=\w)\s+-\s+(?=\w)", "-", text)  # BERT's tokenizer parts "t-shirt"
    text = re.sub(r"(?<=\w)\s*'\s*(?=s\b)", "'", text)
    found: list[str] = []
    for part in re.split(r"[^\w\s'&/-]+", text):
        pieces = _joined(_cut([_SAYS_ING.get(word, word) for word in part.replace("_", " ").split()]))
        for number, piece in enumerate(pieces):
            found += _cleaned(piece, number == 0, keep_hair)
    return _bounded(found)


def of_tags(tags: str | Iterable[str], keep_hair: bool = False) -> list[str]:
    """The phrases in a tagger's answer.

    ``1girl, solo, brown_eyes, red_coat, looking_at_viewer, (smile:0.9)`` ->
    ``["red coat", "looking at viewer", "smile"]``

    Args:
        tags: anything; one text is read as tags between commas.
        keep_hair: tags about the hair are wanted.

    Returns:
        as of `of_sentence`.
    """
    text = tags if isinstance(tags, str) else ",".join(tags)
    found = []
    for tag in re.split(r"[,\n]", _plain(text)):
        bare = re.sub(r":\s*-?[\d.]+\s*(?=[)\]}>\s]*$)", "", tag)  # a weight
        words = _words(bare.replace("_", " "))
        phrase = " ".join(words)
        if len(phrase) < 2 or all(len(word) == 1 for word in words):  # emoticons: ":d", "o_o"
            continue
        if phrase in _NO_CHANGE or phrase.startswith("rating ") or _COUNT.fullmatch(phrase):
            continue
        if set(words) & _NOISE or permanent.is_permanent(words, keep_hair) or set(words) <= permanent.PERSONS:
            continue
        found.append(" ".join(permanent.without_persons_adjectives(words)))
    return _bounded(found)


def _plain(text: str) -> str:
    """Small letters of one width, without marks over them that would part a word."""
    return unicodedata.normalize("NFKC", text[:_READ]).lower().replace("\u2019", "'")


def _words(text: str) -> list[str]:
    """The words of a text, without any sign that means something in a caption or prompt."""
    return [word for word in (part.strip("-'&/") for part in re.findall(r"[\w'&/-]+", text)) if word]


def _cut(words: Sequence[str]) -> Iterator[list[str]]:
    """Parts of a sentence, each beginning with what opens it: a verb, or a preposition that belongs to no verb."""
    part: list[str] = []
    opened = False  # the last word opened a part, so that what follows completes it
    for place, word in enumerate(words):
        after = words[place + 1] if place + 1 < len(words) else ""
        before = words[place - 1] if place else ""
        if word in _LIKE_WITH:
            word = "with"
        verb = word in _PARTICIPLES or _is_verb(word, before, after)
        opens = verb or word in _PREPOSITIONS
        if opens and not opened and part:
            yield part
            part = []
        part.append(word)
        opened = opens or (opened and word in ("up", "down", "back", "out", "off"))
    if part:
        yield part


def _is_verb(word: str, before: str, after: str) -> bool:
    if not word.endswith("ing") or len(word) < 5 or word in _NOUNS_IN_ING or before in _ARTICLES:
        return False
    return word not in _EITHER or not after or after in _PREPOSITIONS | _ARTICLES


def _joined(parts: Iterable[list[str]]) -> list[list[str]]:
    """Parts that mean something only together: what is "in the background", and "with her hand" "on her chin"."""
    found: list[list[str]] = []
    for part in parts:
        hand = found and found[-1][:1] == ["with"] and permanent.is_part(found[-1]) and "hair" not in found[-1]
        if found and (" ".join(part) in _PLACES or (hand and permanent.is_part(part))):
            found[-1] = [*found[-1], *part]
        else:
            found.append(list(part))
    return found


def _cleaned(part: list[str], first: bool, keep_hair: bool) -> Iterator[str]:
    """One phrase of a part, or none."""
    words = _trimmed([word for word in part if word not in _LOST])
    opening = bool(words) and (words[0] in _PREPOSITIONS | _PARTICIPLES or words[0].endswith("ing"))
    if set(words) & _NOISE:
        return
    if words[:1] == ["with"] and "on" in words and permanent.is_part([word for word in words if word != "on"]):
        yield " ".join(words)  # "with her hand on her chin"
        return
    if not opening and {word.removesuffix("'s") for word in words} & permanent.PERSONS:  # the subject
        yield from [word for word in words if word in _SUBJECT_ACTS][:1] if first else []
        return
    if opening and len(words) > 1 and words[1] in permanent.PERSONS - permanent.COLOURS:  # "smiling woman"
        words = words[:1]
    words = _trimmed(permanent.without_persons_adjectives(_changing(words, keep_hair)))
    if not all(word in _EMPTY | _PREPOSITIONS | _INCOMPLETE for word in words) and not permanent.is_part(words):
        yield " ".join(words)


def _changing(words: list[str], keep_hair: bool) -> list[str]:
    """`words` without those of the things between "and" that are permanent; what opens the phrase stays."""
    things: list[list[str]] = [[]]
    for word in words:
        if word in ("and", "or"):
            things.append([])
        else:
            things[-1].append(word)
    kept: list[list[str]] = []
    gone = False  # the thing after this one is permanent
    for thing in reversed(things):
        gone = permanent.is_permanent(thing, keep_hair) or (gone and permanent.may_begin(thing))
        if thing and not gone and thing not in kept:
            kept.append(thing)
    kept.reverse()
    if not kept:
        return []
    # what opened the phrase opens what is left of it, but not "on her head and a scarf"
    lead = kept[0] is not things[0] and words[0] in _PREPOSITIONS and not permanent.is_part(things[0][1:])
    joined = [word for number, thing in enumerate(kept) for word in [*["and"] * (number > 0), *thing]]
    return [words[0], *joined] if lead and kept[0][0] not in _PREPOSITIONS else joined


def _trimmed(words: list[str]) -> list[str]:
    """Without words at the ends that lead nowhere."""
    start, end = 0, len(words)
    while start < end and words[start] in ("and", "or", "while", "as", "to", "of", "for"):
        start += 1
    while end > start and words[end - 1] in _EMPTY - {"up", "down"}:
        end -= 1
    return words[start:end]


def _bounded(found: Iterable[str]) -> list[str]:
    """Clean, short, each once, not too many."""
    unique: dict[str, str] = {}
    for phrase in found:
        short = ""
        for word in _words(phrase.replace("_", " ")):
            if len(short) + 1 + len(word) > LONGEST:
                break
            short = f"{short} {word}".strip()
        if len(short) > 1:
            unique.setdefault(phrases.key(short), short)
    return list(unique.values())[:MOST]
