"""Tilted heads: a turned picture gives the face of the upright one, and an upright one is left as it is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bench.spoilt_pictures import turned
from lib_lora.faces.engines import detection, model_pack
from lib_lora.faces.engines.opencv_engine import MODELS
from lib_lora.faces.engines.upright import roll, upright
from lib_lora.faces.engines.yunet import YuNet

SIDE = 320


@pytest.fixture(scope="module")
def detector() -> YuNet:
    return YuNet(model_pack.rebuild(MODELS / "yunet_2023mar.npz"))


@pytest.mark.parametrize("degrees", [20, -30, 45, -60, 90, 135, 180, -100])
@pytest.mark.parametrize(("name", "number"), [("mara", 0), ("viktor", 3)])
def test_a_turned_head_is_the_same_face(name: str, number: int, degrees: float, engine, portrait) -> None:
    image = portrait(name, number).resize((SIDE, SIDE))
    (straight,) = engine.faces(image)
    (found,) = engine.faces(turned(image, degrees))
    assert float(found.embedding @ straight.embedding) > 0.95  # without: 0.94 at 20 degrees, 0.3 at 45, 0.0 at 90
    away = (found.roll - straight.roll + degrees + 180) % 360 - 180  # an image turned anticlockwise tilts the eyes so
    assert abs(away) < 5  # of 48 portraits turned so, one in ten is over 4, with OpenCV 5.0 as with 5.1
    assert not found.quality.doubt


def test_an_upright_head_is_only_looked_at_again(detector: YuNet, portrait) -> None:
    pixels = np.asarray(portrait("ines", 1))
    (row,) = detection._at_sides(detector, pixels, detection.SIDES)
    np.testing.assert_array_equal(
        upright(detector, pixels, row, detection.redetect), detection.redetect(detector, pixels, row)
    )


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_places_of_a_picture_turned_by_quarters_go_back(quarters: int, detector: YuNet, portrait) -> None:
    """What is found in the turned picture lies on the same pixels of the picture before."""
    pixels = np.asarray(portrait("mara", 3).crop((0, 0, 640, 500)).resize((320, 250)))
    (expected,) = detection.find(detector, pixels)
    before = np.ascontiguousarray(np.rot90(pixels, -quarters))  # turned by `quarters` it is `pixels`
    (found,) = detection._turned_back(expected[None], quarters, before.shape[1], before.shape[0])
    points = found[4:14].reshape(5, 2).round().astype(int)
    straight = expected[4:14].reshape(5, 2).round().astype(int)
    for (x, y), (at_x, at_y) in zip(points, straight, strict=True):
        assert np.abs(before[y, x].astype(int) - pixels[at_y, at_x].astype(int)).max() < 60
    assert found[2:4].tolist() == (expected[3:1:-1] if quarters % 2 else expected[2:4]).tolist()


def test_roll_by_hand() -> None:
    row = np.zeros(15, np.float32)
    row[4:8] = (10, 10, 20, 20)
    assert roll(row) == pytest.approx(45)


def test_a_picture_without_a_face_has_none_in_any_turn(engine) -> None:
    grey = Image.effect_noise((400, 300), 60).convert("RGB")
    assert engine.faces(grey) == []


def test_two_heads_in_one_picture_are_turned_each_for_itself(engine, portrait) -> None:
    both = Image.new("RGB", (900, 450), "grey")
    both.paste(portrait("viktor", 3).resize((450, 450)), (0, 0))
    both.paste(portrait("mara", 0).resize((450, 450)).rotate(90), (450, 0))
    found = sorted(engine.faces(both), key=lambda face: face.box[0])
    assert [abs(face.roll) > 80 for face in found] == [False, True]
    (alone,) = engine.faces(portrait("mara", 0).resize((450, 450)))
    assert float(found[1].embedding @ alone.embedding) > 0.95
