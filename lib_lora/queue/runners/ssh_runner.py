"""Workers on a machine that is reached over SSH: what they need is sent, what they make is brought home as it comes.

A worker there is detached from the connection. This program, this computer and the network may go away and come back:
`SshRunner.start` finds a job there by its key and goes on where it is. Imports nothing heavy.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lib_lora import file_permissions
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import explained, read_json, size, write_json, write_text
from lib_lora.job_host import JobHost
from lib_lora.queue import worker_processes
from lib_lora.queue.job_types import LOCAL, TrainArguments, as_plain, place_in
from lib_lora.queue.queue import RESULT, Job, Queue
from lib_lora.queue.runners.local_runner import LocalRunner
from lib_lora.remote import connection, installation, places, transfers
from lib_lora.remote.connection import Connection, Unreachable
from lib_lora.runs import sent_run
from lib_lora.runs.events import EventLog
from lib_lora.runs.reopen import check_base
from lib_lora.runs.run_lock import only_process
from lib_lora.training.plan.run_file import Run, load_run
from lib_lora.workspace.workspace import JobFolder, RunFolder, Workspace

_LOOK = 1.0  # seconds between two looks at a worker
_FILES = 3.0  # seconds between two looks at what it has made
_AGAIN = 20.0  # seconds at most between two tries to reach it
_PATIENCE = 120.0  # seconds for which a place that cannot be reached is tried before a worker is at work there
_SAVES = 180.0  # seconds in which a worker saves once it was asked to end; longer where its steps are
_STOPPED = -15  # the exit status of one that was ended from outside
_MOST_EVENTS = 64 << 20  # bytes of events that are taken from one job
_TEMPORARY = "sending"  # in the job's folder, while things are sent
_COMING = "coming"  # in the job's folder: files on their way home


class SshRunner:
    """See `queue.runner_protocol.Runner`.

    Args:
        root: the data folder.
        host: see `LocalRunner`; a run is made here before it is sent.
        connect: makes a connection to a place; for tests.
    """

    def __init__(
        self,
        root: Path,
        host: Callable[[], JobHost],
        connect: Callable[[Path, places.Place], Connection] = Connection,
    ) -> None:
        self.root = root.absolute()
        self._local = LocalRunner(self.root, host)
        self._connect = connect

    def start(self, job: Job) -> SshWorker:
        """See `Runner.start`. What can go wrong with the place is said by the handle, since it may take long."""
        place = places.named(self.root, place_in(job.arguments))
        if place is None:
            raise ValueError("a job of this machine")
        if not isinstance(job.arguments, TrainArguments):
            raise UserError("Only a training can be done on another machine.", code="job-not-remote", job=job.id)
        worker = SshWorker(self.root, job, self._connect(self.root, place), self._local)
        worker.begin()
        return worker

    def end_left_behind(self, job: Job, patience: float, giving_up: Callable[[], bool]) -> None:
        """See `Runner.end_left_behind`: no worker is left behind, each is taken up again."""


@dataclass(frozen=True)
class _Memo:
    """What is remembered of a job on another machine, in its folder here.

    Attributes:
        place: its name.
        version: the wheel that the worker runs.
        events, run_events: bytes of the events there that are here already.
    """

    place: str
    version: str = ""
    events: int = 0
    run_events: int = 0


class SshWorker:
    """See `queue.runner_protocol.WorkerHandle`. A thread of its own does everything that takes time.

    Args:
        root: the data folder.
        job: as it was taken.
        there: the connection to its place.
        local: starts the process here that makes a new run.
    """

    outlives = True
    pid = 0

    def __init__(self, root: Path, job: Job, there: Connection, local: LocalRunner) -> None:
        self.workspace, self.job, self.there = Workspace(root), job, there
        self.place = there.place
        self._local = local
        self._queue = Queue(root)
        self._code: int | None = None
        self._error: UserError | None = None
        self._wish = ""
        self._killed = threading.Event()
        self._left = threading.Event()  # this program ends, and the worker goes on
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"sameface-ssh-{job.id}", daemon=True)
        self._memo = self._remembered()
        self.key = f"{_home(self.workspace)}-{job.id}"
        self._log: list[str] = []

    # ------------------------------------------------------------------------------------------------- the interface

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def poll(self) -> int | None:
        """See `WorkerHandle`."""
        return self._code

    def wait(self) -> int:
        """See `WorkerHandle`."""
        self._ended.wait()
        return self._code if self._code is not None else 1

    def send(self, message: dict[str, Any]) -> None:
        """See `WorkerHandle`. Nobody there asks anything."""

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """See `WorkerHandle`."""
        self._ended.wait(timeout)
        return None

    def stop(self, wish: str) -> None:
        """See `WorkerHandle`."""
        self._wish = wish

    def kill(self) -> None:
        """See `WorkerHandle`."""
        self._killed.set()

    def close(self) -> None:
        """See `WorkerHandle`. A worker that has not ended goes on there."""
        if self._code is None:
            self._left.set()
            self._ended.wait(10)
        self.there.close()

    def path_here(self, name: str) -> Path:
        """See `WorkerFiles`."""
        return self.workspace.path_of(name)

    def fetch_events(self) -> None:
        """See `WorkerHandle`. They are brought as they come."""

    def fetch(self, names: Iterable[str]) -> None:
        """See `WorkerFiles`. All that it makes is brought as it comes."""

    def push(self, names: Iterable[str]) -> None:
        """See `WorkerFiles`. It was given all that it needs."""

    def fetch_results(self) -> None:
        """See `WorkerHandle`.

        Raises:
            UserError: it could not be started, or not be brought home.
        """
        if self._error:
            raise self._error

    def log_tail(self) -> list[str]:
        """See `WorkerHandle`."""
        return self._log or worker_processes.tail(self._files.log)

    # -------------------------------------------------------------------------------------------------- the whole way

    @property
    def _files(self) -> JobFolder:
        return self.workspace.job(self.job.id)

    def _work(self) -> None:
        code = 1
        try:
            code = self._done()
        except StoppedByUser:
            code = _STOPPED
        except UserError as error:
            self._error = error
        except Exception as error:  # of what came from elsewhere anything may be wrong
            said = " ".join(str(error).split())[:300]
            self._error = UserError(
                f"The job on {self.place.name} could not be followed ({type(error).__name__}: {said}); resume it to go "
                "on from what is there.",
                code="remote-failed",
                place=self.place.name,
            )
        finally:
            for name in (_TEMPORARY, _COMING):
                with suppress(OSError):
                    shutil.rmtree(self._files.path / name)
            if not self._left.is_set():
                self._code = code
            self._ended.set()

    def _done(self) -> int:
        """Do the job, from wherever it is; the worker's exit status."""
        run = self._run()
        with only_process(run.folder, patience=5.0):
            state = self._reach(lambda: self.there.ask("state", job=self.key))
            if not state.get("began"):
                self._send(run)
            return self._follow(run)

    def _run(self) -> Run:
        """The run that is trained; a new one is made here first."""
        asked = self.job.arguments
        assert isinstance(asked, TrainArguments)
        identifier = asked.run or self._queue.get(self.job.id).run
        if not identifier:
            identifier = self._made()
        folder = self.workspace.character_at(self.job.slug).run(identifier)
        run = load_run(folder.path)
        if asked.base and asked.run:
            run = replace(run, file=replace(run.file, base=replace(run.file.base, path=asked.base)))
        return run

    def _made(self) -> str:
        """Make the run in a process of its own, since that loads what must not be loaded here."""
        worker = self._local.start(self.job, ["--prepare"])
        try:
            while worker.poll() is None:
                if self._stopping():
                    worker.stop(self._wish or "stop")
                if self._killed.is_set():
                    worker.kill()
                worker.receive(0.2)
        finally:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            worker.close()
        made = self._queue.get(self.job.id).run
        if self._stopping():
            raise StoppedByUser("Stopped before anything was sent.")
        if not made:
            said = _failure(self._files.path / RESULT)
            raise UserError(said or "The run could not be made; the job's log says why.", code="run-not-made")
        return made

    # ------------------------------------------------------------------------------------------- on the way there

    def _send(self, run: Run) -> None:
        """Bring all that the worker needs, and start it."""
        check_base(run)
        machine = self._reach(lambda: connection.probe(self.there))
        places.checked(self.workspace.root, self.place, machine)
        wheel = installation.built(self.workspace.root)
        self._reach(lambda: installation.install(self.there, wheel, self._say, self._stopping))
        base = Path(run.file.base.path)
        base_sent = transfers.sent(base, run.file.base.sha256)
        self._reach(
            lambda: transfers.send(
                self.there,
                [base_sent],
                None,
                self._percent(f"Sending the base model to {self.place.name}"),
                self._stopping,
            )
        )
        shared = {_plain_name(base.name): base_sent.sha256}
        laid = self._reach(lambda: self.there.ask("arrange", job=self.key, files={}, shared=shared))
        staged = self._staged(run, str(laid["shared"][_plain_name(base.name)]))
        self._reach(
            lambda: transfers.send(
                self.there,
                staged.values(),
                self.key,
                self._percent(f"Sending photos and settings to {self.place.name}"),
                self._stopping,
            )
        )
        files = {name: one.sha256 for name, one in staged.items()}
        laid = self._reach(lambda: self.there.ask("arrange", job=self.key, files=files, shared=shared))
        run_events = staged[self._name_there(run, "events.jsonl")].size
        self._remember(_Memo(self.place.name, wheel.sha256, 0, run_events))
        self._check_stop()
        words = ["worker", str(self.job.id), "--data", str(laid["data"])]
        self._reach(lambda: self.there.ask("start", job=self.key, version=wheel.sha256, arguments=words))
        shutil.rmtree(self._files.path / _TEMPORARY, ignore_errors=True)

    def _staged(self, run: Run, base: str) -> dict[str, transfers.Sent]:
        """The files of the data folder there, by their names in it."""
        folder = self._files.path / _TEMPORARY
        shutil.rmtree(folder, ignore_errors=True)
        with explained(folder):
            file_permissions.make_folder(folder)
        data = Workspace(folder)
        sent_run.stage(run, folder, base)
        asked = self.job.arguments
        assert isinstance(asked, TrainArguments)
        plain = replace(
            asked, run=run.file.id, base=None, preset=None, settings={}, on=LOCAL, then_test=False, few=True
        )
        job = replace(self.job, arguments=plain, run=run.file.id)
        Queue(folder).accept(job, as_plain(plain), {})
        found = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.endswith((".tmp", "-shm", "-wal")):
                found[data.name_of(path)] = transfers.sent(path)
        for path in sent_run.needed_files(run):
            found[self._name_there(run, path.relative_to(run.folder).as_posix())] = transfers.sent(path)
        return found

    def _name_there(self, run: Run, name: str) -> str:
        return f"characters/{self.job.slug}/runs/{run.file.id}/{name}"

    def _percent(self, text: str) -> transfers.Progress:
        def say(done: int, total: int) -> None:
            if total:
                self._say(f"{text}: {size(done)} of {size(total)}")

        return say

    # ------------------------------------------------------------------------------------------------- while it works

    def _follow(self, run: Run) -> int:
        """Bring home what the worker says and makes until it has ended, and delete what is there of it."""
        told, deadline, looked = "", 0.0, 0.0
        known: dict[str, Any] = {}
        while True:
            state = self._reach(lambda: self.there.ask("state", job=self.key), waiting=True)
            self._reach(lambda: self._bring_events(run), waiting=True)
            if time.monotonic() - looked > _FILES:
                known = self._reach(partial(self._bring_files, run, known), waiting=True)
                looked = time.monotonic()
            if not state.get("running"):
                break
            if self._left.is_set():
                return 0
            if self._wish and told != self._wish:
                told, deadline = self._wish, time.monotonic() + _SAVES
                self._reach(partial(self.there.ask, "wish", job=self.key, wish=told), waiting=True)
            if self._killed.is_set() or (deadline and time.monotonic() > deadline):
                self._reach(lambda: self.there.ask("kill", job=self.key))
            self._pause(_LOOK)
        self._say(f"Bringing home what was made on {self.place.name}")
        self._reach(lambda: self._bring_rest(run, known), waiting=True)
        self._reach(self._erase, waiting=True)
        code = state.get("exit")
        return code if isinstance(code, int) else -9

    def _bring_events(self, run: Run) -> None:
        job_events = f"jobs/{self.job.id}/events.jsonl"
        memo = self._memo
        mine = self._appended(self._files.events, job_events, memo.events)
        self._remember(replace(self._memo, events=mine))
        theirs = self._appended(run.events, self._name_there(run, "events.jsonl"), memo.run_events)
        self._remember(replace(self._memo, run_events=theirs))

    def _appended(self, path: Path, name: str, offset: int) -> int:
        """Append what is new of a file of events there to one here; the place to go on from."""
        while offset < _MOST_EVENTS:
            _, content = self.there.ask_bytes("read", job=self.key, name=name, offset=offset)
            whole = content[: content.rfind(b"\n") + 1]
            if not whole:
                break
            with explained(path), open(path, "ab", opener=file_permissions.opener) as stream:
                stream.write(whole)
            offset += len(whole)
        return offset

    def _bring_files(self, run: Run, known: dict[str, Any]) -> dict[str, Any]:
        """Bring what is new in the run's folder; what was found there, by which the next look knows it again."""
        made = self.there.ask("made", job=self.key)
        if not isinstance(made, dict):
            return known
        before = self._name_there(run, "")
        wanted = {
            name: run.folder / name[len(before) :]
            for name, mark in made.items()
            if name.startswith(before) and sent_run.comes_home(run, name[len(before) :]) and known.get(name) != mark
        }
        if wanted:
            coming = self._files.path / _COMING
            transfers.fetch(
                self.there, self.key, wanted, coming, stop=lambda: self._killed.is_set() or self._left.is_set()
            )
        return made

    def _bring_rest(self, run: Run, known: dict[str, Any]) -> None:
        """Everything that is not here yet, the run's file and the result last."""
        self._bring_events(run)
        made = self._bring_files(run, known)
        states = {name.rpartition("/")[2] for name in made if name.startswith(self._name_there(run, "state/"))}
        if states:  # older ones were deleted there when newer ones were saved
            for path in run.states.glob("*.pt"):
                if path.name not in states:
                    path.unlink(missing_ok=True)
        come = self._files.path / _COMING / "run"
        transfers.fetch(
            self.there, self.key, {self._name_there(run, RunFolder.FILE): come / RunFolder.FILE}, come.parent
        )
        if (come / RunFolder.FILE).is_file():
            sent_run.take_over(load_run(run.folder), come)
        _, log = self.there.ask_bytes("read", job=self.key, name="", offset=0)
        self._log = [line for line in log.decode("utf-8", "replace").splitlines() if line.strip()][-40:]
        with explained(self._files.log), open(self._files.log, "ab", opener=file_permissions.opener) as stream:
            stream.write(log)
        result = f"jobs/{self.job.id}/{RESULT}"
        _, content = self.there.ask_bytes("read", job=self.key, name=result, offset=0)
        if not content:
            return
        said = json.loads(content)
        lora = said.get("result", {}).get("lora")
        if said.get("state") == "finished" and not (run.checkpoints / str(lora)).is_file():
            raise UserError(
                f"The finished LoRA did not come home from {self.place.name}; resume the job to fetch it.",
                code="remote-lora-missing",
                place=self.place.name,
            )
        write_json(self._files.path / RESULT, said)
        EventLog(self._files.events)("state", state=str(said.get("state")), text=str(said.get("error", "")))

    def _erase(self) -> None:
        """Delete the job there, and look whether it is gone."""
        left = self.there.ask("erase", job=self.key)["left"]
        if left:
            text = f"On {self.place.address()} these files could not be deleted: {', '.join(map(str, left[:3]))[:300]}."
            EventLog(self._files.events)("warning", code="remote-not-erased", text=text)

    # ------------------------------------------------------------------------------------------------------ plain help

    def _stopping(self) -> bool:
        return bool(self._wish) or self._killed.is_set() or self._left.is_set()

    def _check_stop(self) -> None:
        if self._stopping():
            raise StoppedByUser("Stopped.")

    def _reach(self, ask: Callable[[], Any], waiting: bool = False) -> Any:
        """What `ask` gives; while the place cannot be reached it is tried again.

        Args:
            ask: asks the place.
            waiting: the worker is at work there, so it is waited for without end. Otherwise for a few minutes.
        """
        began, pause, said = time.monotonic(), 1.0, False
        while True:
            try:
                found = ask()
            except Unreachable as error:
                if not waiting and time.monotonic() - began > _PATIENCE:
                    raise
                if self._killed.is_set() or (not waiting and self._stopping()):
                    raise
                if self._left.is_set():
                    raise StoppedByUser("This program ends; the worker goes on.") from error
                if not said:
                    said = True
                    goes_on = " What runs there goes on." if waiting else ""
                    self._say(f"{self.place.name} cannot be reached; trying again.{goes_on}")
                self._pause(pause)
                pause = min(pause * 2, _AGAIN)
                continue
            if said:
                self._say(f"{self.place.name} is reached again.")
            return found

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not (self._killed.is_set() or self._left.is_set()):
            time.sleep(0.05)

    def _say(self, text: str) -> None:
        with suppress(UserError):
            EventLog(self._files.events)("progress", done=0, total=0, text=text)

    def _remembered(self) -> _Memo:
        path = self._files.path / "remote.json"
        try:
            stored = read_json(path) if path.is_file() else {}
            memo = _Memo(**stored)
        except (UserError, TypeError):
            return _Memo(self.place.name)
        return memo if memo.place == self.place.name else _Memo(self.place.name)

    def _remember(self, memo: _Memo) -> None:
        if memo != self._memo:
            self._memo = memo
            write_json(self._files.path / "remote.json", vars(memo))


def _home(workspace: Workspace) -> str:
    """A short name of this data folder that no other one has, by which its jobs are known elsewhere.

    Raises:
        UserError: it cannot be written.
    """
    path = workspace.remote / "home.txt"
    if path.is_file():
        with explained(path, "read"):
            known = path.read_text(encoding="ascii", errors="replace").strip()
        if len(known) == 12 and known.isalnum():
            return known
    name = uuid.uuid4().hex[:12]
    write_text(path, name)
    return name


def _plain_name(name: str) -> str:
    """The name of a checkpoint's file, as LoRA files state it, without what no file system there has."""
    kept = "".join(letter for letter in name if letter.isprintable() and letter not in "/\\")
    return kept[:200] or "base.safetensors"


def _failure(result: Path) -> str:
    with suppress(UserError):
        stored = read_json(result) if result.is_file() else {}
        return str(stored.get("error", "")) if isinstance(stored, dict) else ""
    return ""
