"""The HTML page of a report: what is on it, what it does without, and that no name can do anything in it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import get_args

import pytest
from PIL import Image
from report_toys import CONTROL, HOSTILE, empty, full, named, refused

from lib_lora.faces.unjudgeable import Hidden
from lib_lora.likeness.report.report import Report
from lib_lora.likeness.report.report_html import SIDE, render, without_photos
from lib_lora.likeness.report.report_words import legend
from lib_lora.likeness.verdict.facts import flat, from_flat
from lib_lora.likeness.verdict.prompt_adherence import Missed

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page taken apart: tags with their attributes, and the text that is seen."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unseen: list[str] = []
        self.seen: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.seen))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.unseen if self.open and self.open[-1] in ("style", "title") else self.seen).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def picture(path: str) -> Image.Image:
    return Image.new("RGB", (400, 600), "red")


def no_picture(path: str) -> None:
    return None


def page(report: Report) -> Page:
    return Page(render(report, picture))


def test_the_verdict_comes_first_and_the_advice_follows():
    text = page(full()).text
    order = ["The face holds", "91% of the identity is kept.", "Do next Keep it.", "The pictures", "The small print"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_retention_has_its_interval_and_stands_against_both_measures():
    text = page(full()).text
    assert "80% of the identity kept, against the photos (between 70 and 90)" in text
    # (0.90 - 0.40) / (0.82 - 0.40) times as much against the ceiling
    assert "95% of what the base model can show at this face size (between 83 and 107)" in text


def test_the_four_numbers_are_bars_that_say_what_they_mean():
    measured = {
        "counted": 5,
        "leak_share": 0.25,
        "leak": 2,
        "followed": 0.345,
        "variety_ratio": 1.2,
        "variety_limit": 0.45,
    }
    report = replace(full(), facts=from_flat({**flat(full().facts), **measured}))
    html = render(report, picture)
    bars = re.findall(r'<div class="number (\w+)" title="([^"]+)">.*?<div style="width: (\d+%)"', html, re.DOTALL)
    assert [(tone, width) for tone, _, width in bars] == [
        ("good", "95%"), ("warn", "75%"), ("none", "34%"), ("none", "100%")
    ]  # fmt: skip
    assert "the leak is 25%, and 2 of 2 such pictures show the person" in bars[1][1]
    meters = [one for one in Page(html).all("div") if one.get("role") == "meter"]
    assert [(one["aria-label"], one["aria-valuenow"]) for one in meters] == [
        ("Identity", "95"), ("Only when asked", "75"), ("Obedience", "34"), ("Variety", "100")
    ]  # fmt: skip
    assert (meters[1]["aria-valuetext"] or "").startswith("75%. How little the person shows in pictures without")
    assert "person&#39;s face" in html


def test_a_number_that_was_not_measured_has_no_bar_and_says_why():
    html = render(replace(full(), facts=from_flat({"keep": 0.7, "counted": 3, "leak": 0, "leak_cells": 4})), picture)
    assert html.count('role="meter"') == 0
    text = Page(html).text
    assert "Identity not measured: only 3 faces can be measured; 5 are needed" in text
    assert "Obedience not measured: no pictures without the LoRA" in text
    assert "Variety not measured: no pictures without the LoRA" in text


def test_every_picture_appears_small_and_with_its_words():
    report = full()
    asked: list[str] = []

    def pictures(path: str) -> Image.Image:
        asked.append(path)
        return picture(path)

    images = Page(render(report, pictures)).all("img")
    assert sorted(asked) == sorted(row.path for row in report.pictures)
    assert len(images) == len(report.pictures) == 14
    for image in images:
        kind, data = (image["src"] or "").split(",")
        assert kind == "data:image/jpeg;base64"
        small = Image.open(io.BytesIO(base64.b64decode(data)))
        assert (small.format, small.size) == ("JPEG", (128, SIDE))
        assert (image["width"], image["height"]) == ("128", str(SIDE))
    said = [image["alt"] for image in images]
    assert "AI-generated pictures, with the LoRA: 02; drift 0.70" in said
    assert "AI-generated pictures, without the LoRA: 02; someone else 0.22" in said
    assert all(said)


@pytest.mark.parametrize(
    "words",
    [
        "ok, copy 0.93 repeats whole.jpg nearest: near.jpg 0.71",
        "drift 0.70 nearest",
        "lost 0.30 nearest",
        "suspect 0.51 the face is only 31 pixels",
        "no face 05",
        "unreadable cells/06 is no picture.",
        "leak 0.80",
        "no leak 0.21",
        "1 of 2 show this person all the same",
        "aunt.jpg looks unlike the others",
        "odd.jpg two faces",
        "clearly this person 1 of 3 33% 6% to 79%",
        "The eyes have another colour.",
        "LoRA mara-000800.safetensors",
        "toy-engine:1234",
        "toy licence, commercial use permitted",
        "Similarity is not proof of identity",
        "Left out of every summary, and shown with the reason: 3 pictures and 1 photo.",
        "stranger line T_id 0.64",
        "keep line T_keep 0.76",
    ],
)
def test_it_says(words: str):
    assert words in page(full()).text


def test_pairs_stand_side_by_side():
    html = render(full(), picture)
    pairs = re.findall(r'<article class="pair">.*?</article>', html, re.DOTALL)
    assert len(pairs) == 6 + 2
    assert all(pair.count("<img") == 2 for pair in pairs[:6])
    assert pairs[0].index("without the LoRA") < pairs[0].index("with the LoRA")
    assert "prompt of 01" in pairs[0]


def test_a_mark_is_never_colour_alone():
    html = render(full(), picture)
    for cell in re.findall(r'<figure class="cell .*?</figure>', html, re.DOTALL):
        tone = re.match(r'<figure class="cell (\w+)"', cell)
        assert tone
        assert tone[1] == "none" or f"#icon-{tone[1]}" in cell
        assert re.search(r"<strong>.*?[a-z]{2,}.*?</strong>", re.sub(r"<svg.*?</svg>", "", cell), re.DOTALL)


def test_the_charts_show_every_score_and_both_lines():
    html = render(full(), picture)
    strips, curve = re.findall(r'<svg class="chart".*?</svg>', html, re.DOTALL)
    assert strips.count("<circle") == 3 + 4 + 6 + 2  # photos, pictures with a likeness, without the LoRA, leak
    assert strips.count('class="dot out"') == 2  # the photo left out, the suspect picture
    assert strips.count('class="bar"') == 3  # ceiling, two kinds of strangers
    assert curve.count("<circle") == 4
    assert curve.count('class="curve"') == 2
    keep, same, best = (float(re.search(pattern, strips)[1]) for pattern in (  # type: ignore[index]
        r'line class="keep" x1="([\d.]+)%', r'line class="same" x1="([\d.]+)%',
        r'cx="([\d.]+)%" cy="[\d.]+" r="4"><title>01 0.93<'))  # fmt: skip
    assert same < keep < best


def test_one_tested_step_is_a_row_of_a_table_and_no_curve():
    report = full()
    html = render(replace(report, tested=report.tested[:1]), picture)
    assert html.count('<svg class="chart"') == 1
    assert "400 1 60%" in Page(html).text


def test_it_needs_nothing_else():
    html = render(full(), picture)
    parsed = Page(html)
    assert not {"script", "link", "iframe", "object", "base", "form"} & {tag for tag, _ in parsed.tags}
    for _, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert re.match(r"(data:image/jpeg;base64,|#)", attributes.get(name) or "#")
    assert "url(" not in html
    assert "@import" not in html
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in parsed.all("meta"))


def test_it_is_readable_everywhere():
    html = render(full(), picture)
    assert '<html lang="en">' in html
    assert "@media (prefers-color-scheme: dark)" in html
    assert "@media print" in html
    assert "width=device-width" in html


def test_generated_pictures_are_called_so():
    report = full()
    assert page(report).text.count("AI-generated pictures") >= 2
    html = render(replace(report, subject=replace(report.subject, lora="")), picture)
    assert "AI-generated" not in html
    assert '<span class="badge"' not in html


@pytest.mark.parametrize("make", [refused, empty])
def test_a_refused_verdict_says_why(make: Callable[[], Report]):
    text = page(make()).text
    assert "No verdict" in text
    assert "Do next Add photos." in text
    assert "not measured: only 2 photos show a face." in text


@pytest.mark.parametrize("make", [full, refused, empty])
def test_gaps_are_never_filled_in(make: Callable[[], Report]):
    report = make()
    for one in (
        report,
        replace(report, facts=from_flat({"step": report.facts.training.step})),
        replace(report, tested=[], shares=[]),
    ):
        html = render(one, no_picture)
        assert not re.search(r"\b(None|nan|Undefined)\b", html)
        assert "<img" not in html
        assert html.count("the picture no longer exists") == len(one.pictures)


def test_too_few_faces_are_the_reason_where_there_is_no_other():
    report = replace(full(), facts=from_flat({"pictures": 3, "read": 3, "counted": 2}))
    assert "only 2 pictures show a face that can be measured; 5 are needed" in page(report).text


def test_pictures_without_a_pair_stand_alone():
    report = full()
    html = render(replace(report, pictures=report.of("lora")), picture)
    assert html.count("<img") == 6
    assert 'class="sheet single"' in html
    assert "<h4>" not in html


def test_only_what_occurs_is_explained():
    report = full()
    assert len(re.findall("<li class=", render(report, picture))) == 6
    assert "legend" not in re.sub("<style>.*</style>", "", render(refused(), picture), flags=re.DOTALL)


def test_whatever_makes_a_face_suspect_is_explained():
    """Beside what `Hidden` names: the smallest, the blurred, the cut off and the unclear faces."""
    (meaning,) = (one[2] for one in legend(full()) if one[0] == "suspect")
    there = {"small", "blurred", "cut off", "unclear", *(one.rpartition(" ")[2] for one in get_args(Hidden) if one)}
    assert {one for one in there if one not in meaning} == set()


def test_hostile_names_do_nothing():
    html, harmless = render(named(HOSTILE), picture), render(named("harmless"), picture)
    assert [tag for tag, _ in Page(html).tags] == [tag for tag, _ in Page(harmless).tags]
    for (_, attributes), (_, wanted) in zip(Page(html).tags, Page(harmless).tags):
        assert attributes.keys() == wanted.keys()
        assert not any(name.startswith("on") for name in attributes)
    assert Page(html).text.count("<script>alert(1)</script>") > 20  # shown as what it is
    assert "49" not in re.sub(r"data:[^\"]*", "", Page(html).text)


def test_control_characters_and_lone_surrogates_are_written_out():
    html = render(named(CONTROL), picture)
    assert html.encode("utf-8")
    assert r"a\x1b[31mb\x07c\x9bd\u202ee\udcfff g h" in html
    assert not set("\x1b\x07\x9b\u202e") & set(html)


def test_names_in_any_script_are_kept():
    assert "まら Žofie Мара مارا" in page(named("まら Žofie Мара مارا")).text


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "CMYK", "I;16", "1"])
def test_pictures_of_every_kind_are_shown_without_what_was_written_into_them(mode: str):
    image = Image.new(mode, (300, 300))
    image.info["comment"] = b"a secret prompt"
    src = Page(render(refused(), lambda path: image)).all("img")[0]["src"]
    assert b"secret" not in base64.b64decode((src or "").split(",")[1])


def photo(name: str) -> Image.Image | None:
    return Image.new("RGB", (800, 600), "green") if name == "near.jpg" else None


def test_the_nearest_photo_stands_beside_each_picture_and_can_be_taken_out() -> None:
    html = render(full(), picture, photo)
    page = Page(html)
    beside = [image for image in page.all("img") if image["alt"] == "photo near.jpg"]
    assert len(beside) == 4  # of six pictures two show no face
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in beside)
    assert page.text.count("nearest photo") == 4
    bare = without_photos(html)
    assert [image["alt"] for image in Page(bare).all("img")] == [
        image["alt"] for image in page.all("img") if image not in beside
    ]
    assert beside[0]["src"] not in bare
    assert without_photos(bare) == bare


def test_a_photo_that_is_gone_is_not_shown() -> None:
    assert not re.search('alt="photo ', render(full(), picture, lambda name: None))


def test_a_name_cannot_pretend_to_be_a_photos_mark() -> None:
    hostile = replace(full(), subject=replace(full().subject, character="<!--photo--> Mara <!--/photo-->"))
    assert "Mara" in Page(without_photos(render(hostile, picture))).text


def test_what_was_asked_and_not_given_is_listed() -> None:
    assert "Not as prompted" not in Page(render(full(), picture)).text
    report = replace(full(), missed=[Missed("serious", 2, 2, 0, text="Asked to be serious twice: smiles twice.")])
    assert "Not as prompted Asked to be serious twice: smiles twice." in Page(render(report, picture)).text
