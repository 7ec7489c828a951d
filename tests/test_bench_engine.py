"""The measurement of a whole training: what a user's command does, by its own events."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import toys

BENCH = Path(__file__).resolve().parents[1] / "bench" / "engine.py"


def test_a_whole_training_of_a_toy(tmp_path: Path) -> None:
    base = toys.write_toy("sd1", tmp_path / "toy.safetensors")
    command = [sys.executable, str(BENCH), "--only", "whole", "--base", str(base), "--work", str(tmp_path / "work")]
    command += ["--precision", "fp32", "--images", "7", "--batch", "2", "--json"]
    command += ["--set", "resolution=128", "samples=0"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (found,) = json.loads(done.stdout)["whole"]
    assert found["steps"] == 4
    assert 1 <= found["checkpoints"] <= 4
    assert 0 < found["first step"] < found["last step"] < found["end"]
    assert found["seconds"] < found["last step"] - found["first step"]
    assert found["peak_bytes"] > 50e6
    assert not list((tmp_path / "work").glob("tmp*"))
