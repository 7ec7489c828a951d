"""Keeps what the last audit said of each photo and of the set in the character's cache, for whoever only shows it.

Plain words and numbers, no biometric data. Imports nothing heavy, so that a screen can read it each second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_lora.errors import UserError
from lib_lora.files import read_json, write_json
from lib_lora.workspace.file_cache import keep_nothing
from lib_lora.workspace.workspace import CharacterFolder

if TYPE_CHECKING:
    from lib_lora.photos.audit.audit import Audit, Audited

FILE = "audit-told.json"
VERSION = 1


@dataclass(frozen=True)
class KeptPhoto:
    """What an audit said of a photo.

    Attributes:
        file, sha256: which one.
        tone: how it looks on a page.
        proposed: the audit proposes to leave it out.
        shown: all that a page shows of it.
    """

    file: str
    sha256: str
    tone: str
    proposed: bool
    shown: Mapping[str, Any]


@dataclass(frozen=True)
class KeptAudit:
    """What an audit said of a character's photos.

    Attributes:
        headline: in English.
        message: the headline's template and values; None where an earlier version kept none.
        tone: how it looks on a page.
        stopped: it could not say anything of the set.
        coverage: photos by framing and angle.
        photos: in their order.
        shown: all that a page shows of the set.
    """

    headline: str
    message: Mapping[str, Any] | None
    tone: str
    stopped: bool
    coverage: Mapping[str, Mapping[str, int]]
    photos: Sequence[KeptPhoto]
    shown: Mapping[str, Any]

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> KeptAudit:
        """An audit of its plain values.

        Raises:
            AttributeError, KeyError, TypeError, ValueError, OverflowError: they are none.
        """
        photos = [
            KeptPhoto(str(one["file"]), str(one["sha256"]), str(one["tone"]), bool(one["proposed"]), one)
            for one in values["photos"]
        ]
        message = values.get("messages", {}).get("headline")
        coverage = {
            str(framing): {str(angle): int(number) for angle, number in angles.items()}
            for framing, angles in values["coverage"].items()
        }
        stopped = bool(values["stopped"])
        return cls(str(values["headline"]), message, str(values["tone"]), stopped, coverage, photos, values)


def path_of(folder: CharacterFolder) -> Path:
    """Where it is kept."""
    return folder.cache / FILE


def keep(folder: CharacterFolder, audit: Audit) -> None:
    """Keep what an audit says; written only where it says something else than before.

    Raises:
        UserError: the file cannot be written.
    """
    current = values(audit)
    if _values_kept(folder) != current:
        write_json(path_of(folder), current)


def kept(folder: CharacterFolder) -> KeptAudit | None:
    """What was kept last; None where nothing was, or where it cannot be read: it is only a cache."""
    values_kept = _values_kept(folder)
    try:
        return KeptAudit.read(values_kept) if values_kept else None
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None


def _values_kept(folder: CharacterFolder) -> dict[str, Any] | None:
    try:
        found = read_json(path_of(folder)) if path_of(folder).is_file() else None
    except UserError:
        keep_nothing()
        return None
    return found if isinstance(found, dict) and found.get("version") == VERSION else None


def values(audit: Audit) -> dict[str, Any]:
    """An audit as a page shows it: tones, words and sentences ready to be read."""
    from lib_lora.photos.audit import audit_words, finding_words

    tone = "bad" if audit.stopped else "warn" if audit.proposed or audit.findings else "good"
    return {
        "version": VERSION,
        "resolution": audit.resolution,
        "headline": audit_words.headline(audit),
        "counts": audit_words.counts(audit),
        "messages": {
            "headline": audit_words.headline_message(audit).for_programs(),
            "counts": audit_words.counts_message(audit).for_programs(),
        },
        "tone": tone,
        "stopped": audit.stopped,
        "findings": [
            {
                "code": finding.code,
                "details": dict(finding.details),
                "text": finding_words.sentence(finding),
                "message": finding_words.message(finding).for_programs(),
                "tone": "bad" if finding.advice == "drop" else "warn",
            }
            for finding in audit.findings
        ],
        "missing": audit.coverage.missing,
        "coverage": audit.coverage.table,
        "people": audit.people,
        "photos": [_photo(item) for item in audit.photos],
    }


def _photo(item: Audited) -> dict[str, Any]:
    from lib_lora.captions import slots
    from lib_lora.photos.audit import audit_words, finding_words

    texts = [finding_words.beside_photo(finding) for finding in item.findings]
    shown = ", ".join(slots.words(item.photo.facts))
    return {
        "file": item.photo.file,
        "sha256": item.photo.sha256,
        "tone": audit_words.tone(item),
        "tones": audit_words.tones(item),
        "word": audit_words.word(item),
        "sentence": texts[0] if texts else f"{shown[:1].upper()}{shown[1:]}.".lstrip("."),
        "findings": texts,
        "codes": [finding.code for finding in item.findings],
        "messages": [finding_words.message(finding).for_programs() for finding in item.findings],
        "decision": item.decision,
        "proposed": item.proposed,
        "used": item.used,
        "width": item.photo.facts.width,
        "height": item.photo.facts.height,
    }
