"""How `vae_traces.py` saves pictures, and what it counts."""

import math

import numpy as np
import pytest
from PIL import Image

from bench.verdict import vae_traces as study

LIMIT = study.PAINTED_AT_MOST


def test_pictures_keep_their_size_and_are_changed_as_the_rows_say():
    shown = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    saved = {way: save(shown) for way, save in study.SAVED.items()}
    assert {one.size for one in saved.values()} == {(64, 64)}
    changed = {way: int(np.abs(np.asarray(one, int) - np.asarray(shown, int)).max()) for way, one in saved.items()}
    assert changed.pop(study.PLAIN) == 0
    assert all(changed.values())


def test_the_limit_was_chosen_with_other_pictures_and_photos():
    seeds = [[one.seed for one in study.asked(which)] for which in (study.CHOOSING, study.MEASURED)]
    assert [len(set(one)) for one in seeds] == [len(one) for one in seeds] == [12, 48]
    assert not set(seeds[0]) & set(seeds[1])
    chosen, measured = (study.people(which) for which in (study.CHOOSING, study.MEASURED))
    assert len(chosen) == len(measured) == 10
    assert all(len(chosen[who]) == 4 and len(measured[who]) == 8 for who in chosen)
    assert not any(set(chosen[who]) & set(measured[who]) for who in chosen)


def test_what_cannot_be_measured_is_not_called_painted():
    ratios = study.ratios_of([Image.new("RGB", (64, 64))], lambda image: None)
    assert {one for way in ratios.values() for one in way} == {math.inf}


def test_painted_pictures_and_photos_are_counted_apart():
    count, worse = 8, f"cut by {study.MOVED} pixels"
    painted = {way: [LIMIT - 0.1] * count for way in study.SAVED}
    photos = {who: {way: [1.0] * count for way in study.SAVED} for who in ("a", "b")}
    painted[worse] = [LIMIT, LIMIT + 0.01] * (count // 2)
    photos["a"][worse] = [1.0, LIMIT] * (count // 2)
    rows = {row["saved"]: row for row in study.rows_of(painted, photos)}
    assert (rows[study.PLAIN]["painted"]["value"], rows[study.PLAIN]["photos"]["value"]) == (1, 0)
    assert (rows[worse]["painted"]["value"], rows[worse]["photos"]["value"]) == (0.5, pytest.approx(0.25))
    assert f"| {study.PLAIN} | 100% of 8 | 0% of 16 | {LIMIT - 0.1:.2f}, {LIMIT - 0.1:.2f} | 1.00 |" in study.table(
        [rows[study.PLAIN]]
    )
