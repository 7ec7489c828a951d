"""The optional engine with the real package insightface, where it is installed, on models built for it.

Those are SameFace's own networks in InsightFace's shapes, so what comes out must be what SFaceEngine says.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from faults import raises
from insight_toys import build_pack, close_up, cosine
from PIL import Image

from lib_lora.faces.engines.insightface_engine import InsightFaceEngine


@pytest.fixture(scope="module")
def real_pack(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """real_pack(0): a folder with models that the real package runs; its detector sees any size, or only that one."""
    for name in ("insightface", "onnx"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is not installed; pip install insightface onnx onnxruntime")
    root = tmp_path_factory.mktemp("Modelle für insightface")
    return lambda fixed: build_pack(root / str(fixed), fixed)


@pytest.fixture(scope="module")
def real(real_pack: Callable[[int], Path]) -> InsightFaceEngine:
    return InsightFaceEngine(real_pack(0))


@pytest.mark.parametrize(("name", "number"), [("mara", 0), ("viktor", 4), ("ines", 2)])
def test_the_real_package_says_what_sface_says(name: str, number: int, real, portrait, face) -> None:
    (found,) = real.faces(portrait(name, number))
    assert cosine(found, face(name, number)) >= 0.9999
    np.testing.assert_allclose(found.points, face(name, number).points, atol=0.1)
    assert found.score == pytest.approx(face(name, number).score, abs=0.01)


def test_the_real_package_on_a_face_that_fills_the_picture(real, portrait, face) -> None:
    own, image = face("mara", 0), portrait("mara", 0)
    (found,) = real.faces(close_up(image, own))
    assert found.px > 650
    assert cosine(found, own) > 0.92
    embeddings = {}
    for px in (800, 200):
        side = round(640 * px / own.px)
        (embeddings[px],) = real.faces(image.resize((side, side), Image.Resampling.BICUBIC))
    assert cosine(embeddings[800], embeddings[200]) >= 0.97


def test_the_real_package_with_a_detector_of_one_size(real_pack, portrait, face) -> None:
    engine = InsightFaceEngine(real_pack(640))
    (found,) = engine.faces(portrait("mara", 0))
    assert cosine(found, face("mara", 0)) > 0.97  # its black border is wider, which moves the points a little
    (small,) = engine.faces(portrait("mara", 0).resize((200, 200)))
    assert cosine(small, face("mara", 0)) > 0.9


def test_the_real_package_guesses_age_and_sex(real, portrait) -> None:
    """The toy's answer is the mean colour of the square of one and a half times the face, as 100 (x - 127.5) / 128."""
    image = portrait("mara", 0)
    (found,) = real.faces(image)
    left, top, width, height = found.box
    x, y, half = left + width / 2, top + height / 2, 0.75 * max(width, height)
    seen = np.asarray(image.crop((round(x - half), round(y - half), round(x + half), round(y + half))), float)
    red, green, blue = seen.reshape(-1, 3).mean(0)
    assert found.age == pytest.approx(100 * (blue - 127.5) / 128, abs=2)
    assert found.sex == ("male" if green > red else "female")


def test_the_real_package_in_threads(real, portrait, face) -> None:
    wanted = [(name, number) for number in range(2) for name in ("mara", "viktor", "ines")]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda item: real.faces(portrait(*item)), wanted))
    for item, (found,) in zip(wanted, results, strict=True):
        assert cosine(found, face(*item)) > 0.9999


def test_the_real_package_refuses_in_one_sentence(real_pack, tmp_path: Path) -> None:
    complete = real_pack(0)
    for name in ("det", "rec"):
        (tmp_path / name).mkdir()
        shutil.copy(complete / f"{name}.onnx", tmp_path / name)
    with raises("face-recognition-missing"):
        InsightFaceEngine(tmp_path / "det").load()
    with raises("face-detector-missing"):
        InsightFaceEngine(tmp_path / "rec").load()
    (tmp_path / "det" / "rec.onnx").write_bytes((complete / "rec.onnx").read_bytes()[:1000])
    with raises("face-pack-not-runnable"):
        InsightFaceEngine(tmp_path / "det").load()
