"""Runs the tasks of the panel Library in this process, one of each at a time: look-up, search and fetching."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Literal

from lib_lora.errors import StoppedByUser, UserError

TaskKind = Literal["look", "find", "fetch"]
TaskState = Literal["running", "finished", "stopped", "failed"]
_log = logging.getLogger(__name__)
_lock = Lock()
_tasks: dict[tuple[Path, TaskKind], LibraryTask] = {}


@dataclass(eq=False)
class LibraryTask:
    """A task, the newest of its kind for a data folder.

    Attributes:
        kind: what is done.
        about: the file, the name or the address that it is about, for people.
        number: of the task in this process, so that a page knows a new one.
        done, total: files or bytes so far, and in all; a total of 0 = not known.
        state, error: how it ended, and why it failed.
        result: what came of it, for the page.
    """

    kind: TaskKind
    about: str
    number: int = 0
    done: int = 0
    total: int = 0
    state: TaskState = "running"
    error: dict[str, str] | None = None
    result: Any = None
    _stop: Event = field(default_factory=Event)

    def report(self, done: int, total: int, about: str = "") -> None:
        """Say how far it is.

        Raises:
            StoppedByUser: it is to end.
        """
        self.done, self.total, self.about = done, total, about or self.about
        if self._stop.is_set():
            raise StoppedByUser(
                "Stopped; what was downloaded is kept, and the download continues next time.", code="download-stopped"
            )

    def stop(self) -> None:
        """Have it end at the next word that it says."""
        self._stop.set()

    def values(self) -> dict[str, Any]:
        """The task as plain values, for the page."""
        names = ("kind", "number", "about", "done", "total", "state", "error", "result")
        return {name: getattr(self, name) for name in names}


def start(root: Path, kind: TaskKind, about: str, work: Callable[[LibraryTask], Any]) -> LibraryTask:
    """Begin a task in a thread of its own.

    Args:
        root: the data folder.
        kind: of the task.
        about: see `LibraryTask`.
        work: does it, and returns what came of it, as plain values.

    Raises:
        UserError: one of its kind is running.
    """
    with _lock:
        before = _tasks.get((root, kind))
        if before and before.state == "running":
            raise UserError(
                "One of these is running already; wait until it has ended, or stop it.", code="library-task-running"
            )
        task = LibraryTask(kind, about, (before.number if before else 0) + 1)
        _tasks[root, kind] = task
    Thread(target=_run, args=(task, work), name=f"sameface-library-{kind}", daemon=True).start()
    return task


def _run(task: LibraryTask, work: Callable[[LibraryTask], Any]) -> None:
    try:
        task.result = work(task)
        task.state = "finished"
    except StoppedByUser:
        task.state = "stopped"
    except UserError as error:
        task.error, task.state = {"code": error.code, "message": str(error)}, "failed"
    except Exception as error:  # the page must not wait for ever
        _log.exception("the panel Library")
        said = f"It failed with {type(error).__name__}; the log of the webui says more."
        task.error, task.state = {"code": "library-task-failed", "message": said}, "failed"


def tasks_of(root: Path) -> list[LibraryTask]:
    """The newest of each kind, those that have ended too."""
    with _lock:
        return [task for (folder, _), task in _tasks.items() if folder == root]


def stop(root: Path, kind: TaskKind) -> None:
    """Have the running one of a kind end; where none runs, nothing happens."""
    with _lock:
        task = _tasks.get((root, kind))
    if task:
        task.stop()
