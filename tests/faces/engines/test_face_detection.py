"""Detection: equal to OpenCV's own at one size, and independent of the picture's size over several."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lib_lora.faces.engines import detection, model_pack
from lib_lora.faces.engines.opencv_engine import MODELS
from lib_lora.faces.engines.yunet import YuNet


@pytest.fixture(scope="module")
def model() -> bytes:
    return model_pack.rebuild(MODELS / "yunet_2023mar.npz")


@pytest.fixture(scope="module")
def detector(model: bytes) -> YuNet:
    return YuNet(model)


def enlarged(image: Image.Image, side: int) -> np.ndarray:
    """A square picture at `side` pixels."""
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("size", [(640, 640), (320, 240), (500, 333), (97, 160), (65, 64)])
def test_equal_to_opencv(size: tuple[int, int], model: bytes, detector: YuNet, portrait, tmp_path: Path) -> None:
    path = tmp_path / "yunet.onnx"
    path.write_bytes(model)
    picture = np.asarray(portrait("viktor", 1).resize(size, Image.Resampling.BILINEAR))
    theirs = cv2.FaceDetectorYN.create(str(path), "", size, 0.6, 0.3, 5000)
    _, expected = theirs.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    found = detector.detect(picture)
    assert len(expected) == 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (640, 1), (2, 160), (20, 20), (32, 32), (33, 31), (64, 32), (32, 96)])
def test_a_tiny_picture_is_seen_on_black(size: tuple[int, int], detector: YuNet, portrait) -> None:
    """FaceDetectorYN itself answers such sizes from memory it never wrote, another number each time (OpenCV 4)."""
    picture = np.asarray(portrait("viktor", 1).resize(size, Image.Resampling.BILINEAR))
    black = np.zeros((max(64, -(-size[1] // 32) * 32), max(64, -(-size[0] // 32) * 32), 3), np.uint8)
    black[: size[1], : size[0]] = picture
    for _ in range(3):
        found = detector.detect(picture)
        np.testing.assert_array_equal(found, detector.detect(black))
        assert np.isfinite(found).all()
        assert (np.abs(found[:, :4]) < 2 * max(64, *size)).all()
    if min(size) < 16:
        assert len(found) == 0


def test_three_faces_equal_opencv(model: bytes, detector: YuNet, portrait, tmp_path: Path) -> None:
    path = tmp_path / "yunet.onnx"
    path.write_bytes(model)
    picture = np.concatenate([enlarged(portrait(name, 0), 300) for name in ("mara", "viktor", "ines")], 1)
    theirs = cv2.FaceDetectorYN.create(str(path), "", picture.shape[1::-1], 0.6, 0.3, 5000)
    _, expected = theirs.detect(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert len(expected) == 3
    np.testing.assert_allclose(detector.detect(picture), expected, rtol=0, atol=1e-3)


def row(left: float, top: float, size: float, score: float) -> np.ndarray:
    return np.array([left, top, size, size, *[left + size / 2, top + size / 2] * 5, score], np.float32)


def test_a_trusted_size_goes_before_a_higher_score() -> None:
    rows = np.stack([row(0, 0, 800, 0.9), row(10, 0, 790, 0.8), row(2000, 0, 100, 0.7)])
    kept = detection.best_of_clusters(rows, np.array([500, 120, 30], np.float32))
    assert kept[:, 14].tolist() == pytest.approx([0.8, 0.7])


def test_the_best_score_of_trusted_sizes_is_taken() -> None:
    rows = np.stack([row(0, 0, 800, 0.9), row(10, 0, 790, 0.95)])
    kept = detection.best_of_clusters(rows, np.array([240, 120], np.float32))
    assert kept[:, 14].tolist() == pytest.approx([0.95])


def test_a_part_of_a_face_is_no_face_and_neighbours_are_two() -> None:
    rows = np.stack([row(0, 0, 400, 0.9), row(100, 100, 90, 0.8), row(380, 0, 400, 0.7)])
    kept = detection.best_of_clusters(rows, np.array([200, 90, 200], np.float32))
    assert kept[:, 0].tolist() == [0, 380]


def test_nothing_in_nothing_out() -> None:
    empty = np.empty((0, 15), np.float32)
    assert detection.best_of_clusters(empty, np.empty(0, np.float32)).shape == (0, 15)


@pytest.mark.parametrize("side", [213, 427, 1067, 2400])
@pytest.mark.parametrize(("name", "number"), [("mara", 3), ("viktor", 3), ("ines", 1)])
def test_points_do_not_depend_on_the_pictures_size(
    side: int, name: str, number: int, detector: YuNet, portrait
) -> None:
    (expected,) = detection.find(detector, np.asarray(portrait(name, number)))
    (found,) = detection.find(detector, enlarged(portrait(name, number), side))
    back = (found[4:14] + 0.5) * (640 / side) - 0.5  # pixel centres
    off = np.abs(back - expected[4:14]).max() / expected[3]
    assert off < 0.015  # of the face's height; seen: 0.011


def test_a_huge_face_is_found_where_it_is(detector: YuNet, portrait) -> None:
    """Longer windows than `_ENOUGH` are reduced first; the places must not move."""
    (expected,) = detection.find(detector, np.asarray(portrait("viktor", 0)))
    (found,) = detection.find(detector, enlarged(portrait("viktor", 0), 4001))
    back = (found[4:14] + 0.5) * (640 / 4001) - 0.5
    assert np.abs(back - expected[4:14]).max() / expected[3] < 0.015


def test_the_second_look_at_a_huge_face_needs_little_memory(
    monkeypatch: pytest.MonkeyPatch, detector: YuNet, portrait
) -> None:
    sizes = []
    cut = detection._cut
    monkeypatch.setattr(detection, "_cut", lambda *values: sizes.append(values[3]) or cut(*values))
    detection.find(detector, enlarged(portrait("viktor", 0), 4001))
    assert len(sizes) == 1
    assert sizes[0] < 2 * detection._ENOUGH


def test_small_faces_in_a_large_picture_are_found(detector: YuNet, portrait) -> None:
    canvas = Image.new("RGB", (3000, 2000), (90, 120, 140))
    canvas.paste(portrait("mara", 0).resize((80, 80), Image.Resampling.LANCZOS), (900, 500))
    pixels = np.asarray(canvas)
    assert len(detection._at_sides(detector, pixels, detection.SIDES)) == 0
    (found,) = detection.find(detector, pixels)
    assert (found[:2] >= (900, 500)).all()
    assert (found[:2] + found[2:4] <= (980, 580)).all()


def test_a_face_that_fills_the_picture_is_found_with_a_border(detector: YuNet, face, portrait) -> None:
    left, top, width, height = face("viktor", 0).box
    edge = 0.35
    box = (left + width * edge * 0.6, top + height * edge, left + width * (1 - edge * 0.6), top + height * (1 - edge))
    pixels = np.asarray(portrait("viktor", 0).crop(tuple(int(value) for value in box)))
    assert len(detection._at_sides(detector, pixels, detection.SIDES)) == 0
    (found,) = detection.find(detector, pixels)
    middle = found[:2] + found[2:4] / 2
    assert np.abs(middle - np.array(pixels.shape[1::-1]) / 2).max() < 0.3 * max(pixels.shape)
