"""A head that looks ahead is turned to a side: it looks there, it is the same face, and nothing around it moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_lora.workflows.invent import turned_starts
from lib_lora.workflows.invent.head_turn import turned
from lib_lora.workflows.invent.invented_folder import TURNED
from lib_lora.workflows.invent.turned_starts import TurnedStarts

PERSONAS = Path(__file__).parents[2] / "data" / "personas"


def photo(name):
    with Image.open(PERSONAS / name / "00.jpg") as image:
        return image.convert("RGB").resize((256, 256), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("name", ["mara", "viktor"])
@pytest.mark.parametrize("degrees", [-25, 25])
def test_the_face_looks_to_the_side_and_is_the_same(eye, name, degrees):
    image = photo(name)
    (before,) = eye.faces(image)
    (after,) = eye.faces(turned(image, before.points, degrees))
    assert (after.yaw - before.yaw) * np.sign(degrees) > 0.25
    assert after.embedding @ before.embedding > 0.5  # strangers: 0.3


def test_further_is_further(eye):
    image = photo("ines")
    (face,) = eye.faces(image)
    yaws = [eye.faces(turned(image, face.points, degrees))[0].yaw for degrees in (0, 10, 20, 30)]
    assert yaws == sorted(yaws)
    assert yaws[3] - yaws[0] > 0.3


def test_by_no_degrees_nothing_changes_and_never_what_is_far_from_the_head(eye):
    image = photo("mara")
    (face,) = eye.faces(image)
    assert turned(image, face.points, 0).tobytes() == image.tobytes()
    small = face.points * 0.4 + 70  # a head that fills the middle of the picture
    before, after = np.asarray(image), np.asarray(turned(image, small, 30))
    assert (before != after).any()
    for corner in (np.s_[:20, :20], np.s_[:20, -20:], np.s_[-20:, :20], np.s_[-20:, -20:]):
        assert (before[corner] == after[corner]).all()


def test_a_start_is_made_once_and_looks_far_enough(eye, tmp_path):
    (tmp_path / "more").mkdir()
    photo("clara").save(tmp_path / "more" / "0001.png")
    turns = TurnedStarts(eye, tmp_path, 128)
    made = [turns.made("more/0001.png", *wanted) for wanted in (("left", 0), ("right", 0), ("left", 1))]
    yaws = []
    for path in made:
        with Image.open(path) as image:
            assert image.size == (128, 128)
            yaws.append(eye.faces(image.convert("RGB"))[0].yaw)
    assert yaws[0] <= -0.4
    assert yaws[1] >= 0.4
    assert yaws[2] <= -0.5
    written = made[0].stat().st_mtime_ns
    assert TurnedStarts(eye, tmp_path, 128).made("more/0001.png", "left", 4) == made[0]
    assert made[0].stat().st_mtime_ns == written
    assert len(list((tmp_path / TURNED).iterdir())) == 3


def test_there_is_no_start_without_a_face(eye, tmp_path):
    (tmp_path / "more").mkdir()
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "more" / "0001.png")
    assert TurnedStarts(eye, tmp_path, 128).made("more/0001.png", "left", 0) is None
    assert not (tmp_path / TURNED).exists()


def test_what_cannot_be_turned_so_far_is_tried_once_and_then_less_far(eye, tmp_path, monkeypatch):
    (tmp_path / "more").mkdir()
    photo("clara").save(tmp_path / "more" / "0001.png")
    looked, reach = [], 0.45

    def looking(engine, image, yaw):
        looked.append(yaw)
        return image if abs(yaw) < reach else None

    monkeypatch.setattr(turned_starts, "_turned_until", looking)
    turns = TurnedStarts(eye, tmp_path, 128)
    names = [turns.made("more/0001.png", "right", number).name for number in (1, 3, 5, 0)]
    assert names == ["more-0001-right-42.png"] * 4
    assert looked == [0.52, 0.47, 0.42]
    reach = 0.0
    assert [turns.made("more/0001.png", "left", number) for number in (0, 1, 2, 3)] == [None] * 4
    assert looked == [0.52, 0.47, 0.42, -0.42, -0.37, -0.52, -0.47]
