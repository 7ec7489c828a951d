"""Runs of the tests of training: their tensors, and the process that trains one."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from helper_folders import FOLDERS
from PIL import Image

from lib_lora.lora.file.reading import read
from lib_lora.pictures import NEGATIVE, Cell
from lib_lora.runs.events import EventLog, read_events
from lib_lora.training.loop import train
from lib_lora.training.plan.checkpoint_test import CheckpointTest, EarlyStop, Reconstruct
from lib_lora.training.plan.run_file import Run, load_run


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """Of a LoRA file."""
    return read(path).tensors


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether they are the same, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def forkserver_loads_training() -> bool:
    """Whether this system forks processes from a server; the server is told to load what trains, before it starts."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before the server is started, which hands it on
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return False
    multiprocessing.set_forkserver_preload(["lib_lora.training.loop"])
    return True


def started(run: Run) -> BaseProcess:
    """A process of its own that trains the run.

    It is forked from one that has loaded the libraries (once for all that this process starts) and has done nothing
    else, where the system can fork.
    """
    context: Any = multiprocessing.get_context("forkserver" if forkserver_loads_training() else "spawn")
    child: BaseProcess = context.Process(target=_train, args=(run.folder,))
    child.start()
    return child


def _train(folder: Path) -> None:
    run = load_run(folder)
    train(run, EventLog(run.events))


def train_in_another_interpreter(run: Run) -> None:
    """As `started`, but with nothing of this process: not its order of sets and of what is kept by an object's hash."""
    code = "import sys; from pathlib import Path; from training_runs import _train; _train(Path(sys.argv[1]))"
    places = [str(Path(__file__).parents[3]), *FOLDERS]
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    variables = {"PYTHONPATH": os.pathsep.join(places), "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(run.folder)]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr


def wait_for_step(run: Run, step: int, child: BaseProcess, said: int = 0) -> None:
    """Until the process has said that it has done a step; `said` events of the log are of processes before it."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.is_alive():
        if any(event["kind"] == "step" and event["step"] >= step for event in list(read_events(run.events))[said:]):
            return
        time.sleep(0.02)
    pytest.fail(f"the run did not reach step {step}")


def measured(
    seen: list[tuple[int, dict[str, list[Path]]]],
    enough: Mapping[int, int] | None = None,
    known: Collection[int] = (),
    before: Callable[[int], object] = lambda step: None,
) -> CheckpointTest:
    """A test of checkpoints with two prompts, which are only looked at; `enough`: at which step another is best."""

    def cell(prompt: str, seed: int) -> Cell:
        return Cell(prompt, NEGATIVE, seed)

    def judge(step: int, files: Mapping[str, Sequence[Path]], reconstruct: Reconstruct) -> EarlyStop | None:
        before(step)
        seen.append((step, {role: list(paths) for role, paths in files.items()}))
        assert reconstruct(Image.new("RGB", (64, 64), "red")).size == (64, 64)
        best = (enough or {}).get(step)
        return None if best is None else EarlyStop("Likeness no longer rises.", best)

    cells = {"lora": [cell("photo of mrxa woman", 1)], "leak": [cell("a woman", 2)], "base": [cell("a woman", 1)]}
    return CheckpointTest(cells, judge, lambda: None, known)
