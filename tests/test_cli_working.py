"""The command that works for another program: a real process, from its start to a parent that hangs up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A data folder with one character of two photos."""
    made = tmp_path_factory.mktemp("home") / "Daten ü 名前"
    new_character(
        made, NewCharacter("Mara ü", "mrxa", "woman", "fictional"), [PERSONAS / "mara" / f"{n:02d}.jpg" for n in (0, 1)]
    )
    return made


def _worker(root: Path, number: int, log: Path, *packages: Path) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(map(str, (*packages, ROOT)))
    environment = {**os.environ, "PYTHONPATH": paths, "ACCELERATE_USE_CPU": "1"}
    with open(log, "ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "lib_lora", "worker", str(number), "--data", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd=log.parent,
        )


def _broken(folder: Path, package: str) -> None:
    """A package that is installed, and whose import fails as where CUDA's libraries are not found."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("raise RuntimeError('CUDA Setup failed')", encoding="utf-8")
    metadata = folder / f"{package}-9.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 9.0\n", encoding="utf-8")


@pytest.fixture(scope="module")
def hung_up(root, toy, tmp_path_factory) -> SimpleNamespace:
    """A training whose parent hangs up after some steps: its queue, its job, what it left in its log.

    Its folder holds packages named as a webui's: nothing of them is imported. bitsandbytes and xformers are broken.
    """
    place = tmp_path_factory.mktemp("place")
    for name in ("modules", "launch"):
        (place / f"{name}.py").write_text("raise SystemExit('a webui was imported')", encoding="utf-8")
    for name in ("bitsandbytes", "xformers"):
        _broken(place / "packages", name)
    queue, log = Queue(root), place / "log.txt"
    settings = {"resolution": 128, "precision": "fp32", "optimizer": "adamw8bit", "lora": {"rank": 4}, "samples": 0}
    settings |= {"steps": 100_000, "save_every": 100_000}
    job = queue.add("Mara ü", TrainArguments(base=str(toy("sd1")), settings=settings, few=True))
    events = queue.folder(job.id) / "events.jsonl"
    with _worker(root, job.id, log, place / "packages") as worker:
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
    return SimpleNamespace(queue=queue, number=job.id, log=log.read_text(encoding="utf-8"))


@pytest.mark.once("pipes and signals; what is computed in between is repeated in training")
def test_a_parent_that_hangs_up_loses_no_step(root, hung_up):
    queue, number = hung_up.queue, hung_up.number
    result = json.loads((queue.folder(number) / "result.json").read_text(encoding="utf-8"))
    assert result == {"state": "stopped", "error": "", "code": "", "result": {}}
    assert "has closed the pipe" in hung_up.log
    run = load_run(root / "characters" / "mara-ü" / "runs" / queue.get(number).run)
    steps = [event["step"] for event in read_events(queue.folder(number) / "events.jsonl") if event["kind"] == "step"]
    assert saved_steps(run) == [steps[-1]]
    assert run.states.is_dir()


@pytest.mark.once("what has no place in sys.modules is found by no version of a library")
def test_packages_that_are_broken_and_not_needed_end_no_training(hung_up):
    """As bitsandbytes is on a machine without its CUDA; whoever wants 8-bit AdamW is told, and gets the other one."""
    events = list(read_events(hung_up.queue.folder(hung_up.number) / "events.jsonl"))
    [said] = [event["text"] for event in events if event["kind"] == "warning" and "8bit" in event["text"]]
    assert said == ("adamw8bit: bitsandbytes does not start (CUDA Setup failed); using AdamW in 32 bit instead.")


def test_what_it_cannot_do_is_in_its_log(tmp_path):
    log = tmp_path / "log.txt"
    with _worker(tmp_path / "data", 5, log) as worker:
        assert worker.wait(timeout=120) == 2
        assert worker.stdout.read() == b""
    assert log.read_text(encoding="utf-8").splitlines()[-1].startswith("sameface: ")
