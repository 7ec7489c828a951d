"""Finds how long a step took in the user's own earlier runs on a device.

Nothing is scaled from one device, size or model family to another. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lib_lora.runs.records import run_records
from lib_lora.runs.records.run_history import history_of
from lib_lora.training.plan.estimate import step_work
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workspace.workspace import RunFolder, Workspace

_STEPS = 10  # that must have been done there; the first ones are slower


@dataclass(frozen=True)
class Pace:
    """How long a step took.

    Attributes:
        seconds: for a step.
        run: in which run, as commands name it.
        created: when that was made, unix seconds.
    """

    seconds: float
    run: str
    created: float


def pace_on(root: Path, device: str, family: str, train: TrainSettings) -> Pace | None:
    """The pace of the newest own run that did the same work in each step on such a device; None = there is none.

    Args:
        root: the data folder.
        device: the name of the GPU, as its driver or its provider calls it.
        family: of the base model.
        train: the settings, as they are for that device.
    """
    return max(_paces(root, device, family, train), key=lambda pace: pace.created, default=None)


def _paces(root: Path, device: str, family: str, train: TrainSettings) -> Iterator[Pace]:
    for folder in Workspace(root).character_folders():
        for record in run_records.runs(folder):
            if record.family != family or not _same_work(record.settings, train):
                continue
            history = history_of(RunFolder(record.folder).events)
            for name, (steps, seconds) in history.paces.items():
                if train.identity_turns:  # later steps take longer than earlier ones
                    if len(history.paces) > 1 or history.step < history.total:
                        continue
                    seconds = history.seconds / history.steps
                if steps >= _STEPS and plain_name(name) == plain_name(device):
                    yield Pace(seconds, f"{folder.path.name}/{record.id}", record.created)


def _same_work(done: TrainSettings, asked: TrainSettings) -> bool:
    """Whether a step costs the same. What the device decides about the precision is the same on the same device."""
    if asked.precision == "auto":
        done = replace(done, precision="auto")
    return step_work(done) == step_work(asked)


def plain_name(device: str) -> str:
    """The name of a GPU without what differs between those who name it.

    >>> plain_name("NVIDIA GeForce RTX 4090") == plain_name("RTX 4090")
    True
    """
    words = device.casefold().split()
    return " ".join(word for word in words if word not in ("nvidia", "geforce"))
