"""Runs of the tests of training: their tensors, and the process that trains one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lib_lora.lora.file.reading import read
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import Run

CHILD = """
import sys
from pathlib import Path
from lib_lora.runs.events import EventLog
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run
from lib_lora.training.session import open_session
run = load_run(Path(sys.argv[1]))
train(run, EventLog(run.events))
"""


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """Of a LoRA file."""
    return read(path).tensors


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether they are the same, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def started(run: Run, *prefix: str) -> subprocess.Popen[bytes]:
    """A process that trains the run."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    return subprocess.Popen([*(prefix or (sys.executable,)), "-c", CHILD, str(run.folder)], env=environment)


def wait_for_step(run: Run, step: int, child: subprocess.Popen[bytes]) -> None:
    """Until the process has said that it has done a step."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        if any(event["kind"] == "step" and event["step"] >= step for event in read_events(run.events)):
            return
        time.sleep(0.02)
    pytest.fail(f"the run did not reach step {step}")
