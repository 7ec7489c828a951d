"""Says in a LoRA's metadata how it may be used: the words that call it, whose face it is, the base model's licence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError
from lib_lora.models.reading.header import read_header

LICENCE = "modelspec.license"
USAGE = "modelspec.usage_hint"
TERMS = "sameface.base_terms"  # what the base model's page on Civitai permits, as JSON (`terms_text`)
_LONGEST = 500  # letters of a licence that is taken over
_MARKS = (  # what a page says of its model that whoever uses a LoRA trained on it must know first
    ("minor", True, "it shows a CHILD"),
    ("poi", True, "it shows a REAL PERSON"),
    ("mode", "TakenDown", "Civitai has taken it down"),
    ("mode", "Archived", "it is archived"),
    ("sfwOnly", True, "not for pictures for adults only"),
)
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


def terms_text(terms: Mapping[str, Any]) -> str:
    """What is known of a base model's page on Civitai as text for metadata; empty = nothing.

    Args:
        terms: plain values, as `civitai.civitai_sidecars.summary` gives them.
    """
    return json.dumps(terms, ensure_ascii=False, separators=(",", ":")) if terms else ""


def licence_in(terms: str) -> str:
    """The licence that a base model has by what is known of its page; empty = none is known."""
    found = _terms(terms)
    licence, page = found.get("base_licence"), plain_licence(str(found.get("page") or ""))
    if not isinstance(licence, dict) or not isinstance(licence.get("name"), str):
        return ""
    address = f" ({licence['address']})" if isinstance(licence.get("address"), str) else ""
    return plain_licence(f"{licence['name']}{address}{f'; and what {page} permits' if page else ''}")


def terms_note(terms: str) -> str:
    """What a base model's page permits, in a few words for notes; empty = nothing is known."""
    found = _terms(terms)
    lights, page = found.get("lights"), plain_licence(str(found.get("page") or ""))
    if not isinstance(lights, dict) or not page:
        return ""
    said = ", ".join(f"{key} {value}" for key, value in lights.items() if isinstance(value, str))
    asked = f" on {found['asked']}" if isinstance(found.get("asked"), str) else ""
    about = [word for key, value, word in _MARKS if found.get(key) == value]
    return plain_licence(f"{page} said{asked}: {'; '.join([*about, said])}")


def _terms(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def usage_hint(words: Sequence[str], consent: str) -> str:
    """ModelSpec's ``usage_hint``.

    Args:
        words: what calls each of the characters in a prompt.
        consent: how the person shown agreed, as `character.store.Consent.kind`; of others nothing is said.
    """
    called = " or ".join(f"“{one}”" for one in words)
    return f"Put {called} into the prompt. {_FACES.get(consent, '')}".strip()
