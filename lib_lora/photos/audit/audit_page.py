"""Makes the contact sheet of an audit as one self-contained HTML page: no network, no script, no file beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from lib_lora.files import printable
from lib_lora.pages import template
from lib_lora.photos.audit import audit_words
from lib_lora.photos.audit.audit import Audit
from lib_lora.photos.audit.finding_words import beside_photo, sentence

_FILE = Path(__file__).resolve().parent / "templates" / "audit.html.jinja"


@dataclass(frozen=True)
class _Card:
    name: str
    tone: str
    word: str
    texts: list[str]
    picture: str


def render(audit: Audit, name: str, thumbnails: Mapping[str, bytes]) -> str:
    """The page.

    Args:
        audit: what to show; photos that need a decision come first.
        name: of the character.
        thumbnails: by file name, as JPEG; a photo without one says so.
    """
    order = {"bad": 0, "warn": 1, "good": 2, "none": 3}
    cards = [
        _Card(
            item.photo.file,
            audit_words.tone(item),
            audit_words.word(item),
            [beside_photo(finding) for finding in item.findings],
            _data_uri(thumbnails.get(item.photo.file)),
        )
        for item in sorted(audit.photos, key=lambda item: order[audit_words.tone(item)])
    ]
    tone = "bad" if audit.stopped else "warn" if audit.proposed or audit.findings else "good"
    lead = f"{rest[0].upper()}{rest[1:]}. " if (rest := audit_words.counts(audit)) else ""
    lead += "Nothing is left out unless you say so."
    return _template().render(
        audit=audit,
        name=name,
        headline=f"{name}: {audit_words.headline(audit)}",
        lead=lead,
        tone=tone,
        cards=cards,
        findings=[("bad" if finding.advice == "drop" else "warn", sentence(finding)) for finding in audit.findings],
    )


def _data_uri(jpeg: bytes | None) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}" if jpeg else ""


@cache
def _template() -> jinja2.Template:
    return template(_FILE, _plain)


def _plain(value: object) -> object:
    """File names may hold control characters, which turn text round or hide it."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
