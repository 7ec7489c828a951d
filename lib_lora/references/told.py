"""The audit in words: for a terminal, for programs, and for the cards of the contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

from lib_lora.files import printable
from lib_lora.references.audit import Audit, Audited

Tone = Literal["good", "warn", "bad", "none"]


def headline(audit: Audit) -> str:
    """How many photos there are, and how many of them are good."""
    count, good = len(audit.photos), sum(tone(item) == "good" for item in audit.photos)
    return f"{good} of {count} photo{'' if count == 1 else 's'} good"


def counts(audit: Audit) -> str:
    """One sentence about the rest; empty where there is none."""
    proposed, dropped = len(audit.proposed), len(audit.dropped)
    looked = sum(tone(item) == "warn" for item in audit.photos)
    parts = [
        f"{proposed} proposed to be left out" if proposed else "",
        f"{looked} to look at" if looked else "",
        f"{dropped} left out by you" if dropped else "",
    ]
    return ", ".join(part for part in parts if part)


def tone(item: Audited) -> Tone:
    """Of a photo: none where the user has left it out."""
    if not item.used:
        return "none"
    if item.proposed:
        return "bad"
    return "warn" if item.findings and item.decision != "keep" else "good"


def word(item: Audited) -> str:
    """What becomes of a photo."""
    if item.decision == "keep" and item.findings:
        return "kept by you"
    return {"none": "left out by you", "bad": "leave out?", "warn": "look", "good": "good"}[tone(item)]


def text(audit: Audit) -> str:
    """Everything, for a terminal."""
    return "\n".join(printable(line) for line in _lines(audit))


def _lines(audit: Audit) -> Iterator[str]:
    rest = counts(audit)
    yield f"{headline(audit)}{f'; {rest}' if rest else ''}."
    marks = {"bad": "x", "warn": "?", "none": "-"}
    for item in sorted(audit.photos, key=lambda item: list(marks).index(tone(item)) if tone(item) in marks else 9):
        if item.findings and item.decision != "keep":
            yield from (f"  {marks[tone(item)]} {finding.text}" for finding in item.findings)
        elif item.findings:
            yield f"  + {item.photo.file}: kept by you ({', '.join(finding.kind for finding in item.findings)})"
        elif not item.used:
            yield f"  - {item.photo.file}: left out by you"
    yield from (f"  ! {finding.text}" for finding in audit.findings)
    yield ""
    yield from map_lines(audit)


def map_lines(audit: Audit) -> Iterator[str]:
    """The small map: framing against angle."""
    table = audit.coverage.table
    angles = list(audit.coverage.angles)
    first = max(len(framing) for framing in table)
    yield "  ".join([" " * first, *angles])
    for framing, row in table.items():
        yield "  ".join([framing.ljust(first), *(str(row[angle] or "-").rjust(len(angle)) for angle in angles)])


def values(audit: Audit) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "photos": [
            {
                "file": item.photo.file,
                "sha256": item.photo.sha256,
                "findings": [asdict(finding) for finding in item.findings],
                "proposed": "drop" if item.proposed else "keep",
                "decision": item.decision,
                "facts": {
                    key: value
                    for key, value in asdict(item.photo.facts).items()
                    if key not in ("backdrop", "clothes")  # 256 numbers that say nothing by themselves
                },
                "likeness": item.photo.standing.likeness,
            }
            for item in audit.photos
        ],
        "findings": [asdict(finding) for finding in audit.findings],
        "coverage": audit.coverage.table,
        "missing": audit.coverage.missing,
        "resolution": audit.resolution,
        "stopped": audit.stopped,
    }
