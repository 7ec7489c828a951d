"""What hides a face is told from what does not; docs/likeness.md has the rates on all pictures."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from faults import raises

from bench.spoilt_pictures import SPOILS, brushed, daubed, mild, pencilled
from lib_lora.faces import unjudgeable
from lib_lora.faces.face import Face
from lib_lora.faces.unjudgeable import COVERS, STYLES

WORDS = {
    "eyes covered": "eyes covered",
    "lower half covered": "lower half covered",
    "heavy compression": "heavily compressed",
    "posterised": "posterised",
    "painted": "painted",
}


@pytest.fixture(scope="module")
def spoilt(engine, portrait):
    """Three portraits, each spoilt in one way: the largest face that is found in them."""

    @cache
    def made(kind: str) -> list[Face]:
        faces = []
        for place, name in enumerate(("mara", "viktor", "lena")):
            image = portrait(name, 5).resize((400, 400))
            random = np.random.default_rng([7, place])
            (face,) = engine.faces(image)
            faces += engine.faces(SPOILS[kind](image, face.points, random))[:1]
        return faces

    return made


@pytest.mark.parametrize("kind", SPOILS)
def test_what_hides_a_face_is_named(kind, spoilt):
    found = spoilt(kind)
    assert found, "no face was found at all, so nothing was tested"
    named = [face.quality.fault for face in found].count(WORDS[kind])
    assert named >= (2 if kind == "painted" else 3)  # a wash may pass for smooth skin


@pytest.mark.parametrize("paint", [brushed, daubed, pencilled])
def test_paintings_of_several_kinds_are_named(paint, engine, portrait):
    """Brush strokes were taken for skin like plastic, and a set of them was called drift."""
    faces = [engine.faces(paint(portrait(name, 5).resize((400, 400)), np.random.default_rng(8)))[:1]
             for name in ("clara", "tomas", "ines")]  # fmt: skip
    assert [face.hidden for found in faces for face in found].count("painted") >= 2


@pytest.mark.parametrize("name", ["clara", "ines", "lena", "mara", "tomas", "viktor"])
def test_a_plain_portrait_has_no_doubt(name, engine, portrait):
    image = portrait(name, 9).resize((320, 320))
    for picture in (image, mild(image, np.random.default_rng(3)), image.convert("L").convert("RGB")):
        (face,) = engine.faces(picture)
        assert face.hidden == ""


@pytest.mark.parametrize("side", [64, 72, 80])
def test_a_small_photo_is_not_called_painted(side, engine, portrait):
    """A face of 45 to 60 pixels is as smooth as a wash is in a larger one."""
    faces = [face for name in ("clara", "ines", "lena", "mara", "tomas", "viktor")
             for face in engine.faces(portrait(name, 5).resize((side, side)))]  # fmt: skip
    assert len(faces) == 6
    assert 40 < min(face.box[3] for face in faces) < 60
    assert [face.hidden for face in faces] == [""] * 6


def test_of_a_tiny_face_nothing_is_said(engine, portrait):
    (face,) = engine.faces(portrait("mara", 0).resize((160, 160)))
    crop = np.zeros((112, 112, 3), np.uint8)
    assert unjudgeable.hidden(crop, np.zeros((50, 50, 3), np.uint8), (0.0, 0.0, 39.0, 39.0)) == ""
    assert face.hidden == ""


@pytest.mark.parametrize("box", [(-5.0, -5.0, 60.0, 60.0), (40.0, 40.0, 200.0, 300.0), (99.0, 99.0, 50.0, 50.0)])
def test_a_box_over_the_edge_is_no_fault(box):
    pixels = np.random.default_rng(0).integers(0, 255, (100, 100, 3), np.uint8)
    assert np.isfinite(unjudgeable.styled(pixels, box)).all()


def test_shares_are_shares():
    crop = np.random.default_rng(1).integers(0, 255, (112, 112, 3), np.uint8)
    assert len(unjudgeable.covered(crop)) == len(COVERS)
    assert len(unjudgeable.styled(crop, (0.0, 0.0, 112.0, 112.0))) == len(STYLES)
    assert all(0 <= share <= 1 for share in unjudgeable.covered(crop))


def test_blocks_of_jpeg_show_wherever_the_picture_begins():
    grey = np.kron(np.random.default_rng(2).integers(0, 255, (9, 9)), np.ones((8, 8))).astype(np.float32)
    smooth = np.add.outer(np.arange(72), np.arange(72)).astype(np.float32)
    for start in range(8):
        assert unjudgeable._blocks(grey[start:, start:], 1) > 3
    assert unjudgeable._blocks(smooth, 0) == pytest.approx(0)


def test_levels_and_steps_are_counted_as_numpy_counts_them():
    random = np.random.default_rng(4)
    for levels in (random.integers(0, 256, (90, 50), np.uint8), np.arange(64, dtype=np.uint8).reshape(8, 8) // 9):
        signed = levels.astype(np.float32)
        steps = np.concatenate([np.abs(np.diff(signed, axis=axis)).ravel() for axis in (0, 1)])
        expected = np.histogram(steps, (-1.0, *unjudgeable._STEPS, 256.0))[0] / len(steps)
        assert unjudgeable._shares_of_steps(levels).tolist() == expected.tolist()
        values, times = np.unique(levels, return_counts=True)
        assert unjudgeable._counted(levels)[values].tolist() == times.tolist()
        assert unjudgeable._counted(levels).sum() == levels.size


def test_a_damaged_file_is_named(tmp_path: Path):
    file = tmp_path / "unjudgeable.npz"
    file.write_bytes(b"no archive")
    with raises("face-model-damaged", has="unjudgeable.npz"):
        unjudgeable._load(file)
