"""The measurement of a whole training: what a user's command does, by its own events."""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest
import toys

BENCH = Path(__file__).resolve().parents[2] / "bench" / "speed" / "engine.py"


@pytest.mark.parametrize(("family", "preset"), [("sd15", "sd15-face"), ("sdxl", "sdxl-face")])
def test_it_orders_what_a_user_would(family: str, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = import_module("bench.speed.engine")
    order = engine.Order(tmp_path / "base.safetensors", family, "bf16", 4, ["samples=0"])
    alone, several = (engine.command(order, tmp_path, 9, checkpoints) for checkpoints in (False, True))
    assert alone[alone.index("--preset") + 1] == preset
    assert {"precision=bf16", "batch_size=4", "lora.rank=32", "samples=0"} < set(several)
    assert set(alone) - set(several) == {"save_every=9"}


def test_a_whole_training_of_a_toy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = toys.write_toy("sd1", tmp_path / "toy.safetensors")
    engine = import_module("bench.speed.engine")
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in sorted(engine.PHOTOS.glob("*.jpg"))[:8]:
        shutil.copy(photo, photos)
    monkeypatch.setattr(engine, "PHOTOS", photos)  # each is looked at by the command, which takes most of its time
    words = ["--only", "whole", "--base", str(base), "--work", str(tmp_path / "work")]
    words += ["--precision", "fp32", "--images", "7", "--batch", "2", "--json"]
    words += ["--set", "resolution=128", "samples=0", "likeness_curve=false", "save_every=3"]
    words += ["--results", str(tmp_path / "results.json")]
    monkeypatch.setattr(sys, "argv", [str(BENCH), *words])
    assert engine.main() == 0
    (found,) = json.loads(capsys.readouterr().out)["whole"]
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["figures"]["whole"] == [found]
    assert (found["steps"], found["checkpoints"]) == (4, 2)  # after the third step and the last
    assert 0 < found["first step"] < found["last step"] < found["end"]
    assert 3 * found["seconds"] == pytest.approx(found["last step"] - found["first step"], rel=0.9)
    assert found["images_per_second"] == pytest.approx(2 / found["seconds"], rel=0.02, abs=0.005)
    assert 1 < found["processor"] < 100 * found["end"]
    assert 0 <= found["others_percent"] <= 100
    assert found["peak_bytes"] > 50e6
    assert not list((tmp_path / "work").glob("tmp*"))
