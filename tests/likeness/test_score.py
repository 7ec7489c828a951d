"""Scores and their summary: on portraits, and on made-up scores where the arithmetic can be checked by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.likeness import template as templates
from lib_lora.likeness.faces import Quality
from lib_lora.likeness.score import ImageScore, score_images, spread_of, summarise
from lib_lora.likeness.table import score_table, table
from lib_lora.likeness.template import Reference, Template
from lib_lora.settings import from_dict, to_dict

GOOD = Quality(px=200, score=0.9, blur=300, yaw=0)


def made_template(loo: Sequence[float]) -> Template:
    references = [
        Reference(f"{number}.jpg", "", True, "", 1.0, value, GOOD, templates.packed(np.eye(1, 128)[0]))
        for number, value in enumerate(loo)
    ]
    return Template("toy", "0", templates.packed(np.eye(1, 128, dtype=np.float32)[0]), references)


def scores(*values: float | None) -> list[ImageScore]:
    return [
        ImageScore(f"picture {number}", None, "no face found", 0)
        if value is None
        else ImageScore(f"picture {number}", value, "", 1, GOOD)
        for number, value in enumerate(values, 1)
    ]


PHOTOS = (0.80, 0.82, 0.84, 0.86, 0.86, 0.88, 0.90, 0.92)  # median 0.86


def test_portraits_of_the_person_and_of_another(engine, photos, portrait, tmp_path: Path) -> None:
    template = templates.build(engine, photos("mara")[:6])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    both = Image.new("RGB", (1100, 640))
    both.paste(portrait("viktor", 1), (0, 0))
    both.paste(portrait("mara", 6).resize((400, 400), Image.Resampling.LANCZOS), (660, 100))
    small = portrait("mara", 7).resize((48, 48), Image.Resampling.LANCZOS)
    images = [*photos("mara")[6:], *photos("viktor")[:3], both, small, Image.new("RGB", (64, 64)), broken]
    done: list[int] = []
    found = score_images(engine, template, images, done.append)
    assert done == list(range(1, 10))
    assert [item.image for item in found[:2]] == ["06.jpg", "07.jpg"]
    own, other, pair, tiny, none, unreadable = found[:2], found[2:5], found[5], found[6], found[7], found[8]
    assert all(item.likeness > 0.80 and item.counts and item.largest is None for item in own)
    assert all(0.1 < item.likeness < 0.35 and item.counts for item in other)
    assert pair.faces == 2
    assert pair.likeness == pytest.approx(own[0].likeness, abs=0.05)
    assert pair.largest == pytest.approx(other[1].likeness, abs=0.05)
    assert (tiny.counts, tiny.faces) == (False, 1)
    assert tiny.reason == f"the face is only {tiny.face.px:.0f} pixels"
    assert none == ImageScore("picture 8", None, "no face found", 0)
    assert unreadable.likeness is None
    assert "broken.png is not a picture" in unreadable.reason
    text = score_table(found)
    assert len(text.splitlines()) == 9
    assert "2 faces, the largest has 0." in text
    assert text.splitlines()[7].split() == ["picture", "8", "-", "no", "face", "found"]


def test_another_engines_template_is_refused(engine) -> None:
    with pytest.raises(UserError, match="made by another face engine \\(toy, not yunet-sface-1:"):
        score_images(engine, made_template(PHOTOS), [])


def test_retention_by_hand() -> None:
    base = scores(0.10, 0.20, 0.20, 0.20, 0.40)  # median 0.20
    kept = scores(0.60, 0.70, 0.70, 0.70, 0.80)  # mean 0.70
    summary = summarise(kept, base, made_template(PHOTOS))
    assert summary.retention == pytest.approx((0.70 - 0.20) / (0.86 - 0.20))
    assert summary.retention_reason == ""
    # robust spreads: photos 1.4826 x 0.03, base at its floor 0.03
    assert summary.separation == pytest.approx(0.66 / np.sqrt(((1.4826 * 0.03) ** 2 + 0.03**2) / 2))
    assert summary.uplift is not None
    assert summary.uplift.pairs == 5
    assert summary.uplift.median == pytest.approx(0.50)
    assert summary.uplift.mean == pytest.approx(0.48)
    assert summary.uplift.better == 5
    assert summary.with_lora.median == pytest.approx(0.70)
    assert summary.with_lora.p10 == pytest.approx(0.64)
    assert summary.with_lora.lowest == pytest.approx(0.60)
    assert summary.photos.median == pytest.approx(0.86)
    text = table(summary)
    assert "Identity retention: 76% (0% is the base model, 100% the photos themselves)." in text
    assert "Gain by the LoRA: +0.500 (median of 5 pairs" in text
    assert "first numbers, not yet a verdict" in text


@pytest.mark.parametrize(
    ("kept", "base", "photos", "why"),
    [
        ((0.7,) * 8, None, PHOTOS, "no pictures without the LoRA"),
        ((0.7,) * 8, (0.2,) * 8, PHOTOS[:7], "only 7 photos could be compared with each other; 8 are needed"),
        ((0.7,) * 8, (None,) * 8, PHOTOS, "no face could be measured without the LoRA; 5 are needed"),
        ((0.7,) * 8, (0.2,) * 4 + (None,) * 4, PHOTOS, "only 4 faces could be measured without the LoRA"),
        ((None,) * 8, (0.2,) * 8, PHOTOS, "no face could be measured with the LoRA"),
        ((0.7,) * 8, (0.80,) * 8, PHOTOS, "too alike to tell apart"),
    ],
)
def test_retention_that_cannot_be_measured_is_absent(kept, base, photos, why: str) -> None:
    summary = summarise(scores(*kept), None if base is None else scores(*base), made_template(photos))
    assert summary.retention is None
    assert why in summary.retention_reason
    assert f"Identity retention: not measured: {summary.retention_reason}." in table(summary)


def test_gain_is_taken_over_pairs_only() -> None:
    summary = summarise(scores(0.7, None, 0.5, 0.9), scores(0.2, 0.3, None, 0.3), made_template(PHOTOS))
    assert summary.uplift is not None
    assert summary.uplift.pairs == 2
    assert summary.uplift.mean == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("kept", "base", "why"),
    [
        ((0.7, 0.7), None, "there are no pictures without the LoRA"),
        ((0.7, 0.7), (0.2,), "2 pictures with and 1 without the LoRA are no pairs"),
        ((0.7, None), (None, 0.2), "in no pair both faces could be measured"),
        ((), (), "in no pair"),
    ],
)
def test_gain_that_cannot_be_measured_is_absent(kept, base, why: str) -> None:
    summary = summarise(scores(*kept), None if base is None else scores(*base), made_template(PHOTOS))
    assert summary.uplift is None
    assert why in summary.uplift_reason
    assert f"Gain by the LoRA: not measured: {summary.uplift_reason}." in table(summary)


def test_pictures_of_noise_give_no_numbers() -> None:
    """What a toy paints: nothing is measured, and the table says so without a single score for the pictures."""
    summary = summarise(scores(*[None] * 8), scores(*[None] * 8), made_template(PHOTOS))
    assert summary.with_lora.faces == 0
    assert summary.with_lora.mean is None
    assert summary.separation is None
    row = next(line for line in table(summary).splitlines() if line.startswith("pictures with the LoRA"))
    assert row.split()[4:] == ["0", "of", "8", "0", "-", "-", "-", "-"]
    assert table(summary).count("no face found") == 8
    assert "verdict" in table(summary)


def test_doubtful_faces_are_listed_and_not_counted() -> None:
    doubtful = ImageScore("picture 3", 0.1, "the face is only 24 pixels", 2, Quality(24, 0.9, 30, 0), 0.1)
    result = spread_of([*scores(0.7, 0.8), doubtful, *scores(None)])
    assert (result.images, result.faces, result.counted) == (4, 3, 2)
    assert result.lowest == 0.7
    summary = summarise([*scores(0.7, 0.8), doubtful], None, made_template(PHOTOS))
    assert summary.remarks == [
        "1 of 3 pictures with the LoRA show several faces; the most similar one counts.",
        "picture 3 with the LoRA: the face is only 24 pixels.",
    ]


def test_photos_left_out_are_named() -> None:
    template = made_template(PHOTOS)
    template.references.append(Reference("wall.jpg", "", False, "no face found"))
    summary = summarise(scores(0.7), None, template)
    assert (summary.photos.images, summary.photos.faces, summary.photos.counted) == (9, 8, 8)
    assert "photo wall.jpg: no face found" in table(summary)


def test_a_long_list_of_remarks_is_cut() -> None:
    text = table(summarise(scores(*[None] * 20), None, made_template(PHOTOS)))
    assert text.count("no face found") == 12
    assert "... and 8 more" in text


likenesses = st.lists(st.none() | st.floats(-1, 1), max_size=12)


@settings(max_examples=100, deadline=None)
@given(kept=likenesses, base=st.none() | likenesses, photos=st.lists(st.floats(-1, 1), max_size=12))
def test_any_set_makes_a_summary_that_json_can_hold(kept, base, photos) -> None:
    result = summarise(scores(*kept), None if base is None else scores(*base), made_template(photos))
    text = json.dumps(to_dict(result), allow_nan=False)
    assert from_dict(type(result), json.loads(text)) == result
    assert (result.retention is None) == bool(result.retention_reason)
    assert (result.uplift is None) == bool(result.uplift_reason)
    assert "nan" not in table(result)
    again = from_dict(ImageScore, json.loads(json.dumps(to_dict(scores(0.5)[0]))))
    assert again == scores(0.5)[0]
