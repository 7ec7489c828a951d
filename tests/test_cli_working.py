"""The command that works for another program: a real process, from its start to a parent that hangs up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.workflows.photos.new_character import NewCharacter, new_character

ROOT = Path(__file__).parents[1]
PERSONAS = ROOT / "tests" / "data" / "personas"


def test_people_are_not_shown_it(capsys):
    from lib_lora.cli import main

    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    assert "worker" not in listed
    assert "resume" in listed
    with pytest.raises(SystemExit) as ended:
        main(["worker", "--help"])
    assert ended.value.code == 0
    with pytest.raises(SystemExit):
        main(["worker", "x"])


@pytest.fixture
def root(tmp_path) -> Path:
    """A data folder with one character of two photos."""
    made = tmp_path / "Daten ü 名前"
    new_character(
        made, NewCharacter("Mara ü", "mrxa", "woman", "fictional"), [PERSONAS / "mara" / f"{n:02d}.jpg" for n in (0, 1)]
    )
    return made


def _worker(root: Path, number: int, log: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "1"}
    with open(log, "ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "lib_lora", "worker", str(number), "--data", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd=log.parent,
        )


@pytest.mark.once("pipes and signals; what is computed in between is repeated in training")
def test_a_parent_that_hangs_up_loses_no_step(root, toy, tmp_path):
    """Its folder holds packages named as a webui's: nothing of them is imported."""
    for name in ("modules", "launch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a webui was imported')", encoding="utf-8")
    queue, log = Queue(root), tmp_path / "log.txt"
    settings = {"resolution": 128, "precision": "fp32", "optimizer": "adamw", "lora": {"rank": 4}, "samples": 0}
    settings |= {"steps": 100_000, "save_every": 100_000}
    job = queue.add("Mara ü", TrainArguments(base=str(toy("sd1")), settings=settings, few=True))
    events = queue.folder(job.id) / "events.jsonl"
    with _worker(root, job.id, log) as worker:
        until = time.monotonic() + 180
        while sum(event["kind"] == "step" for event in read_events(events)) < 2:  # the first may learn nothing
            assert worker.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until
            time.sleep(0.1)
        began = time.monotonic()
        worker.stdin.close()
        assert worker.wait(timeout=60) == 0
        assert time.monotonic() - began < 30
        assert worker.stdout.read() == b""
    result = json.loads((queue.folder(job.id) / "result.json").read_text(encoding="utf-8"))
    assert result == {"state": "stopped", "error": "", "code": "", "result": {}}
    assert "has closed the pipe" in log.read_text(encoding="utf-8")
    run = load_run(root / "characters" / "mara-ü" / "runs" / queue.get(job.id).run)
    steps = [event["step"] for event in read_events(events) if event["kind"] == "step"]
    assert saved_steps(run) == [steps[-1]]
    assert run.states.is_dir()


def test_what_it_cannot_do_is_in_its_log(tmp_path):
    log = tmp_path / "log.txt"
    with _worker(tmp_path / "data", 5, log) as worker:
        assert worker.wait(timeout=120) == 2
        assert worker.stdout.read() == b""
    assert log.read_text(encoding="utf-8").splitlines()[-1].startswith("sameface: ")
