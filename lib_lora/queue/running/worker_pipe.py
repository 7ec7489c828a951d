"""Holds the worker's end of the pipe to the process that started it: one JSON object per line, both ways.

To the parent go questions (``{"ask": "paint", "id": 1, ...}``); from it come their answers (``{"id": 1, ...}``) and
wishes (``{"wish": "stop"}``). The end of the pipe means that the parent is gone; its process is watched as well. Knows
nothing of jobs. Imports nothing heavy, so that it listens while the rest is still being loaded.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.workspace.workspace import Workspace

NAMES = "SAMEFACE_FILE_NAMES"  # set in a worker's environment: its parent knows files by `Workspace.name_of`
WISHES = ("stop", "pause")
PATIENCE = 60.0  # seconds in which the work is saved once the parent is gone; then this process ends as it is
_FILES = ("file", "folder", "out", "base")  # what a question names
_POLL = 2.0  # seconds between two checks at the parent
_WAIT = 0.25  # seconds between two checks at the wish while an answer is awaited
_SAVING = 60.0  # seconds in which a worker saves once the step is done


def patient(seconds: float, pace: float) -> float:
    """How long to wait for a worker that should end: `seconds`, or more where that would cut off a step.

    Args:
        seconds: usually.
        pace: seconds for a step; 0 = not known.
    """
    return max(seconds, _SAVING + 3 * pace) if pace > 0 else seconds


class WorkerPipe:
    """Listens from `start` on, in a thread of its own.

    Args:
        incoming, outgoing: file descriptors of the pipe, which belong to this object from now on.
        patience: see `PATIENCE`.
        leave: ends this process at once.

    Attributes:
        wish: "", "stop" or "pause": the newest one of the parent.
        gone: the parent has ended, or does not listen any more.
        pace: seconds for a step of the work, by which the patience grows (`patient`); who works sets it.
        workspace: the data folder, once it is known: files in it then go over the pipe by their names there
            (`Workspace.name_of`), which hold on the other side too, wherever that is. Not where the parent does not
            say that it knows these (`NAMES`): the one of an older version, under which the files were updated.
    """

    def __init__(
        self, incoming: int, outgoing: int, patience: float = PATIENCE, leave: Callable[[int], Any] = os._exit
    ) -> None:
        self.wish = ""
        self.gone = False
        self.pace = 0.0
        self.workspace: Workspace | None = None
        self._incoming, self._outgoing = incoming, outgoing
        self._patience, self._leave = patience, leave
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._asked = 0
        self._lock = threading.Lock()

    def start(self, parent: int | None = None) -> None:
        """Listen, and watch the process `parent` (its number; None = it is not watched)."""
        threading.Thread(target=self._listen, name="pipe", daemon=True).start()
        if parent is not None:
            threading.Thread(target=self._watch, args=(parent,), name="parent", daemon=True).start()

    def stopping(self) -> bool:
        """Whether the work should be saved and ended."""
        return bool(self.wish) or self.gone

    def check(self) -> None:
        """
        Raises:
            StoppedByUser: the work should end.
        """
        if self.stopping():
            if self.wish:
                raise StoppedByUser("Stopped.", code="work-stopped")
            raise StoppedByUser("The program that started this work has ended.", code="parent-gone")

    def ask(self, what: str, **fields: Any) -> Iterator[dict[str, Any]]:
        """Ask the parent, and give its answers as they come; the last one has "done".

        Raises:
            UserError: the parent answers with an error.
            StoppedByUser: the work should end.
        """
        self._asked += 1
        self.check()
        self._say({"ask": what, "id": self._asked, **self._named(fields)})
        while True:
            self.check()
            try:
                answer = self._answers.get(timeout=_WAIT)
            except queue.Empty:
                continue
            if answer.get("id") != self._asked:
                continue  # of a question that was given up
            if answer.get("error"):
                raise UserError(str(answer["error"]), code="parent-refused")
            yield self._found(answer)
            if answer.get("done"):
                return

    def _named(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A question with the names of files in place of their paths here."""
        workspace = self.workspace
        if workspace is None or not os.environ.get(NAMES):
            return fields
        named: dict[str, Any] = {key: workspace.name_of(Path(fields[key])) for key in _FILES if fields.get(key)}
        if "pictures" in fields:
            loras = [one.get("lora") and workspace.name_of(Path(one["lora"])) for one in fields["pictures"]]
            pairs = zip(fields["pictures"], loras, strict=True)
            named["pictures"] = [{**one, "lora": lora} for one, lora in pairs]
        return {**fields, **named}

    def _found(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer with the path here of the file that it names."""
        if self.workspace is None or not isinstance(answer.get("file"), str):
            return answer
        return {**answer, "file": str(self.workspace.path_of(answer["file"]))}

    def _say(self, message: dict[str, Any]) -> None:
        line = (json.dumps(message) + "\n").encode("ascii")
        try:
            with self._lock:
                while line:
                    line = line[os.write(self._outgoing, line) :]
        except OSError:  # nobody reads
            self._parent_gone("does not listen any more")

    def _listen(self) -> None:
        # plain reads: a buffered stream that a thread waits on holds a lock that would block the end of the process
        rest = b""
        while True:
            try:
                chunk = os.read(self._incoming, 1 << 16)
            except OSError:
                chunk = b""
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._hear(line)
        self._parent_gone("has closed the pipe")

    def _hear(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, dict):
            return
        if message.get("wish") in WISHES:
            self.wish = message["wish"]
        elif "id" in message:
            self._answers.put(message)

    def _watch(self, parent: int) -> None:
        try:
            process = psutil.Process(parent)
            # a dead parent's number may be given to another process, whose time of birth differs; and where the system
            # gives orphans a new parent, that tells too
            while process.is_running() and (os.name == "nt" or os.getppid() == parent):
                time.sleep(_POLL)
        except psutil.NoSuchProcess:
            pass
        except psutil.Error:
            return  # it may not be looked at; the end of the pipe tells
        self._parent_gone("has ended")

    def _parent_gone(self, how: str) -> None:
        with self._lock:
            if self.gone:
                return
            self.gone = True
        sys.stderr.write(f"The process that started this one {how}; saving, then this one ends too.\n")
        timer = threading.Timer(patient(self._patience, self.pace), self._leave, args=(1,))
        timer.daemon = True
        timer.start()


def take_standard_streams() -> WorkerPipe:
    """Make a pipe of standard input and output, and start it.

    Whatever libraries print goes to standard error, the log, from then on, as UTF-8; and nothing that is started from
    here reads the pipe.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # where a test has put something else there
            stream.flush()
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    pipe = WorkerPipe(incoming, outgoing)
    pipe.start(os.getppid())
    return pipe
