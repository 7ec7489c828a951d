"""What killed processes left is swept; what somebody may still write, and what is not ours, stays."""

import os
import subprocess
import sys
import time

import pytest

from lib_lora.files import atomic_file
from lib_lora.queue.running import leftovers


@pytest.fixture(scope="module")
def gone():
    """The number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.fixture
def put(tmp_path):
    """put(name, seconds): a file that was changed so many seconds ago."""

    def made(name, seconds=60):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (time.time() - seconds,) * 2)
        return path

    return made


def test_orphans_are_swept_and_nothing_else(tmp_path, put, gone):
    orphans = {
        put(f"hashes.json.{gone}.tmp"),
        put(f"characters/mara ü/cache/latents/ab.safetensors.{gone}.tmp"),
        put(f"characters/mara ü/runs/001/state/000002.pt.{gone}.tmp"),
        put(f"jobs/3/result.json.{gone}.tmp"),
        put(f"characters/mara ü/audit.json.{os.getppid()}.tmp", seconds=90_000),  # the number is another's by now
    }
    others = {
        put(f"characters/mara ü/photos/new.jpg.{os.getppid()}.tmp"),  # a process that is there
        put(f"characters/mara ü/photos/now.jpg.{gone}.tmp", seconds=1),  # on another machine, perhaps
        put("characters/mara ü/photos/holiday.tmp"),
        put("characters/mara ü/photos/a.12x.tmp"),
        put(f"packages/torch/x.{gone}.tmp"),
        put("characters/mara ü/photos/a.jpg"),
        put(f"letter.txt.{gone}.tmp"),  # the user has the folder for other things, too
    }
    copy = put("jobs/mending/tmpab12/jobs.sqlite").parent
    os.utime(copy, (time.time() - 60,) * 2)
    assert set(leftovers.sweep(tmp_path)) == orphans
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == others
    assert leftovers.sweep(tmp_path / "none") == []


def test_around_a_run_that_was_moved_nothing_is_swept(tmp_path, put, gone):
    there = {put(f"{name}.{gone}.tmp") for name in ("settings.json", "jobs/other.bin", "mara/runs/001/run.yaml")}
    assert leftovers.sweep(tmp_path) == []
    assert set(tmp_path.rglob("*.tmp")) == there


def test_in_a_folder_of_the_users_only_the_deliverys_own_are_swept(tmp_path, put, gone):
    orphans = {
        put(f"mara-001-000400.safetensors.{gone}.tmp"),
        put(f"mara-001-000400-2.safetensors.{gone}.tmp"),
        put(f"mara-001-000400.json.{gone}.tmp"),
        put(f"mara-001-000400.png.{gone}.tmp"),
    }
    put(f"other.safetensors.{gone}.tmp")
    put(f"mara-001-000400.txt.{gone}.tmp")
    put("mara-001-000400.safetensors")
    assert set(leftovers.sweep_beside("mara-001-000400", tmp_path)) == orphans
    assert len(list(tmp_path.iterdir())) == 3


def test_the_pattern_is_that_of_the_files_that_are_written(tmp_path):
    with atomic_file(tmp_path / ("ü" * 80 + ".json")) as stream:
        (temporary,) = tmp_path.glob("*.tmp")
        assert leftovers._OURS.fullmatch(temporary.name)[1] == str(os.getpid())
        stream.write(b"x")
    assert (tmp_path / ("ü" * 80 + ".json")).read_bytes() == b"x"
