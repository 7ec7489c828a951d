"""A runner that works as one on another machine must: its workers see another data folder and other checkpoints."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import job_files

from lib_lora.errors import UserError
from lib_lora.queue.queue import Job, Queue
from lib_lora.queue.runners.local_runner import LocalWorker
from lib_lora.queue.running import worker_processes
from lib_lora.runs.reopen import reopen
from lib_lora.workspace.workspace import Workspace


class ElsewhereRunner:
    """See `queue.running.runner_protocol.Runner`.

    Args:
        home: the data folder of the queue.
        there: a folder that stands for the other machine, with ``data`` and ``models`` in it.
    """

    def __init__(self, home: Path, there: Path) -> None:
        self.home, self.there, self.models = Workspace(home), Workspace(there / "data"), there / "models"
        self.carried: list[str] = []  # names of all files that were brought to or fro

    def start(self, job: Job) -> ElsewhereWorker:
        arguments, files = Queue(self.home.root).named(job.id)
        assert not [text for text in _texts(arguments) if Path(text).is_absolute()]
        models = {name: self._brought(path) for name, path in files.items()}
        for name in job_files.needed(self.home, job):
            self.copy(self.home, self.there, name)
        run, base = job_files.run_of(self.there, job), None
        if run is not None:
            home_run = reopen(self.home.path_of(self.there.name_of(run.path)))
            base = Path(home_run.file.base.path)
            reopen(run.path, base=self._brought(base))
        Queue(self.there.root).accept(job, arguments, models)
        log = self.there.job(job.id).log
        command = [sys.executable, *worker_processes.worker_arguments(job.id, self.there.root)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        inner = LocalWorker(worker_processes.start(command, environment, log), self.there, log)
        homes = {str(self.models / path.name): path for path in (*files.values(), *([base] if base else []))}
        return ElsewhereWorker(self, job, inner, homes)

    def end_left_behind(self, job: Job, patience: float, giving_up: Callable[[], bool]) -> None:
        raise AssertionError("nobody was left behind")

    def _brought(self, model: Path) -> Path:
        target = self.models / model.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model, target)
        return target

    def copy(self, source: Workspace, target: Workspace, name: str) -> None:
        self.carried.append(name)
        path = target.path_of(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.path_of(name), path)


class ElsewhereWorker:
    """See `queue.running.runner_protocol.WorkerHandle`; the process itself is one of this machine."""

    outlives = False

    def __init__(self, runner: ElsewhereRunner, job: Job, inner: LocalWorker, homes: dict[str, Path]) -> None:
        self.runner, self.job, self.inner, self.homes = runner, job, inner, homes
        self.before = job_files.marks(runner.there, job)
        for name in ("pid", "poll", "wait", "send", "receive", "stop", "kill", "close", "log_tail"):
            setattr(self, name, getattr(inner, name))

    def path_here(self, name: str) -> Path:
        if not Path(name).is_absolute():
            return self.runner.home.path_of(name)
        if name not in self.homes:
            raise UserError(f"{name} is no file of this machine.", code="file-missing")
        return self.homes[name]

    def fetch_events(self) -> None:
        for path in (self.runner.there.job(self.job.id).events, self.runner.there.job(self.job.id).result):
            if path.is_file():
                self._events(path) if path.suffix == ".jsonl" else self.fetch([self.runner.there.name_of(path)])

    def _events(self, path: Path) -> None:
        """What is new of them goes to the end: the supervisor has written events of its own before."""
        known = getattr(self, "known", 0)
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        with open(self.runner.home.job(self.job.id).events, "ab") as stream:
            stream.write(whole[known:])
        self.known = len(whole)

    def fetch(self, names: Iterable[str]) -> None:
        for name in names:
            self.runner.copy(self.runner.there, self.runner.home, name)

    def push(self, names: Iterable[str]) -> None:
        for name in names:
            self.runner.copy(self.runner.home, self.runner.there, name)

    def fetch_results(self) -> None:
        self.fetch_events()
        made = job_files.changed(self.before, job_files.marks(self.runner.there, self.job))
        self.fetch(name for name in made if not name.endswith("events.jsonl") or not name.startswith("jobs/"))
        for name in made:
            if name.endswith("/run.yaml"):
                folder = self.runner.home.path_of(name).parent
                base = next(iter(self.homes.values()))
                reopen(folder, base=base)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value
