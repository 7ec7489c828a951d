"""Says in a LoRA's metadata how it may be used: the words that call it, whose face it is, the base model's licence."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.models.reading.header import read_header

LICENCE = "modelspec.license"
USAGE = "modelspec.usage_hint"
_LONGEST = 500  # letters of a licence that is taken over
_FACES = {
    "fictional": "It shows a person who was invented. Say of pictures that they are generated.",
    "myself": "It shows the real person who trained it: use it only as that person allows, and say of pictures that "
    "they are generated.",
    "consented": "It shows a real person who has agreed to it: use it only for what that person has agreed to, and say "
    "of pictures that they are generated.",
}


def licence_of(base: Path) -> str:
    """The licence that a base checkpoint names in itself; empty where it names none or is no longer there."""
    with suppress(UserError):
        if base.suffix.lower() == ".safetensors":
            return plain_licence(read_header(base)[1].get(LICENCE, ""))
    return ""


def plain_licence(text: str) -> str:
    """A licence's name or address on one line."""
    return " ".join(text.split())[:_LONGEST]


def usage_hint(words: str, consent: str) -> str:
    """ModelSpec's ``usage_hint``.

    Args:
        words: that call the character in a prompt.
        consent: how the person shown agreed, as `character.store.Consent.kind`; of others nothing is said.
    """
    return f"Put “{words}” into the prompt. {_FACES.get(consent, '')}".strip()
