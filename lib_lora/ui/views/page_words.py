"""Holds the words that the page's scripts show for the server's codes, so that they keep no list of codes.

As one dataclass: `/state` sends it, and the scripts' types are generated from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from lib_lora.captions.slots import Angle
from lib_lora.civitai.licence_lights import LIGHT_WORDS, Light, ShownLight
from lib_lora.likeness.report.four_numbers import LABELS, MEANINGS, NumberCode
from lib_lora.likeness.verdict.verdict_tone import PICTURE_MEANINGS, STATUS_TONES
from lib_lora.messages.tone import Tone
from lib_lora.photos.audit.audit_words import DECIDED
from lib_lora.photos.audit.coverage import SHORT
from lib_lora.remote import api_key_store

SIGNING = {  # with whose certificate an archive of pictures is signed
    "own": "Signed with the certificate c2pa-own.pem of the data folder.",
    "home-made": "Signed with a home-made certificate, which nobody else trusts. To use your own, put it with its key "
    "into the data folder as c2pa-own.pem.",
    "missing": "Signed pictures (C2PA) need the Python package c2pa-python.",
}

_REPORTED = (
    "For comparison: what people report for a first LoRA on a rented GPU is about 4 hours and 0.50 to 3 GBP. This was "
    "not measured here."
)


@dataclass(frozen=True)
class PictureStatus:
    """What a picture with the LoRA can be called."""

    tone: Tone
    meaning: str


@dataclass(frozen=True)
class PageWords:
    """Words for codes.

    Attributes:
        numbers: the names of the four numbers, in their order.
        number_meanings: what each of them means.
        statuses: what a picture with the LoRA can be called.
        lights: of licences, from the best to the worst.
        kept_keys: where the API key of a service is, by service and place.
        angles: in which a photo shows a face, as a table's heads.
        decisions: on a photo, which are on their way.
        reported_cost: what others say that a first LoRA costs.
    """

    numbers: Mapping[NumberCode, str]
    number_meanings: Mapping[NumberCode, str]
    statuses: Mapping[str, PictureStatus]
    lights: Mapping[Light, ShownLight]
    kept_keys: Mapping[str, Mapping[str, str]]
    angles: Mapping[Angle, str]
    decisions: Mapping[str, str]
    reported_cost: str


@cache
def page_words() -> PageWords:
    """All words of the page."""
    return PageWords(
        numbers=LABELS,
        number_meanings=MEANINGS,
        statuses={name: PictureStatus(tone, PICTURE_MEANINGS[name]) for name, tone in STATUS_TONES.items()},
        lights=LIGHT_WORDS,
        kept_keys={service: api_key_store.kept_words(service) for service in api_key_store.VARIABLES},
        angles=SHORT,
        decisions=DECIDED,
        reported_cost=_REPORTED,
    )


def templates() -> Iterator[str]:
    """All words of the page, for translators."""
    words = page_words()
    yield from (
        *words.numbers.values(),
        *words.number_meanings.values(),
        *words.angles.values(),
        *words.decisions.values(),
    )
    yield from (one.meaning for one in words.statuses.values())
    yield from (one.word for one in words.lights.values())
    yield from (*SIGNING.values(), words.reported_cost)
    yield from (text for places in words.kept_keys.values() for text in places.values())
