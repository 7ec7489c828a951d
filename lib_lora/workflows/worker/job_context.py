"""Holds what a job needs: its character, its folder, and the pipe to its parent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lib_lora.queue.running.worker_pipe import WorkerPipe


@dataclass(frozen=True)
class JobContext:
    """What a job is done with.

    Attributes:
        root: the data folder.
        character: the name of the one whose job it is.
        folder: of the job.
        pipe: to the parent.
        emit: for events.
        note_run: is told the identifier of the run that is trained, once it is known.
    """

    root: Path
    character: str
    folder: Path
    pipe: WorkerPipe
    emit: Callable[..., None]
    note_run: Callable[[str], None]
