"""Changed photos: each copy is another picture of the same face, and the tables say how many faces were lost."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bench.verdict import changed_photos


@pytest.mark.parametrize("name", [*changed_photos.COPIES, *changed_photos.STYLES])
def test_a_change_gives_a_picture_of_its_own(name: str) -> None:
    random = np.random.default_rng(3)
    image = Image.fromarray(random.integers(0, 255, (60, 80, 3), dtype=np.uint8))
    made = {**changed_photos.COPIES, **changed_photos.STYLES}[name](image)
    assert made.mode == "RGB"
    assert min(made.size) >= 30
    assert (made.tobytes() == image.tobytes()) == (name == "as it is")


def test_lost_faces_and_intervals_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"style": "brush strokes", "mean": 0.4, "lowest": 0.2, "highest": 0.5, "without a face": 3, "of": 60}
    changed_photos.show_styles([row])
    assert capsys.readouterr().out.splitlines()[-1] == "| brush strokes | 0.40 | 0.20 to 0.50 | 3 of 60 |"
    rate = {"low": 0.95, "high": 1.0}
    rows = [{"pictures": "mirrored", "copies": 9, "of": 10, "share": rate}]
    changed_photos.show_copies([*rows, {**rows[0], "copies": 10, "share": {"low": 1.0, "high": 1.0}}])
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "| mirrored | 9 of 10 (95% to 100%) |",
        "| mirrored | 10 of 10 |",
    ]
