"""The demands on loading, with the real sizes, by the project's own measurement."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench" / "speed" / "engine.py"
WORK = Path(tempfile.gettempdir(), "sameface-bench")  # the measurement's own default: the 2.1 GB are written once
SECONDS, RATIO = 10, 1.3
BUSY = 25  # percent of the processors that other programs take; above it, a wall-clock time says nothing


@pytest.fixture(scope="module")
def measured():
    command = [sys.executable, str(BENCH), "--only", "load", "--precision", "fp32", "bf16", "--repeat", "3", "--json"]
    answer = subprocess.run([*command, "--work", str(WORK)], cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout)


@pytest.mark.full_size
def test_the_base_has_the_real_size(measured):
    assert 2.13e9 < measured["base_bytes"] < 2.14e9
    kept = {row["kept_as"]: row["tensor_bytes"] for row in measured["load"]}
    numbers = 859_520_964 + 123_060_480 + 83_653_863  # UNet, text encoder, VAE
    assert kept["fp32"] == pytest.approx(4 * numbers, rel=1e-6)
    assert kept["fp16"] == kept["bf16"] == pytest.approx(2 * numbers, rel=1e-6)


@pytest.mark.full_size
def test_loading_takes_ten_seconds_at_most(measured):
    for row in measured["load"]:
        seconds = row["processor"] if row["others_percent"] > BUSY else row["all"]
        assert seconds <= SECONDS, row


@pytest.mark.full_size
def test_loading_needs_hardly_more_memory_than_what_is_kept(measured):
    for row in measured["load"]:
        assert row["tensor_bytes"] <= row["peak_bytes"] * 1.02, f"the peak cannot be below what is kept: {row}"
        assert row["peak_bytes"] <= RATIO * row["tensor_bytes"], row
