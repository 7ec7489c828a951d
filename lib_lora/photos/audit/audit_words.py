"""Puts the audit into words: for a terminal, for programs, and for the cards of the contact sheet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from lib_lora.files import printable
from lib_lora.messages.message import Message
from lib_lora.messages.tone import Tone
from lib_lora.photos.audit import finding_words
from lib_lora.photos.audit.audit import Audit, Audited
from lib_lora.photos.audit.coverage import all_missing
from lib_lora.photos.audit.finding_words import sentence
from lib_lora.photos.audit.findings import Code, Finding
from lib_lora.photos.audit.merged_sentences import Sentence, merged

_FIRST = 2  # findings about the set that the first line names
_SETS: dict[Code, str] = {
    "several-people": "of several people",
    "too-few-photos": "too few",
    "few-photos": "few",
    "many-photos": "more than needed",
    "one-background": "against one background",
    "one-outfit": "in one outfit",
    "one-light": "in one light",
}
_GOOD, _ONE_GOOD = "{good} of {count} photos good{but}", "{good} of {count} photo good{but}"
_BUT, _AND = ", but {faults}", "{one} and {other}"
_FROM_THE_FRONT, _NOT_ALL_SIDES = "only from the front", "not from all sides"
_COUNTS = "{counts}"
_PROPOSED, _TO_CHECK, _LEFT_OUT = "{n} proposed to be left out", "{n} to look at", "{n} left out by you"
MANY = 8  # photos with one fault, of which each would be a line


def headline_message(audit: Audit) -> Message:
    """How many photos there are, how many of them are good, and what is wrong with them as a set."""
    count, good = len(audit.photos), sum(tone(item) == "good" for item in audit.photos)
    found = [words for finding in audit.findings if (words := _but(finding.code, audit))] if good else []
    but = Message(_BUT, {"faults": _joined(found[:_FIRST])}) if found else ""
    return Message(_ONE_GOOD if count == 1 else _GOOD, {"good": good, "count": count, "but": but}, "photos-checked")


def headline(audit: Audit) -> str:
    """`headline_message` in English."""
    return str(headline_message(audit))


def _but(code: Code, audit: Audit) -> Message | None:
    """A finding about the set in a few words."""
    if code != "missing-views":
        return Message(_SETS[code]) if code in _SETS else None
    shown = [angle for angle, photos in audit.coverage.angles.items() if photos]
    if shown == ["ahead"]:
        return Message(_FROM_THE_FRONT)
    lacks = [one for one in audit.coverage.missing if "view" in one or "profile" in one]
    if len(lacks) > 2:
        return Message(_NOT_ALL_SIDES)
    return _joined([Message(one) for one in lacks or audit.coverage.missing])


def _joined(parts: Sequence[Message]) -> Message:
    """ "one and other and third"."""
    first, *rest = parts
    return Message(_AND, {"one": first, "other": _joined(rest)}) if rest else first


def counts_message(audit: Audit) -> Message:
    """One sentence about the rest; empty where there is none."""
    numbers = {
        _PROPOSED: len(audit.proposed),
        _TO_CHECK: sum(tone(item) == "warn" for item in audit.photos),
        _LEFT_OUT: len(audit.dropped),
    }
    parts = [Message(text, {"n": n}) for text, n in numbers.items() if n]
    return Message(_COUNTS, {"counts": parts}, "photos-otherwise")


def counts(audit: Audit) -> str:
    """`counts_message` in English."""
    return str(counts_message(audit))


def templates() -> Iterator[str]:
    """The templates of `headline_message` and `counts_message`, and of their parts."""
    yield from (_GOOD, _ONE_GOOD, _BUT, _AND, _FROM_THE_FRONT, _NOT_ALL_SIDES, *_SETS.values(), *all_missing())
    yield from (_COUNTS, _PROPOSED, _TO_CHECK, _LEFT_OUT)


def tone(item: Audited) -> Tone:
    """The tone of a photo: "none" where the user has left it out."""
    if not item.used:
        return "none"
    if item.proposed:
        return "bad"
    return "warn" if item.findings and item.decision != "keep" else "good"


def tones(item: Audited) -> dict[str, Tone]:
    """The tone of a photo for each decision that a user can take: keep, drop, undecided."""
    return {
        "keep": tone(replace(item, decision="keep")),
        "drop": tone(replace(item, decision="drop")),
        "undecided": tone(replace(item, decision=None)),
    }


KEPT, LEFT_OUT, NEW = "kept by you", "left out by you", "new"
DECIDED = {"keep": KEPT, "drop": LEFT_OUT, "undecided": "undecided"}  # of a decision that is on its way
_WORDS: dict[Tone, str] = {"none": LEFT_OUT, "bad": "leave out?", "warn": "look", "good": "good"}


def word(item: Audited) -> str:
    """What becomes of a photo."""
    return KEPT if item.decision == "keep" and item.findings else _WORDS[tone(item)]


def words() -> Iterator[str]:
    """All that `word` can say, and what is said of a photo that is not checked yet."""
    yield from (KEPT, NEW, *_WORDS.values())


def text(audit: Audit) -> str:
    """Everything, for a terminal."""
    return "\n".join(printable(line) for line in _lines(audit))


def _lines(audit: Audit) -> Iterator[str]:
    rest = counts(audit)
    yield f"{headline(audit)}{f'; {rest}' if rest else ''}."
    often = _often(audit)
    for heading, which in (("Leave out?", "bad"), ("Look at:", "warn")):
        texts = merged(
            _as_sentence(finding)
            for item in audit.photos
            if tone(item) == which
            for finding in item.findings
            if finding_words.kind(finding.code) not in often or which == "bad"
        )
        texts += often.values() if which == "warn" else []
        yield from [heading, *(f"  {one}" for one in texts)] if texts else []
    for heading, decision in (("Left out by you:", "drop"), ("Kept by you:", "keep")):
        decided = [item for item in audit.photos if item.decision == decision and (item.findings or not item.used)]
        yield from [heading, *(f"  {_decided(item)}" for item in decided)] if decided else []
    if audit.findings:
        yield from ["The set:", *(f"  {sentence(finding)}" for finding in audit.findings)]
    yield ""
    yield from map_lines(audit)


def _as_sentence(finding: Finding) -> Sentence:
    """Findings of one code say the same, unless they name another file or another reason."""
    named = finding.details.get("other", finding.details.get("reason", "").replace(finding.photo, ""))
    return Sentence(finding.photo, (finding.code, named), sentence(finding))


def _often(audit: Audit) -> dict[str, str]:
    """By kind, one sentence for what is to be looked at in many photos."""
    found: dict[str, list[str]] = {}
    for item in audit.photos:
        if tone(item) == "warn":
            for finding in item.findings:
                found.setdefault(finding_words.kind(finding.code), []).append(item.photo.file)
    return {
        kind: f"{len(files)} photos: {kind} ({', '.join(files[:3])} and others; the contact sheet says more)."
        for kind, files in found.items()
        if len(files) > MANY
    }


def _decided(item: Audited) -> str:
    kinds = ", ".join(finding_words.kind(finding.code) for finding in item.findings)
    return f"{item.photo.file}{f' ({kinds})' if kinds else ''}"


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
                "findings": [finding_words.values(finding) for finding in item.findings],
                "proposed": "drop" if item.proposed else "keep",
                "decision": item.decision,
                "facts": {
                    key: value
                    for key, value in asdict(item.photo.facts).items()
                    if key not in ("backdrop", "clothes")  # 256 numbers that say nothing by themselves
                },
                "likeness": item.photo.comparison.likeness,
            }
            for item in audit.photos
        ],
        "findings": [finding_words.values(finding) for finding in audit.findings],
        "coverage": audit.coverage.table,
        "missing": audit.coverage.missing,
        "resolution": audit.resolution,
        "people": audit.people,
        "stopped": audit.stopped,
    }
