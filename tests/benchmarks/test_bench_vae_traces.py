"""How `vae_traces.py` saves pictures, and what it counts."""

import numpy as np
from PIL import Image

from bench.verdict import vae_traces as study
from lib_lora.likeness.measure.vae_traces import LEAST


def test_pictures_keep_their_size_and_are_changed_as_the_rows_say():
    shown = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    saved = {way: save(shown) for way, save in study.SAVED.items()}
    assert {one.size for one in saved.values()} == {(64, 64)}
    changed = {way: int(np.abs(np.asarray(one, int) - np.asarray(shown, int)).max()) for way, one in saved.items()}
    assert changed.pop(study.PLAIN) == 0
    assert all(changed.values())
    cut, by = np.asarray(saved[f"cut by {study.MOVED} pixels"]), study.MOVED
    assert (cut[:-by, :-by] == np.asarray(shown)[by:, by:]).all()


def test_half_draws_the_limit_and_the_other_half_is_told_apart():
    people, count = ("a", "b"), 2 * LEAST
    painted = {way: [1.0] * count for way in study.SAVED}
    photos = {who: {way: [5.0] * count for way in study.SAVED} for who in people}
    photos["b"][study.PLAIN] = [1.0, 5.0] * LEAST  # no limit: one changed as little
    worse = f"blurred by {study.BLUR} pixels"
    painted[worse] = [1.0, 2.1] * LEAST  # beyond the limit of 2
    photos["a"][worse] = [5.0, 1.9] * LEAST
    rows = {row["saved"]: row for row in study.rows_of(painted, photos)}
    assert (rows[study.PLAIN]["painted"]["value"], rows[study.PLAIN]["photos"]["value"]) == (0.5, 0)
    assert (rows[worse]["painted"]["value"], rows[worse]["photos"]["value"]) == (0, 0.5)
    assert f"| {worse} | 0.0% | 50.0%" in study.table([rows[worse]])
