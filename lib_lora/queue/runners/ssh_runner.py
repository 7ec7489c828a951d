"""Trains on a machine that is reached over SSH: the run is sent, and what is made of it is brought back as it comes.

A worker there is detached from the connection. This program, this computer and the network may go away and come back:
`SshRunner.start` finds a job there by its key and goes on where it is. Imports nothing heavy.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lib_lora import file_permissions, typed_settings
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import explained, read_json, write_json
from lib_lora.job_host import JobHost
from lib_lora.queue.job_types import TrainArguments, as_plain, place_in
from lib_lora.queue.queue import RESULT, Job, Queue
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.local_runner import LocalRunner
from lib_lora.queue.runners.remote_job import RemoteJob
from lib_lora.queue.running import worker_processes
from lib_lora.queue.running.job_runner import outcome_of_worker
from lib_lora.remote import base_addresses, places, transfers
from lib_lora.remote.connection import Connection
from lib_lora.remote.place_connection import PlaceConnection
from lib_lora.remote.places import LOCAL
from lib_lora.runs import sent_run
from lib_lora.runs.events import EventLog, pace_of
from lib_lora.runs.foreign_events import plain_lines, plain_text
from lib_lora.runs.lent_run import Loan, lend, loan_of, returned, see_that_it_is_here
from lib_lora.runs.reopen import check_base
from lib_lora.runs.run_lock import only_process
from lib_lora.training.plan.run_file import Run, load_run, saved_steps
from lib_lora.workspace.workspace import JobFolder, RunFolder, Workspace

_STOPPED = -15  # the exit status of a worker that was ended from outside
_MOST_EVENTS = 64 << 20  # bytes of events that are taken from one job
_READ = 1 << 20  # bytes that are read at once
_LOG = 1 << 16  # letters of a log
_MAKING = threading.Lock()  # a process that makes a run needs memory, and many jobs may begin at once
ROOM = 30 * 60.0  # seconds for which a finished job waits until this disk takes what it has made
# errors of this computer's disk: what was made stays on the other machine until they are mended
_DISK = ("disk-full", "disk-too-full", "permission-denied", "file-inaccessible")


class SshRunner:
    """See `queue.running.runner_protocol.Runner`.

    Args:
        root: the data folder.
        host: see `LocalRunner`; a run is made here before it is sent.
        connect: makes a connection to a place; for tests.
    """

    def __init__(
        self,
        root: Path,
        host: Callable[[], JobHost],
        connect: Callable[[Path, places.Place], PlaceConnection] = Connection,
    ) -> None:
        self.root = root.absolute()
        self._local = LocalRunner(self.root, host)
        self._connect = connect

    def start(self, job: Job) -> SshWorker:
        """See `Runner.start`. What can go wrong with the place is said by the handle, since it may take long."""
        place = places.named(self.root, place_in(job.arguments))
        if place is None or not isinstance(job.arguments, TrainArguments):
            raise ValueError("a job of this machine")
        worker = self._worker(job, place)
        worker.begin()
        return worker

    def _worker(self, job: Job, place: places.Place) -> SshWorker:
        return SshWorker(self.root, job, self._connect(self.root, place), self._local)

    def end_left_behind(self, job: Job, patience: float, giving_up: Callable[[], bool]) -> None:
        """See `Runner.end_left_behind`: no worker is left behind, each is taken up again."""


@dataclass(frozen=True)
class _Memo:
    """What is remembered of a job on another machine, in its folder here, as long as something of it is there.

    Attributes:
        where: see `places.Place.where`.
        events, run_events: bytes of the events there that are here already.
        step: the last step that was saved before it was sent.
    """

    where: str
    events: int = 0
    run_events: int = 0
    step: int = -1


class SshWorker:
    """See `queue.running.runner_protocol.WorkerHandle`. A thread of its own does everything that takes time.

    Args:
        root: the data folder.
        job: as it was taken.
        there: the connection to its place.
        local: starts the process here that makes a new run.
    """

    outlives = True
    pid = 0

    def __init__(self, root: Path, job: Job, there: PlaceConnection, local: LocalRunner) -> None:
        self.workspace, self.job, self.place = Workspace(root), job, there.place
        self._local, self._queue = local, Queue(root)
        key = remote_job.key_of(self.workspace, job.id)
        self._remote = RemoteJob(self.workspace, key, there, self._files.path / "on its way", self._say)
        self._remote.wish = job.wish  # of who took it back from an earlier program
        self._memo = self._stored_memo()
        self._code: int | None = None
        self._error: UserError | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"sameface-ssh-{job.id}", daemon=True)
        self._log: list[str] = []
        self._known: dict[str, Any] = {}  # files there by name, as they were when they were brought
        self._fetched_at = 0.0
        self._no_room = ""  # when it was said that the disk here takes nothing: "at work", "ended"; empty = it does

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
        self._remote.wish = wish

    def kill(self) -> None:
        """See `WorkerHandle`."""
        self._remote.killed.set()

    def close(self) -> None:
        """See `WorkerHandle`. A worker that has not ended goes on there."""
        if self._code is None:
            self._remote.left.set()
            self._ended.wait(10)
        self._remote.there.close()

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
            UserError: it could not be started, or not be brought back.
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

    @property
    def _asked(self) -> TrainArguments:
        assert isinstance(self.job.arguments, TrainArguments)
        return self.job.arguments

    def _move_to(self, there: PlaceConnection) -> None:
        """Do it on another place than was known at first."""
        self._remote.there, self.place = there, there.place
        self._memo = self._stored_memo()

    def _work(self) -> None:
        code: int | None = 1
        try:
            code = self._done()
        except StoppedByUser:
            code = None if self._remote.left.is_set() else _STOPPED
        except Exception as error:
            self._error = remote_job.explained_failure(error, self.place)
        finally:
            self._remote.tidy()
            self._code = code
            self._ended.set()

    def _done(self) -> int | None:
        """Do the job, from wherever it is; the worker's exit status. None = this program ends before it."""
        if self._memo.where not in ("", self.place.where()):
            raise UserError(
                f"The job is on {self._memo.where}, but {self.place.name} now names another machine or folder; change "
                "it back, then resume the job.",
                code="place-changed",
                place=self.place.name,
            )
        run = self._run()
        with only_process(run.folder, patience=5.0):
            loan = loan_of(run.folder)
            if loan and loan.key != self._remote.key:
                see_that_it_is_here(run.folder)
            if not self._remote.ask("state", job=self._remote.key).get("began"):
                self._begin_there(run)
            code = self._remote.follow(lambda: self._bring(run))
            if code is None:
                return None
            self._say(f"Fetching results from {self.place.name}")
            self._bring_all(run)
            self._erase(run)
            return code

    def _begin_there(self, run: Run) -> None:
        """Send the run, and start its worker; where that fails, nothing stays there."""
        try:
            self._send(run)
        except BaseException:
            with suppress(UserError, StoppedByUser):
                if not self._remote.there.ask("state", job=self._remote.key).get("began"):
                    self._remote.there.ask("erase", job=self._remote.key)
                    self._forget(run)
            raise

    def _erase(self, run: Run) -> None:
        """Delete the job there, and look; all that was made is here by now."""
        try:
            files = ", ".join(self._remote.erase()[:3])[:300]
            text = f"On {self.place.address()} these files could not be deleted: {files}." if files else ""
        except UserError as error:
            text = f"The files of the job on {self.place.address()} could not be deleted: {error}"
        if text:
            EventLog(self._files.events)("warning", code="remote-not-erased", text=text)
        self._forget(run)

    def _forget(self, run: Run) -> None:
        """Note that nothing of the job is there any more."""
        self._memo = _Memo("")
        self._files.remote.unlink(missing_ok=True)
        returned(run.folder)

    def _run(self) -> Run:
        """The run that is trained; a new one is made here first."""
        identifier = self._asked.run or self._queue.get(self.job.id).run or self._made()
        run = load_run(self.workspace.character_at(self.job.slug).run(identifier).path)
        if self._asked.base and self._asked.run:
            run = replace(run, file=replace(run.file, base=replace(run.file.base, path=self._asked.base)))
        return run

    def _made(self) -> str:
        """Make the run in a process of its own, since that loads what must not be loaded here; one at a time."""
        while not _MAKING.acquire(timeout=0.2):
            self._remote.check_stop()
        try:
            return self._made_now()
        finally:
            _MAKING.release()

    def _made_now(self) -> str:
        worker = self._local.start(self.job, ["--prepare"])
        try:
            while worker.poll() is None:
                if self._remote.stopping():
                    worker.stop(self._remote.wish or "stop")
                if self._remote.killed.is_set():
                    worker.kill()
                worker.receive(0.2)
        finally:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            worker.close()
        self._remote.check_stop()
        made = self._queue.get(self.job.id).run
        if not made:
            failed = outcome_of_worker(self._files.path)
            if failed and failed.error and (code := failed.code):
                raise UserError(failed.error, code=code)
            said = failed.error if failed else ""
            raise UserError(said or "The run could not be made; the job's log says why.", code="run-not-made")
        return made

    def _send(self, run: Run) -> None:
        """Bring all that the worker needs, and start it."""
        check_base(run)
        self._remember(_Memo(self.place.where()))  # from here on something of the job may be there
        version = self._remote.install()
        base = Path(run.file.base.path)
        name = remote_job.plain_name(base.name)
        sha256, root = run.file.base.sha256, self.workspace.root
        if self._asked.base_address:
            base_addresses.note(root, sha256, self._asked.base_address)
        model = replace(transfers.sent(base, sha256), address=base_addresses.known(root, sha256))
        there = self._remote.share({name: model})
        files = self._staged(run, there[name])
        data = self._remote.send(files)
        events = files[self._name_there(run, run.events.name)].size
        states = [int(path.stem) for path in run.states.glob("*.pt") if path.stem.isdecimal()]
        step = max([*saved_steps(run), *states], default=-1)
        self._remember(_Memo(self.place.where(), 0, events, step))
        lend(run.folder, Loan(self.place.name, self.place.where(), self._remote.key, self.job.id, step))
        self._remote.start(version, ["worker", str(self.job.id), "--data", data])
        self._remote.tidy()

    def _staged(self, run: Run, base: str) -> dict[str, transfers.Sent]:
        """The files of the data folder there, by their names in it."""
        self._remote.tidy()
        data = Workspace(self._remote.folder)
        with explained(data.root):
            file_permissions.make_folder(data.root)
        sent_run.stage(run, data.root, base)
        plain = TrainArguments(run=run.file.id, steps=self._asked.steps, few=True, then_test=False, on=LOCAL)
        Queue(data.root).accept(replace(self.job, arguments=plain, run=run.file.id), as_plain(plain), {})
        found = {}
        for path in sorted(data.root.rglob("*")):
            if path.is_file() and not path.name.endswith((".tmp", "-shm", "-wal")):
                found[data.name_of(path)] = transfers.sent(path)
        for path in sent_run.needed_files(run):
            found[self._name_there(run, path.relative_to(run.folder).as_posix())] = transfers.sent(path)
        return found

    def _name_there(self, run: Run, name: str) -> str:
        return f"characters/{self.job.slug}/runs/{run.file.id}/{name}"

    # ------------------------------------------------------------------------------------------------- what comes back

    def _bring(self, run: Run) -> None:
        """What is new: events each time, files now and then. Where the disk here is full, they stay there until it has
        room."""
        try:
            self._bring_events(run)
            if time.monotonic() - self._fetched_at > remote_job.FILES:
                self._bring_files(run)
                self._fetched_at = time.monotonic()
        except UserError as error:
            if error.code not in _DISK:
                raise
            self._tell_no_room("at work", f"{error} The results stay on {self.place.name} until then.")
            self._wait_for_room()
        else:
            self._no_room = ""

    def _bring_events(self, run: Run) -> None:
        mine = self._appended(self._files.events, f"jobs/{self.job.id}/events.jsonl", self._memo.events)
        self._remember(replace(self._memo, events=mine))
        theirs = self._appended(run.events, self._name_there(run, run.events.name), self._memo.run_events)
        self._remember(replace(self._memo, run_events=theirs))

    def _appended(self, path: Path, name: str, offset: int) -> int:
        """Append what is new of a file of events there to one here; the place to go on from."""
        while offset < _MOST_EVENTS:
            content = self._remote.read(name, offset)
            whole = content[: content.rfind(b"\n") + 1]
            if not whole and len(content) < _READ:
                break
            whole = whole or content  # a line that is longer than any event
            plain = plain_lines(whole)
            pace = pace_of([json.loads(line) for line in plain.splitlines()], self._remote.pace)
            self._remote.pace = pace
            with explained(path), open(path, "ab", opener=file_permissions.opener) as stream:
                stream.write(plain.encode("utf-8", "replace"))
            offset += len(whole)
        return offset

    def _bring_files(self, run: Run, givable_up: bool = True) -> None:
        """The checkpoints, states and samples that are new."""
        made = self._made_there(run)
        wanted = {name: run.folder / name for name, mark in made.items() if self._known.get(name) != mark}
        before = self._name_there(run, "")
        come = self._remote.fetch({f"{before}{name}": path for name, path in wanted.items()}, givable_up)
        self._known |= {name: made[name] for name in wanted if f"{before}{name}" in come}

    def _made_there(self, run: Run) -> dict[str, Any]:
        """The files of the run there that may come back, by their names in its folder."""
        made, before = self._remote.there.ask("made", job=self._remote.key), self._name_there(run, "")
        names = {name[len(before) :]: mark for name, mark in made.items() if name.startswith(before)}
        return {name: mark for name, mark in names.items() if sent_run.comes_home(run, name, mark, self._memo.step)}

    def _bring_all(self, run: Run) -> None:
        """Everything, once the worker has ended. Where the disk here does not take it, it is the only copy: it stays
        there, and is awaited.

        Raises:
            UserError: the disk here has not taken it for long, or the user wants the job to end.
        """
        until = time.monotonic() + ROOM
        while True:
            try:
                self._remote.reach(lambda: self._bring_rest(run), waiting=True)
                return
            except UserError as error:
                if error.code not in _DISK:
                    raise
                if self._remote.left.is_set():
                    raise StoppedByUser(
                        "This program ends; the results stay there.", code="results-left-there"
                    ) from None
                if time.monotonic() > until or self._remote.stopping():
                    raise self._left_there(error) from error
                self._tell_no_room("ended", f"{error} {self._kept_for()}")
                self._wait_for_room()

    def _left_there(self, error: UserError) -> UserError:
        """What is said where a job ends without all that it has made."""
        return UserError(
            f"{error} What was made stays on {self.place.name}; resume the job to fetch it.",
            code="remote-not-fetched",
            place=self.place.name,
        )

    def _kept_for(self) -> str:
        """What is said while waiting for room."""
        return f"What was made stays on {self.place.name} until then; it is tried again for {ROOM / 60:.0f} minutes."

    def _tell_no_room(self, when: str, text: str) -> None:
        """Say it once for each time that the disk fills up."""
        if self._no_room != when:
            self._no_room = when
            with suppress(UserError):
                EventLog(self._files.events)("warning", code="no-room-here", text=text)

    def _wait_for_room(self) -> None:
        until = time.monotonic() + remote_job.AGAIN
        while time.monotonic() < until and not self._remote.stopping():
            self._remote.pause(0.2)

    def _bring_rest(self, run: Run) -> None:
        """Everything that is not here yet, the run's file and the result last."""
        self._bring_events(run)
        self._bring_files(run, givable_up=False)
        states = {run.folder / name for name in self._made_there(run) if name.startswith("state/")}
        if states and all(path.is_file() for path in states):  # older ones went there when newer ones were saved
            for path in set(run.states.glob("*.pt")) - states:
                if path.name < min(one.name for one in states):
                    path.unlink(missing_ok=True)
        come = self._remote.folder / "run"
        self._remote.fetch({self._name_there(run, RunFolder.FILE): come / RunFolder.FILE}, givable_up=False)
        if (come / RunFolder.FILE).is_file():
            sent_run.take_over(load_run(run.folder), come)
        log = plain_text(self._remote.read("").decode("utf-8", "replace"), _LOG)
        self._log = [line for line in log.splitlines() if line.strip()][-40:]
        with explained(self._files.log), open(self._files.log, "ab", opener=file_permissions.opener) as stream:
            stream.write(log.encode("utf-8", "replace"))
        self._take_result(run, self._remote.read(f"jobs/{self.job.id}/{RESULT}"))

    def _take_result(self, run: Run, content: bytes) -> None:
        if not content:
            return
        said = json.loads(content)
        state, result = said.get("state"), said.get("result")
        if state in ("stopped", "paused") and not self._remote.wish:
            return  # nobody wanted it: who stays with the worker there was killed
        lora = next((path.name for path in run.checkpoints.glob("*") if path.name == (result or {}).get("lora")), None)
        if state == "finished" and lora is None:
            raise UserError(
                f"The finished LoRA has not arrived from {self.place.name}; resume the job to fetch it.",
                code="remote-lora-missing",
                place=self.place.name,
            )
        error, code = (plain_text(str(said.get(name) or "")) for name in ("error", "code"))
        steps = saved_steps(run)
        came_of = {"run": run.file.id, "lora": lora, "steps": steps[-1] if steps else 0}
        write_json(self._files.result, {"state": state, "error": error, "code": code, "result": came_of})
        EventLog(self._files.events)("state", state=str(state)[:40], text=error, **({"code": code} if code else {}))

    # ------------------------------------------------------------------------------------------------------ plain help

    def _say(self, text: str) -> None:
        with suppress(UserError):
            EventLog(self._files.events)("progress", done=0, total=0, text=text)

    def _stored_memo(self) -> _Memo:
        path = self._files.remote
        return typed_settings.from_dict(_Memo, read_json(path), str(path)) if path.is_file() else _Memo("")

    def _remember(self, memo: _Memo) -> None:
        if memo != self._memo:
            self._memo = memo
            write_json(self._files.remote, vars(memo))
