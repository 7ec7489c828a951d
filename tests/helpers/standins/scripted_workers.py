"""Workers that are no processes: each does what the character's name says, a step each time that it is asked.

They do what those of `supervisor_harness` do, as far as the supervisor sees it, for tests of the supervisor's own
decisions. What kills, signals, pipes, logs and exit codes of processes are about needs those instead.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from lib_lora.files import write_json
from lib_lora.queue.queue import Job
from lib_lora.runs.events import EventLog
from lib_lora.typed_settings import to_dict
from lib_lora.workspace.workspace import Workspace

HEAR, WAIT = object(), object()  # what a worker waits for: a message, or just a while
_PIDS = itertools.count(1 << 30)  # of no process
Work = Generator[Any, dict[str, Any], None]


class Ended(Exception):
    """The worker has come to its end."""


class ScriptedWorker:
    """See `queue.running.runner_protocol.WorkerHandle`.

    Attributes:
        sent: all that it was sent, wishes included.
    """

    outlives = False

    def __init__(self, root: Path, job: Job) -> None:
        self.root, self.job, self.pid = root, job, next(_PIDS)
        self.sent: list[dict[str, Any]] = []
        self._workspace = Workspace(root)
        self.folder = self._workspace.job(job.id).path
        self._events = EventLog(self._workspace.job(job.id).events)
        self._code: int | None = None
        self._heard = threading.Condition()
        self._inbox: list[dict[str, Any]] = []
        self._work, self._waits = _work(self), WAIT

    def event(self, kind: str, **fields: Any) -> None:
        """Write into the events."""
        self._events(kind, **fields)

    def end(self, state: str, error: str = "", code: str = "", **result: Any) -> None:
        """Write the result, and end."""
        write_json(self.folder / "result.json", {"state": state, "error": error, "code": code, "result": result})
        raise Ended

    def obey(self, message: dict[str, Any]) -> None:
        """End where the message is a wish."""
        if "wish" in message:
            self.end("paused" if message["wish"] == "pause" else "stopped", step=7)

    def poll(self) -> int | None:
        return self._code

    def wait(self) -> int:
        assert self._code is not None
        return self._code

    def receive(self, timeout: float) -> dict[str, Any] | None:
        with self._heard:
            if self._waits is HEAR and not self._inbox:
                self._heard.wait(timeout)
                return None
            message = self._inbox.pop(0) if self._waits is HEAR else None
        if self._code is not None:
            return None
        try:
            said = self._work.send(message) if message is not None else next(self._work)
        except (Ended, StopIteration):
            self._code = 0
            return None
        self._waits = said if said is HEAR else WAIT
        if said is WAIT:
            time.sleep(min(timeout, 0.02))
        return json.loads(json.dumps(said)) if isinstance(said, dict) else None

    def send(self, message: dict[str, Any]) -> None:
        with self._heard:
            self.sent.append(message)
            self._inbox.append(json.loads(json.dumps(message)))  # nothing else goes through a pipe
            self._heard.notify()

    def stop(self, wish: str) -> None:
        self.send({"wish": wish})

    def kill(self) -> None:
        self._code = -9

    def close(self) -> None:
        self._work.close()

    def path_here(self, name: str) -> Path:
        return self._workspace.path_of(name)

    def fetch_events(self) -> None:
        """They are here."""

    def fetch(self, names: Iterable[str]) -> None:
        """They are here."""

    def push(self, names: Iterable[str]) -> None:
        """They are here."""

    def fetch_results(self) -> None:
        """They are here."""

    def log_tail(self) -> list[str]:
        return []


class ScriptedRunner:
    """Starts them; `workers` has all of them by the numbers of their jobs, the last one of each."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.workers: dict[int, ScriptedWorker] = {}

    def start(self, job: Job) -> ScriptedWorker:
        self.workers[job.id] = ScriptedWorker(self.root, job)
        return self.workers[job.id]

    def end_left_behind(self, job: Job, patience: float, giving_up: Callable[[], bool]) -> None:
        """None is left: they end with this program."""


def _work(worker: ScriptedWorker) -> Work:
    """All that a worker does; what it yields it says (a table), or waits for."""
    if worker.job.kind == "train":
        worker.event("run", run=to_dict(worker.job.arguments)["run"] or "003")
    worker.event("state", state="training")
    yield from _DOES[worker.job.slug](worker)


def _finishes(worker: ScriptedWorker) -> Work:
    worker.end("finished", run="003", lora="a.safetensors")
    yield WAIT


def _fails(worker: ScriptedWorker) -> Work:
    worker.end("failed", "There is no photo in x.", "photos-missing")
    yield WAIT


def _ends_without_a_word(worker: ScriptedWorker) -> Work:
    yield WAIT


def _obeys(worker: ScriptedWorker) -> Work:
    worker.obey((yield HEAR))


def _waits(worker: ScriptedWorker) -> Work:
    while not (worker.root / "go").exists():
        yield WAIT
    worker.end("finished")


def _asks(**question: Any) -> Callable[[ScriptedWorker], Work]:
    def work(worker: ScriptedWorker) -> Work:
        files = {name: str(worker.root / file) for name, file in question.items() if name in ("file", "out")}
        yield {**question, **files, "id": 1}
        worker.end("finished", answer=(yield HEAR))

    return work


def _paints(worker: ScriptedWorker) -> Work:
    names = [None if k else "L ü.safetensors" for k in range(3)]
    pictures: list[dict[str, Any]] = [
        {"prompt": f"p{k}", "negative": "", "seed": k, "lora": name} for k, name in enumerate(names)
    ]
    pictures[1]["further_loras"] = [["ink ü.safetensors", 0.4]]
    cells = worker.folder / "cells"
    cells.mkdir()
    yield {"ask": "paint", "id": 1, "base": "base.safetensors", "pictures": pictures, "folder": str(cells)}
    got: list[Any] = []
    while True:
        answer = yield HEAR
        worker.obey(answer)
        if "error" in answer:
            worker.end("failed", answer["error"])
        if answer.get("done"):
            worker.end("finished", got=got)
        got.append([answer["number"], Path(answer["file"]).exists(), answer["file"], answer["infotext"]])


_DOES: dict[str, Callable[[ScriptedWorker], Work]] = {
    "finishes": _finishes,
    "another": _ends_without_a_word,
    "fails": _fails,
    "obeys": _obeys,
    "waits": _waits,
    "rebuilds": _asks(ask="reconstruct", file="in.png", out="out.png"),
    "captions": _asks(ask="caption", captioner="webui-blip", file="in.png"),
    "asks-nonsense": _asks(ask="dance"),
    "paints": _paints,
}
