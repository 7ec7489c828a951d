"""Defines the interface of a runner, which starts workers on this machine (`runners.local_runner`) or on another one.

A runner starts the worker of a job and gives a handle to it. All names of files that pass between the two sides are
relative to the data folder, with slashes: the worker may have another one, on another machine. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lib_lora.errors import UserError

if TYPE_CHECKING:
    from lib_lora.queue.queue import Job


class MachineGone(UserError):
    """The machine of a worker is no more; what came back from it is kept, and the job can be resumed."""


class WorkerFiles(Protocol):
    """The files of a worker's data folder, and those of this one."""

    def path_here(self, name: str) -> Path:
        """Where a file that the worker names is, or should be, here: by its name in the data folder, or its path.

        Raises:
            UserError: the worker may not name it.
        """
        ...

    def fetch(self, names: Iterable[str]) -> None:
        """See that these files of the worker's data folder are in this one.

        Raises:
            UserError: one is not there, or cannot be brought.
        """
        ...

    def push(self, names: Iterable[str]) -> None:
        """See that these files of this data folder are in the worker's.

        Raises:
            UserError: one is not there, or cannot be brought.
        """
        ...


class WorkerHandle(WorkerFiles, Protocol):
    """One worker at work. None of these waits for the worker but `receive` and `wait`.

    Attributes:
        outlives: it keeps running when this program ends, and `Runner.start` finds it again; once asked to end, it
            ends in time without further help.
    """

    outlives: bool

    @property
    def pid(self) -> int:
        """A number by which `Runner.end_left_behind` knows it again; 0 = it has none."""
        ...

    def poll(self) -> int | None:
        """The exit status; None while it runs. Negative: the signal that ended it."""
        ...

    def wait(self) -> int:
        """Wait for its end; the exit status."""
        ...

    def send(self, message: dict[str, Any]) -> None:
        """Give it an answer, or a wish, some time soon (`queue.running.worker_pipe` says which there are)."""
        ...

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """Its next question; None where none has come within `timeout` seconds, or it has ended."""
        ...

    def stop(self, wish: str) -> None:
        """Ask it to save and end: "stop" or "pause"."""
        ...

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        ...

    def close(self) -> None:
        """After its end: what it has left behind, or still holds, is let go."""
        ...

    def fetch_events(self) -> None:
        """See that what it has written so far of its events, its log and its result is in the job's folder."""
        ...

    def fetch_results(self) -> None:
        """After its end: see that all it has made or changed is in this data folder.

        Raises:
            MachineGone: what is not here yet will never come.
            UserError: it cannot be brought; it is kept where it is.
        """
        ...

    def log_tail(self) -> list[str]:
        """The last lines that it has printed."""
        ...


class Runner(Protocol):
    """Starts workers."""

    def start(self, job: Job) -> WorkerHandle:
        """Start the worker of a job, which is given all that the job names.

        Raises:
            UserError: it cannot be started, or a file that it needs is not there.
        """
        ...

    def end_left_behind(self, job: Job, patience: float, giving_up: Callable[[], bool]) -> None:
        """Wait for a worker that a dead supervisor has left: it saves and ends by itself, else it is killed.

        Args:
            job: with the `pid` that it had.
            patience: seconds.
            giving_up: asked meanwhile; true = wait no longer, and kill nothing.
        """
        ...
