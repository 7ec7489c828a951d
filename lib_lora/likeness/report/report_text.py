"""Writes a report as plain text for a terminal, at most `WIDTH` columns wide.

The verdict comes first, the small print last.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby, zip_longest

from wcwidth import wcswidth

from lib_lora.likeness.report import report_words
from lib_lora.likeness.report.four_numbers import four_numbers
from lib_lora.likeness.report.report import Report, Row
from lib_lora.likeness.verdict.facts import Facts
from lib_lora.messages.tone import Tone

WIDTH = 100  # columns
_MOST = 12  # lines of photos that are left out; the rest is counted
_LONGEST = 28  # columns of a file name in the table
_SIGNS: dict[Tone, str] = {"good": "[OK]", "warn": "[!]", "bad": "[X]", "none": "[?]"}


def as_text(report: Report) -> str:
    """The report as lines of text."""
    blocks = [
        _verdict(report),
        _pictures(report),
        _leak(report),
        _listed("Not as prompted:", [one.text for one in report.missed]),
        _listed("Also worth knowing:", report.verdict.notes),
        _listed("By step and weight:", _tested(report)),
        _listed("Photos left out:", [f"{name}: {why}" for name, why in report_words.photos_left_out(report)], _MOST),
        _listed("Photos to look at:", [f"{name}: {why}" for name, why in report_words.photos_to_see(report)], _MOST),
        _listed("Small print:", report_words.small_print(report)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _verdict(report: Report) -> list[str]:
    sign = _SIGNS[report_words.tone_of(report)]
    lines = [
        *wrapped(f"{sign} {report.verdict.headline.upper()}", "", " " * (len(sign) + 1)),
        *wrapped(", ".join(f"{name.lower()} {value}" for name, value in report_words.about(report))),
        "",
        *wrapped(report.verdict.because),
        *wrapped(f"Do next: {report.verdict.advice}", "", " " * len("Do next: ")),
    ]
    kept = [
        f"{report_words.percent(one.value)} {one.against}{f' ({one.interval})' if one.interval else ''}"
        for one in report_words.kept(report)
    ]
    retention = kept or [f"Identity kept: not measured: {report_words.why_not_kept(report)}"]
    figures = [line for one in retention for line in wrapped(f"{one}.")]
    return [*lines, *figures, *wrapped(_four_numbers(report.facts)), *wrapped(f"{report_words.counts(report)}.")]


def _four_numbers(facts: Facts) -> str:
    """All four in a line, with one percent sign at most: "In percent: identity 90, only when asked 35, ..."."""
    numbers = four_numbers(facts)
    known = [f"{one.label} {round(100 * one.value)}".lower() for one in numbers if one.value is not None]
    unknown = groupby((one for one in numbers if one.why_not), lambda one: str(one.why_not))
    without = [f"{', '.join(str(one.label).lower() for one in same)} ({why})" for why, same in unknown]
    said = [f"In percent: {', '.join(known)}."] * bool(known)
    return " ".join([*said, *([f"Not measured: {'; '.join(without)}."] if without else [])])


def _pictures(report: Report) -> list[str]:
    rows, base = report.of("lora"), report.of("base")
    if not rows:
        return []
    width = min(_LONGEST, max(columns(name) for name in ["picture", *map(_name, rows)]))
    word = max(10, *(len(report_words.mark_of(row).word) for row in rows))
    without = f"{'without':>9}" if base else ""
    lines = [f"  {fitted('picture', width)}  {'status':{word}}  likeness{without}  nearest photo"]
    for row, other in zip_longest(rows, base[: len(rows)]):
        mark = report_words.mark_of(row)
        before = f"{(report_words.mark_of(other).likeness or '-') if other else '-':>9}" if base else ""
        tail = "; ".join(filter(None, (mark.nearest, mark.remark)))
        head = f"  {fitted(_name(row), width)}  {mark.word:{word}}  {mark.likeness or '-':>8}{before}  "
        lines += wrapped(tail or "-", head, " " * columns(head))
    title = report_words.AI_MADE if report.subject.lora else "Pictures"
    return [f"{title}:", *(line.rstrip() for line in lines)]


def _leak(report: Report) -> list[str]:
    marks = [(row, report_words.mark_of(row)) for row in report.of("leak")]
    return _listed("Without the trigger word:", [f"{_name(row)}: {mark.caption}" for row, mark in marks])


def _tested(report: Report) -> list[str]:
    return [f"step {one.step:,}, weight {one.weight:g}: {report_words.percent(one.retention)}" for one in report.tested]


def _listed(title: str, items: Iterable[str], most: int | None = None) -> list[str]:
    items = list(items)
    if not items:
        return []
    shown = items[:most]
    lines = [line for item in shown for line in wrapped(item, "  - ", "    ")]
    return [title, *lines, *([f"    ... and {len(items) - len(shown)} more"] if len(items) > len(shown) else [])]


def _name(row: Row) -> str:
    return report_words.plain(row.path.rpartition("/")[2])


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes; it holds no control characters (`report_words.plain`)."""
    return max(0, wcswidth(text))


def fitted(text: str, width: int) -> str:
    """`text` in exactly `width` columns: filled up, or shortened in its middle, where names differ least."""
    if columns(text) > width:
        head, tail = text, text
        while columns(head) > (width - 3) // 2:
            head = head[:-1]
        while columns(tail) > width - 3 - columns(head):
            tail = tail[1:]
        text = f"{head}...{tail}"
    return text + " " * (width - columns(text))


def wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    """`text` in lines of at most `WIDTH` columns, the first beginning with `first`, the others with `rest`.

    What comes from outside is made harmless here.
    """
    lines, line, empty = [], first, True
    for word in report_words.plain(text).split():
        while word:
            gap = "" if empty else " "
            if columns(line) + len(gap) + columns(word) <= WIDTH:
                line, word, empty = f"{line}{gap}{word}", "", False
            elif empty:  # longer than a line
                cut = _that_fit(word, WIDTH - columns(line))
                lines.append(line + word[:cut])
                line, word = rest, word[cut:]
            else:
                lines.append(line)
                line, empty = rest, True
    return lines if empty and lines else [*lines, line]


def _that_fit(word: str, room: int) -> int:
    """How many characters of `word` fit into `room` columns; at least one."""
    cut = 1
    while cut < len(word) and columns(word[: cut + 1]) <= room:
        cut += 1
    return cut
