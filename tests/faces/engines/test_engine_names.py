"""Which engine a name means, and that InsightFace's models are used only after their licence was confirmed."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from faults import raises
from insight_toys import fake_pack, install_fake
from PIL import Image

from lib_lora.faces.engines import licences
from lib_lora.faces.engines.engine_names import engine_of
from lib_lora.faces.engines.insightface_engine import InsightFaceEngine
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.faces.face import FaceEngine
from lib_lora.files import read_json


def test_the_default(tmp_path: Path) -> None:
    engine: FaceEngine = engine_of("sface", tmp_path)
    assert isinstance(engine, SFaceEngine)
    assert "Apache-2.0" in engine.licence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "SFACE", "arcface", "insightface", "insightface:", "sface:x"])
def test_an_unknown_name(name: str, tmp_path: Path) -> None:
    with raises("face-engine-unknown", has=(repr(name), "sface and insightface:FOLDER")):
        engine_of(name, tmp_path)


@pytest.mark.parametrize("version", ["0.7.3", "2.1"])
def test_the_licence_comes_before_the_models(version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = install_fake(monkeypatch, version)
    root, name = tmp_path / "data", f"insightface:{fake_pack(tmp_path / 'pack')}"
    with raises("licence-not-accepted", has=(licences.NOTICE, "--accept-licence")):
        engine_of(name, root)
    assert calls == []
    assert not root.exists()

    engine = engine_of(name, root, accept_licence=True)
    assert isinstance(engine, InsightFaceEngine)
    assert len(calls) == 1  # what is wrong with the package or the pack is said now, not at the first picture
    assert "non-commercial" in engine.licence
    today = datetime.now(timezone.utc).date().isoformat()
    assert read_json(root / licences.FILE) == {engine.id: {"confirmed": today}}

    assert engine_of(name, root).id == engine.id
    assert engine_of(name, root).faces(Image.new("RGB", (64, 64))) == []


def test_another_pack_has_its_own_confirmation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_fake(monkeypatch, "2.1")
    one, two = (f"insightface:{fake_pack(tmp_path / name, extra=name.encode())}" for name in ("one", "two"))
    engine_of(one, tmp_path, accept_licence=True)
    with raises("licence-not-accepted", has="--accept-licence"):
        engine_of(two, tmp_path)
    engine_of(two, tmp_path, accept_licence=True)
    engine_of(one, tmp_path)


def test_a_folder_that_is_absent_is_said_before_the_licence(tmp_path: Path) -> None:
    with raises("face-pack-folder-missing"):
        engine_of(f"insightface:{tmp_path / 'absent'}", tmp_path)


def test_a_folder_below_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_fake(monkeypatch, "2.1")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    fake_pack(tmp_path / "pack")
    engine_of("insightface:~/pack", tmp_path / "data", accept_licence=True)


def test_confirmations_are_kept_beside_each_other(tmp_path: Path) -> None:
    assert not licences.is_confirmed(tmp_path, "a")
    licences.confirm(tmp_path, "a")
    licences.confirm(tmp_path, "b")
    assert [licences.is_confirmed(tmp_path, name) for name in ("a", "b", "c")] == [True, True, False]
    assert [path.name for path in tmp_path.iterdir()] == [licences.FILE]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_damaged_file_confirms_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / licences.FILE).write_bytes(content)
    assert not licences.is_confirmed(tmp_path, "a")
    licences.confirm(tmp_path, "a")
    assert licences.is_confirmed(tmp_path, "a")
