"""The report on a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_toys import CONTROL, empty, full, named, refused

from lib_lora.likeness.report.report import ReferencePhoto, Report
from lib_lora.likeness.report.report_text import WIDTH, as_text, columns, fitted, wrapped
from lib_lora.likeness.verdict.facts import Facts, from_flat
from lib_lora.likeness.verdict.facts import flat as flat_facts


def flat(report: Report) -> str:
    return re.sub(r"\s+", " ", as_text(report))


def test_it_reads_from_the_verdict_to_the_small_print():
    text = flat(full())
    order = [
        "[OK] THE FACE HOLDS",
        "91% of the identity is kept.",
        "Do next: Keep it.",
        "95% of what the base model can show at this face size (between 83 and 107).",
        "80% of the identity kept, against the photos (between 70 and 90).",
        "In percent: identity 95.",
        "6 pictures, 3 counted",
        "AI-generated pictures:",
        "Without the trigger word:",
        "Also worth knowing:",
        "Photos left out:",
        "Small print:",
        "Similarity is not proof of identity",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert places[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        "01 ok, copy 0.93 0.21 near.jpg 0.71; repeats whole.jpg",
        "02 drift 0.70 0.22 near.jpg 0.71",
        "04 suspect 0.51 0.24 near.jpg 0.71; the face is only 31 pixels",
        "05 no face - 0.25 -",
        "06 unreadable - 0.26 cells/06 is no picture.",
        "- 01: leak 0.80",
        "- step 400, weight 0.8: 50%",
        "- aunt.jpg: looks unlike the others",
        "- odd.jpg: two faces",
        "6 pictures, 3 counted: 1 ok, 1 drift, 1 lost, 1 without a face, 1 suspect, 1 unreadable, 1 repeating a photo.",
    ],
)
def test_it_says(words: str):
    assert words in flat(full())


def test_the_four_numbers_are_one_line():
    measured = {"leak_share": 0.25, "followed": 0.345, "variety_ratio": 0.7, "variety_limit": 0.45}
    report = replace(full(), facts=from_flat({**flat_facts(full().facts), **measured}))
    lines = as_text(report).splitlines()
    assert "In percent: identity 95, only when asked 75, obedience 34, variety 70." in lines
    assert (
        "Not measured: identity, only when asked (no lines could be drawn); obedience, variety (no pictures without "
        "the LoRA)."
    ) in flat(refused())


def test_columns_of_the_table_stand_beneath_each_other():
    lines = as_text(full()).splitlines()
    head = next(line for line in lines if "likeness  " in line and "picture" in line)
    end, start = head.index("likeness") + len("likeness"), head.index("nearest photo")
    rows = [line for line in lines if re.match(r"  0[123] ", line)]
    assert [line[end - 4 : end] for line in rows] == ["0.93", "0.70", "0.30"]
    assert all(line[start:].startswith("near.jpg") and line[start - 1] == " " for line in rows)


def test_no_line_of_the_verdict_has_two_percentages():
    lines = as_text(full()).splitlines()
    for line in lines[: lines.index("AI-generated pictures:")]:
        assert line.count("%") <= 1, line


@pytest.mark.parametrize("make", [refused, empty])
def test_a_refused_verdict_says_why(make: Callable[[], Report]):
    text = flat(make())
    assert text.startswith("[?] NO VERDICT")
    assert "Identity kept: not measured: only 2 photos show a face." in text
    assert "AI-generated" not in text


@pytest.mark.parametrize("make", [full, refused, empty])
def test_gaps_are_never_filled_in(make: Callable[[], Report]):
    report = make()
    for one in (report, replace(report, facts=Facts())):
        assert not re.search(r"\b(None|nan)\b", as_text(one))


def test_many_photos_left_out_are_counted():
    photos = [ReferencePhoto(f"{number}.jpg", None, False, "no face found") for number in range(15)]
    text = as_text(replace(full(), photos=photos))
    assert text.count("no face found") == 12
    assert "... and 3 more" in text


def test_no_control_character_reaches_the_terminal():
    text = as_text(named(CONTROL))
    assert not [one for one in text if one != "\n" and (ord(one) < 32 or 127 <= ord(one) < 160)]
    assert "\u202e" not in text
    assert r"a\x1b[31mb\x07c\x9bd\u202ee\udcfff g h" in re.sub(r"\s+", " ", text)
    assert text.encode("utf-8")


@pytest.mark.parametrize("name", ["x" * 300, "顔" * 150, "word " * 80, "ä" * 120, "顔.jpg"])
def test_no_line_is_too_wide(name: str):
    widest = max(columns(line) for line in as_text(named(name)).splitlines())
    assert widest <= WIDTH


@given(st.text(max_size=300), st.integers(0, 60))
def test_wrapping_loses_nothing(text: str, indent: int):
    from lib_lora.likeness.report.report_words import plain

    lines = wrapped(text, " " * indent, " " * indent)
    assert "".join("".join(lines).split()) == "".join(plain(text).split())
    assert all(columns(line) <= WIDTH for line in lines)


@given(st.text(alphabet="ab顔é.", max_size=60), st.integers(4, 30))
def test_fitted_text_is_as_wide_as_asked(text: str, width: int):
    assert columns(fitted(text, width)) == width
