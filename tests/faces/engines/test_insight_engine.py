"""The optional engine with a package that stands in for insightface (test_insight_package.py has the real one).

Behind the stand-in are SameFace's own networks, so what comes out must be what SFaceEngine says.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faults import raises
from insight_toys import FakeDetector, close_up, cosine, fake_pack, install_fake
from PIL import Image

from lib_lora.faces.engines import insightface_engine
from lib_lora.faces.engines.insightface_engine import InsightFaceEngine, pack_folder
from lib_lora.faces.face import Quality

pytestmark = pytest.mark.once("the package is a stand-in; test_face_engine.py repeats what OpenCV computes")

VERSIONS = ("0.7.3", "1.0.1", "2.1")


@pytest.fixture(params=VERSIONS)
def calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """A stand-in for one generation of insightface; the arguments of each FaceAnalysis."""
    return install_fake(monkeypatch, request.param)


@pytest.fixture
def insightface(calls, tmp_path: Path) -> InsightFaceEngine:
    return InsightFaceEngine(fake_pack(tmp_path / "pack"))


@pytest.mark.parametrize(("name", "number"), [("mara", 0), ("viktor", 4), ("ines", 2)])
def test_it_says_what_sface_says(name: str, number: int, insightface, portrait, face) -> None:
    """Colours in the right order, mirrored average, crop from the full picture, points and box: all as SFaceEngine."""
    (found,) = insightface.faces(portrait(name, number))
    expected = face(name, number)
    assert cosine(found, expected) >= 0.9999
    np.testing.assert_allclose(found.points, expected.points, atol=0.1)
    np.testing.assert_allclose(found.box, expected.box, atol=0.1)
    assert replace(Quality.of(found), age=None, sex=None, sure=expected.sure) == Quality.of(expected)
    assert np.array_equal(found.crop, expected.crop)
    assert float(np.linalg.norm(found.embedding)) == pytest.approx(1, abs=1e-5)


def test_the_package_is_given_a_folder_that_exists(insightface, calls, tmp_path: Path) -> None:
    insightface.load()
    (call,) = calls
    assert call["name"] == str((tmp_path / "pack").resolve())
    assert call["providers"] == ["CPUExecutionProvider"]
    assert set(call["allowed_modules"]) == {"detection", "recognition", "genderage"}


def test_a_face_that_fills_the_picture(insightface, portrait, face) -> None:
    for name in ("mara", "viktor"):
        (found,) = insightface.faces(close_up(portrait(name, 0), face(name, 0)))
        assert found.px > 650
        assert cosine(found, face(name, 0)) > 0.92  # seen: 0.94 and more; of this box hair and chin are cut off


def test_it_looks_at_several_sizes(monkeypatch, tmp_path: Path, portrait) -> None:
    detector = FakeDetector()
    install_fake(monkeypatch, "0.7.3", detector=detector)
    InsightFaceEngine(fake_pack(tmp_path)).faces(portrait("mara", 0))
    assert {640, 320, 160} <= {size[0] for size in detector.sizes}
    assert all(width == height and width % 32 == 0 for width, height in detector.sizes)


def test_a_detector_of_one_size(monkeypatch, tmp_path: Path, portrait, face) -> None:
    detector = FakeDetector(fixed=640)
    install_fake(monkeypatch, "0.7.3", detector=detector)
    engine = InsightFaceEngine(fake_pack(tmp_path))
    for image in (portrait("mara", 0), close_up(portrait("mara", 0), face("mara", 0))):
        (found,) = engine.faces(image)
        assert cosine(found, face("mara", 0)) > 0.92
    assert set(detector.sizes) == {(640, 640)}


def test_wide_and_tiny_pictures(insightface, portrait, face) -> None:
    wide = Image.new("RGB", (1500, 640))
    wide.paste(portrait("ines", 0), (800, 0))
    (found,) = insightface.faces(wide)
    assert cosine(found, face("ines", 0)) > 0.95
    assert found.box[0] > 800
    for size in ((1, 1), (3000, 2), (2, 300), (512, 512)):
        assert insightface.faces(Image.new("RGB", size)) == []


def test_two_people_the_largest_first(insightface, portrait, face) -> None:
    both = Image.new("RGB", (1000, 640))
    both.paste(portrait("viktor", 0).resize((360, 360)), (0, 100))
    both.paste(portrait("mara", 0), (360, 0))
    large, small = insightface.faces(both)
    assert cosine(large, face("mara", 0)) > 0.95
    assert cosine(small, face("viktor", 0)) > 0.9


def test_age_and_sex(insightface, portrait) -> None:
    """The stand-in's age is the width of the box it is given: a large face must have been shrunk for it."""
    (found,) = insightface.faces(portrait("mara", 0))
    assert found.box[3] > 400
    assert found.age == pytest.approx(128 * found.box[2] / found.px, abs=2)
    assert found.sex == "male"  # its middle is more red than blue
    (small,) = insightface.faces(portrait("mara", 0).resize((120, 120)))
    assert small.age == pytest.approx(small.box[2], abs=1)


def test_a_pack_without_an_age_model(calls, tmp_path: Path, portrait) -> None:
    engine = InsightFaceEngine(fake_pack(tmp_path, names=("det", "rec")))
    (found,) = engine.faces(portrait("mara", 0))
    assert (found.age, found.sex) == (None, None)


def test_threads_share_networks_that_are_loaded_once(insightface, calls, portrait, face) -> None:
    wanted = [(name, number) for number in range(2) for name in ("mara", "viktor", "ines")]
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda item: insightface.faces(portrait(*item)), wanted))
    assert len(calls) == 1
    for item, (found,) in zip(wanted, results, strict=True):
        assert cosine(found, face(*item)) > 0.9999


def test_nothing_is_printed_into_an_answer(insightface, capsys: pytest.CaptureFixture[str]) -> None:
    insightface.load()
    assert capsys.readouterr().out == ""


def test_the_id_is_the_packs_content_wherever_it_lies(tmp_path: Path) -> None:
    one = InsightFaceEngine(fake_pack(tmp_path / "one")).id
    assert one.startswith(f"insightface-{insightface_engine.PROCEDURE}:")
    assert InsightFaceEngine(fake_pack(tmp_path / "two ü" / "inner", names=("x", "y", "z"))).id == one
    assert InsightFaceEngine(tmp_path / "two ü").id == one
    assert InsightFaceEngine(fake_pack(tmp_path / "three", extra=b"other weights")).id != one
    # of two models for one task insightface takes the first
    assert InsightFaceEngine(fake_pack(tmp_path / "four", names=("z", "y", "x"))).id != one


def test_the_folder_is_checked_before_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "insightface", None)
    with raises("face-pack-folder-missing"):
        InsightFaceEngine(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "._det.onnx").write_bytes(b"what macOS leaves beside a file")
    (tmp_path / "empty" / "notes.txt").write_bytes(b"")
    with raises("face-pack-empty"):
        InsightFaceEngine(tmp_path / "empty")
    engine = InsightFaceEngine(fake_pack(tmp_path / "pack"))
    with raises("insightface-missing"):
        engine.load()
    with raises("insightface-missing"):
        engine.faces(Image.new("RGB", (64, 64)))


def test_a_nested_folder_is_accepted_and_several_are_not(tmp_path: Path) -> None:
    nested = fake_pack(tmp_path / "antelopev2" / "antelopev2")
    assert pack_folder(tmp_path / "antelopev2") == nested
    fake_pack(tmp_path / "antelopev2" / "buffalo_l")
    with raises("face-pack-ambiguous", has=("antelopev2", "buffalo_l")):
        pack_folder(tmp_path / "antelopev2")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": b"recogniser|"}, ("face-detector-missing",)),
        ({"a": b"detector|"}, ("face-recognition-missing",)),
        ({"a": b"detector|", "b": b"half a file"}, ("face-pack-not-runnable", "INVALID_PROTOBUF")),
    ],
)
def test_a_pack_that_cannot_be_used(content: dict[str, bytes], said: str, calls, tmp_path: Path) -> None:
    for name, data in content.items():
        (tmp_path / f"{name}.onnx").write_bytes(data)
    with raises(said[0], has=said[1:]):
        InsightFaceEngine(tmp_path).load()


def test_models_of_another_shape_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_fake(monkeypatch, "2.1", side=128)
    with raises("face-size-unsupported", has="112"):
        InsightFaceEngine(fake_pack(tmp_path / "a")).load()
    pointless = FakeDetector()
    pointless.use_kps = False
    install_fake(monkeypatch, "2.1", detector=pointless)
    with raises("face-landmarks-missing"):
        InsightFaceEngine(fake_pack(tmp_path / "a")).load()


def test_a_path_that_the_package_reads_as_a_pattern(calls, tmp_path: Path) -> None:
    with raises("face-pack-path-unusable"):
        InsightFaceEngine(fake_pack(tmp_path / "packs [old]")).load()
    assert calls == []


@pytest.mark.parametrize(("version", "refused"), [("0.7.3", True), ("1.0.1", True), ("2.1", False)])
def test_a_manifest_needs_version_2(version: str, refused: bool, monkeypatch, tmp_path: Path) -> None:
    install_fake(monkeypatch, version)
    folder = fake_pack(tmp_path / "pack")
    plain = InsightFaceEngine(folder).id
    (folder / "manifest.json").write_text('{"manifest_version": 2}', encoding="utf-8")
    engine = InsightFaceEngine(folder)
    assert engine.id != plain  # the manifest says how pictures are prepared
    if refused:
        with raises("insightface-outdated", has="2"):
            engine.load()
    else:
        engine.load()


def test_a_package_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A protobuf that is too old makes onnx raise TypeError."""
    (tmp_path / "insightface.py").write_text('raise TypeError("Descriptors cannot be created directly")')
    monkeypatch.delitem(sys.modules, "insightface", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with raises("insightface-broken", has="cannot be imported (Descriptors"):
        InsightFaceEngine(fake_pack(tmp_path / "pack")).load()


def test_importing_our_modules_imports_no_insightface() -> None:
    heavy = "{'insightface', 'onnxruntime', 'onnx'}"
    code = f"import sys, lib_lora.faces.engines.engine_names; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[3])
