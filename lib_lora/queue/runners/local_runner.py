"""Runs workers as processes of this machine, on the same data folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError
from lib_lora.job_host import JobHost
from lib_lora.queue.queue import Job
from lib_lora.queue.running import worker_processes
from lib_lora.queue.running.parent_pipe import ParentPipe
from lib_lora.setup import environment
from lib_lora.workspace import preferences
from lib_lora.workspace.workspace import Workspace


def worker_command(host: JobHost, root: Path) -> list[str]:
    """The Python that the tab's settings name, else the host's, and its options.

    Raises:
        UserError: it is not there.
    """
    chosen = preferences.load(root).worker_python
    if not chosen:
        return host.worker_command()
    if not Path(chosen).is_file():
        raise UserError(
            f"The Python that trains, {chosen}, does not exist; correct it in the settings.",
            code="worker-python-missing",
            program=chosen,
        )
    return [chosen]


def worker_environment(host: JobHost, root: Path) -> dict[str, str]:
    """The host's environment for workers; another Python's own packages are not hidden by those for this one."""
    variables = host.worker_environment()
    if preferences.load(root).worker_python:
        variables = {**variables, "PYTHONPATH": str(environment.ROOT)}
        variables.pop("PYTHONHOME", None)  # it is that of the host's Python
    return variables


class LocalRunner:
    """See `queue.running.runner_protocol.Runner`.

    Args:
        root: the data folder.
        host: gives the program around SameFace, whose Python runs the workers unless the settings name another.
    """

    def __init__(self, root: Path, host: Callable[[], JobHost]) -> None:
        self.root = root.absolute()  # the workers have another working directory
        self._host = host

    def start(self, job: Job, more: Sequence[str] = ()) -> LocalWorker:
        """A process of its own for the job.

        Args:
            job: what it should do.
            more: further arguments of the worker's command.

        Raises:
            UserError: the program is not there, or the log cannot be written.
        """
        host = self._host()
        command = [*worker_command(host, self.root), *worker_processes.worker_arguments(job.id, self.root), *more]
        workspace = Workspace(self.root)
        log = workspace.job(job.id).log
        process = worker_processes.start(command, worker_environment(host, self.root), log)
        return LocalWorker(process, workspace, log)

    def end_left_behind(self, job: Job, patience: float, giving_up: Callable[[], bool]) -> None:
        """See `queue.running.runner_protocol.Runner.end_left_behind`."""
        worker_processes.end_worker(job.pid, job.id, self.root, patience, giving_up)


class LocalWorker:
    """See `queue.running.runner_protocol.WorkerHandle`.

    Args:
        process: of the worker, with pipes for its standard input and output.
        workspace: the data folder.
        log: where its error output goes.
    """

    outlives = False

    def __init__(self, process: subprocess.Popen[str], workspace: Workspace, log: Path) -> None:
        self._process, self._workspace, self._log = process, workspace, log
        self._pipe = ParentPipe(process)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def poll(self) -> int | None:
        """See `WorkerHandle`."""
        return self._process.poll()

    def wait(self) -> int:
        """See `WorkerHandle`."""
        return self._process.wait()

    def send(self, message: dict[str, Any]) -> None:
        """See `WorkerHandle`."""
        self._pipe.send(message)

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """See `WorkerHandle`."""
        return self._pipe.receive(timeout)

    def stop(self, wish: str) -> None:
        """See `WorkerHandle`."""
        self._pipe.send({"wish": wish})

    def kill(self) -> None:
        """See `WorkerHandle`."""
        worker_processes.kill_tree(self._process.pid)

    def close(self) -> None:
        """See `WorkerHandle`."""
        self._pipe.close()
        worker_processes.kill_group(self._process.pid)

    def path_here(self, name: str) -> Path:
        """See `WorkerFiles`. Messages of an older worker name absolute paths, which are those of this machine."""
        return self._workspace.path_of(name)

    def fetch_events(self) -> None:
        """Do nothing, since the worker writes into this very data folder."""

    def fetch(self, names: Iterable[str]) -> None:
        """Do nothing, like `fetch_events`."""

    def push(self, names: Iterable[str]) -> None:
        """Do nothing, like `fetch_events`."""

    def fetch_results(self) -> None:
        """Do nothing, like `fetch_events`."""

    def log_tail(self) -> list[str]:
        """See `WorkerHandle`."""
        return worker_processes.tail(self._log)
