"""The bench of LoRAs that were trained with class pictures: what a pair of words changes, and the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.training import quality_pictures
from bench.verdict import class_pictures

BASE = {
    "looking left": [-0.4, -0.2],
    "looking right": [0.3],
    "serious": [1.0],
    "smiling": [1.4],
    "dark background": [60],
    "light background": [160],
    "dark hair": [50],
    "light hair": [90],
}


def test_an_effect_is_a_share_of_the_base_models_and_never_more_or_less_than_none_or_all_of_it():
    assert quality_pictures.effects(BASE, BASE) == dict.fromkeys(quality_pictures.PAIRS, 1.0)
    less = {**BASE, "looking right": [0.0], "smiling": [0.9], "light background": [260]}
    assert quality_pictures.effects(less, BASE) == pytest.approx({"yaw": 0.5, "smile": 0, "background": 1, "hair": 1})
    assert quality_pictures.effects({**BASE, "smiling": []}, BASE) == {"yaw": 1, "background": 1, "hair": 1}
    assert quality_pictures.effects(BASE, {**BASE, "smiling": [1.0]}) == {"yaw": 1, "background": 1, "hair": 1}


def test_each_case_has_its_settings():
    plain = class_pictures.settings_of("class", None, Path("women"))
    assert plain == {"passes": class_pictures.CLASS_PASSES, "class_photos": "women", "save_every": 10_000}
    assert class_pictures.settings_of("twice", 2, Path("women"))["passes"] == 2 * plain["passes"]
    assert class_pictures.settings_of("without", 2, Path("women")) == {"save_every": 10_000, "seed": 2}
    assert class_pictures.settings_of("few", None, Path("women")) == {"steps": 60, "save_every": 10_000}


def test_the_table_begins_with_the_least_contrast_of_a_case():
    measured = {"followed": 0.5, "followed_fewer": None, "contrast": 0.7, "kept": 0.9, "rule": "consistent"}
    row = {"person": "mara", "case": "class", "seed": 2, "steps": 294, **measured}
    row |= dict.fromkeys(class_pictures.PAIRS, 0.7)
    found = class_pictures.table(
        [{**row, "case": "without"}, row, {**row, "contrast": None, "yaw": None, "seed": None}]
    )
    assert found.splitlines()[2:] == [
        "| mara | class | preset | 294 | - | - | 0.70 | 0.70 | 0.70 | 0.50 | - | 90% | consistent |",
        "| mara | class | 2 | 294 | 0.70 | 0.70 | 0.70 | 0.70 | 0.70 | 0.50 | - | 90% | consistent |",
        "| mara | without | 2 | 294 | 0.70 | 0.70 | 0.70 | 0.70 | 0.70 | 0.50 | - | 90% | consistent |",
    ]
