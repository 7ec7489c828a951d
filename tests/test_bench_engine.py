"""The measurement of a whole training: what a user's command does, by its own events."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import toys

BENCH = Path(__file__).resolve().parents[1] / "bench" / "engine.py"


@pytest.mark.parametrize(("family", "preset"), [("sd15", "sd15-face"), ("sdxl", "sdxl-face")])
def test_it_orders_what_a_user_would(family: str, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH.parent))
    engine = import_module("bench.engine")
    order = engine.Order(tmp_path / "base.safetensors", family, "bf16", 4, ["samples=0"])
    alone, several = (engine.command(order, tmp_path, 9, checkpoints) for checkpoints in (False, True))
    assert alone[alone.index("--preset") + 1] == preset
    assert {"precision=bf16", "batch_size=4", "lora.rank=32", "samples=0"} < set(several)
    assert set(alone) - set(several) == {"save_every=9"}


def test_a_whole_training_of_a_toy(tmp_path: Path) -> None:
    base = toys.write_toy("sd1", tmp_path / "toy.safetensors")
    command = [sys.executable, str(BENCH), "--only", "whole", "--base", str(base), "--work", str(tmp_path / "work")]
    command += ["--precision", "fp32", "--images", "7", "--batch", "2", "--json"]
    command += ["--set", "resolution=128", "samples=0", "save_every=3", "--results", str(tmp_path / "results.json")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (found,) = json.loads(done.stdout)["whole"]
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["figures"]["whole"] == [found]
    assert (found["steps"], found["checkpoints"]) == (4, 2)  # after the third step and the last
    assert 0 < found["first step"] < found["last step"] < found["end"]
    assert 3 * found["seconds"] == pytest.approx(found["last step"] - found["first step"], rel=0.9)
    assert found["images_per_second"] == pytest.approx(2 / found["seconds"], rel=0.02, abs=0.005)
    assert 1 < found["processor"] < 100 * found["end"]
    assert 0 <= found["others_percent"] <= 100
    assert found["peak_bytes"] > 50e6
    assert not list((tmp_path / "work").glob("tmp*"))
