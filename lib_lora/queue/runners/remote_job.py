"""Does what every job on another machine needs, from installing SameFace there to deleting the job's files.

Knows nothing of what is sent and brought back; `ssh_runner` (a training) and `place_painter` (pictures) say that.
Imports nothing heavy.
"""

from __future__ import annotations

import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import explained, size, write_text
from lib_lora.queue.running import worker_processes
from lib_lora.queue.running.worker_pipe import patient
from lib_lora.remote import connection, installation, places, transfers
from lib_lora.remote.connection import Unreachable
from lib_lora.remote.place_connection import PlaceConnection
from lib_lora.runs.foreign_events import plain_text
from lib_lora.workspace.workspace import Workspace

POLL = 1.0  # seconds between two checks at a worker
FILES = 3.0  # seconds between two checks at what it has made
AGAIN = 20.0  # seconds at most between two tries to reach it
PATIENCE = 120.0  # seconds for which a place that cannot be reached is tried before a worker is at work there
SAVES = 180.0  # seconds in which a worker saves once it was asked to end; longer where its steps are
_KILLS = 5  # tries to end a worker
_OWNER = "owner.txt"  # in the folder of a job that ends with its process
_FIRST = threading.Lock()
_SENDING: dict[tuple[str, str], threading.Lock] = {}  # which model is on its way to which machine
_GOES_ON = "The work there continues; resume the job to follow it again."


@dataclass
class RemoteJob:
    """A job on a place.

    Attributes:
        workspace: the data folder here.
        key: of the job there (`key_of`).
        there: the connection to the place.
        folder: for files on their way, here; it is deleted at the end.
        say: is told what goes on, for the user.
        gone: raises what is to be raised where the place cannot be reached because it no longer exists.
        asked: says, beside `wish`, whether what has not started there yet should not start.
        pace: seconds for a step of the worker, by which it is given time to save (`patient`); 0 = not known.
        wish: what the user wants of the job: "", "stop" or "pause".
        killed: set where it should end at once.
        left: set where this program ends, and the worker goes on.
    """

    workspace: Workspace
    key: str
    there: PlaceConnection
    folder: Path
    say: Callable[[str], None]
    gone: Callable[[], None] = lambda: None
    asked: Callable[[], bool] = lambda: False
    pace: float = 0.0
    wish: str = ""
    killed: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    @property
    def place(self) -> places.Place:
        """Where it is done."""
        return self.there.place

    def ask(self, what: str, waiting: bool = False, **fields: Any) -> Any:
        """What the place answers; see `reach`."""
        return self.reach(partial(self.there.ask, what, **fields), waiting)

    def reach(self, ask: Callable[[], Any], waiting: bool = False) -> Any:
        """What `ask` gives; while the place cannot be reached it is tried again.

        Args:
            ask: asks the place.
            waiting: the worker is at work there, so the wait is unlimited, until the user wants something of it.
                Otherwise, and from then on, for `PATIENCE` seconds.

        Raises:
            UserError: it cannot be reached, or refuses.
            StoppedByUser: it was given up.
        """
        began, pause, said = time.monotonic(), 1.0, False
        while True:
            try:
                found = ask()
            except Unreachable as error:
                if self.left.is_set():
                    raise StoppedByUser("This program ends; the worker continues.", code="job-left-running") from None
                asked = time.monotonic()
                self.gone()
                began += time.monotonic() - asked  # however long somebody else takes to say whether it is gone
                if waiting and not self.wish:
                    began = time.monotonic()
                late = time.monotonic() - began > PATIENCE
                if waiting and (late or self.killed.is_set()):
                    raise UserError(f"{error} {_GOES_ON}", code="remote-left-behind", place=self.place.name) from error
                if not waiting and (late or self.stopping()):
                    raise
                if not said:
                    said = True
                    goes_on = " The work there continues." if waiting else ""
                    self.say(f"{self.place.name} cannot be reached; trying again.{goes_on}")
                self.pause(pause)
                pause = min(pause * 2, AGAIN)
                continue
            if said:
                self.say(f"{self.place.name} is reached again.")
            return found

    def stopping(self) -> bool:
        """Whether what has not started there yet should not start."""
        return bool(self.wish) or self.killed.is_set() or self.left.is_set() or self.asked()

    def check_stop(self) -> None:
        """
        Raises:
            StoppedByUser: it should not start.
        """
        if self.stopping():
            raise StoppedByUser("Stopped.", code="job-stopped")

    def pause(self, seconds: float) -> None:
        """Wait, less where it should end at once."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not (self.killed.is_set() or self.left.is_set()):
            time.sleep(0.05)

    # ------------------------------------------------------------------------------------------------ on the way there

    def install(self) -> str:
        """See that SameFace is there; by which name the place knows this version of it."""
        if self.place.ray is None:  # in a cluster a look waits for room as a job does
            machine = self.reach(lambda: connection.probe(self.there))
            places.checked(self.workspace.root, self.place, machine)
        wheel = installation.built(self.workspace.root)
        self.reach(lambda: installation.install(self.there, wheel, self.say, self.stopping))
        return wheel.sha256

    def share(self, models: Mapping[str, transfers.Sent]) -> dict[str, str]:
        """See that models are there, which stay for the next job; the path of each, by the name of its file."""
        for name, model in models.items():
            said = self._progress(f"Sending {name} to {self.place.name}")
            with self._sending(model):
                if model.address and self._downloaded(name, model):
                    continue
                self.reach(partial(transfers.send, self.there, [model], None, said, self.stopping))
        hashes = {name: model.sha256 for name, model in models.items()}
        laid = self.ask("arrange", job=self.key, files={}, shared=hashes)
        return {name: str(laid["shared"][name]) for name in models}

    def _downloaded(self, name: str, model: transfers.Sent) -> bool:
        """Let the place fetch a model from its address; whether it did. What it cannot fetch has to be sent."""
        said = self._progress(f"{self.place.name} fetches {name} from {model.address.split('?')[0]}")
        try:
            while True:
                answer = self.ask("download", sha256=model.sha256, size=model.size, address=model.address)
                state, have = answer.get("state"), answer.get("have")
                if state == "done":
                    return True
                if state != "running":
                    why = plain_text(str(answer.get("said", "")), 300)
                    self.say(f"{self.place.name} cannot fetch {name} ({why}); it is sent instead.")
                    return False
                said(have if isinstance(have, int) else 0, model.size)
                self.pause(POLL)
                self.check_stop()
        except StoppedByUser:
            with suppress(UserError):
                self.there.ask("end_download", sha256=model.sha256)
            raise
        except UserError as error:
            if error.code != "remote-refused":
                raise
            return False  # a kind of machine that fetches nothing

    @contextmanager
    def _sending(self, model: transfers.Sent) -> Iterator[None]:
        """Send a model once where several jobs need it on one machine."""
        with _FIRST:
            lock = _SENDING.setdefault((self.place.where(), model.sha256), threading.Lock())
        while not lock.acquire(timeout=0.2):
            self.check_stop()
        try:
            yield
        finally:
            lock.release()

    def send(self, files: Mapping[str, transfers.Sent]) -> str:
        """Send the job's own files, by their names in its data folder; the path of that folder there."""
        said = self._progress(f"Sending what the job needs to {self.place.name}")
        self.reach(partial(transfers.send, self.there, files.values(), self.key, said, self.stopping))
        hashes = {name: one.sha256 for name, one in files.items()}
        return str(self.ask("arrange", job=self.key, files=hashes, shared={})["data"])

    def start(self, version: str, arguments: Sequence[str]) -> None:
        """Start the worker there, unless it runs.

        Raises:
            StoppedByUser: it should not start.
        """
        self.check_stop()
        self.ask("start", job=self.key, version=version, arguments=list(arguments))

    def _progress(self, text: str) -> transfers.Progress:
        def say(done: int, total: int) -> None:
            if total:
                self.say(f"{text}: {size(done)} of {size(total)}")

        return say

    # -------------------------------------------------------------------------------------------------- while it works

    def follow(self, bring: Callable[[], None]) -> int | None:
        """Stay with the worker until it has ended.

        Args:
            bring: brings home what is new; called now and then.

        Returns:
            Its exit status; -9 = it was killed; None = this program ends before it.
        """
        sent, said, deadline, kills = "", "", 0.0, 0
        while True:
            state = self.ask("state", waiting=True, job=self.key)
            self.reach(bring, waiting=True)
            if said != (said := plain_text(str(state.get("said") or ""), 300)) and said:
                self.say(said)
            if not state.get("running"):
                code = state.get("exit")
                return code if isinstance(code, int) else -9
            if self.left.is_set():
                return None
            if self.wish and sent != self.wish:
                sent = self.wish
                self.ask("wish", waiting=True, job=self.key, wish=sent)
                deadline = time.monotonic() + patient(SAVES, self.pace)
            if self.killed.is_set() or (deadline and time.monotonic() > deadline):
                if kills == _KILLS:
                    raise UserError(
                        f"{self.place.name} does not end the job; check what is running there.",
                        code="remote-not-ended",
                        place=self.place.name,
                    )
                kills += 1
                self.ask("kill", waiting=True, job=self.key)
            self.pause(POLL)

    def fetch(self, names: Mapping[str, Path], givable_up: bool = True) -> list[str]:
        """Bring files home; see `transfers.fetch`."""

        def stop() -> bool:
            return givable_up and (self.killed.is_set() or self.left.is_set())

        return transfers.fetch(self.there, self.key, names, self.folder, stop=stop) if names else []

    def read(self, name: str, offset: int = 0) -> bytes:
        """At most 1 MiB of a file there, from an offset on; of the worker's log, which has no name, the end."""
        return self.there.ask_bytes("read", job=self.key, name=name, offset=offset)[1]

    def erase(self) -> list[str]:
        """Delete the job there, and look; what could not be deleted.

        Raises:
            UserError: it cannot be reached any more.
        """
        left = self.ask("erase", job=self.key)["left"]
        return [plain_text(str(path), 300) for path in left[:100]]

    def tidy(self) -> None:
        """Delete what was on its way here."""
        with suppress(OSError):
            shutil.rmtree(self.folder)


def key_of(workspace: Workspace, job: int, part: str = "") -> str:
    """The key by which a place knows a job of this data folder.

    Args:
        workspace: the data folder.
        job: its number.
        part: of the job, where it has several.

    Raises:
        UserError: the data folder cannot be written.
    """
    path, known = workspace.computer, ""
    with _FIRST:
        if path.is_file():
            with explained(path, "read"):
                known = path.read_text(encoding="ascii", errors="replace").strip()
        if len(known) != 12 or not known.isalnum():
            known = uuid.uuid4().hex[:12]
            write_text(path, known)
    return f"{known}-{job}{part}"


def own(job: RemoteJob) -> None:
    """Note that this process is at work on a job, which ends with it (see `is_left`)."""
    write_text(job.folder / _OWNER, f"{worker_processes.owner_name(job.key)}\n{socket.gethostname()}")


def is_left(job: RemoteJob, key: str, kind: str) -> bool:
    """Whether a job on the place of `job` was one like it, of this data folder, whose process is no more; what was on
    its way here is deleted then.

    Args:
        job: at work in this process.
        key: of the other one.
        kind: begins the names of the folders of such jobs.
    """
    mine = "".join(job.key.partition("-0-")[:2])
    folder = job.workspace.remote_work(kind, key[len(mine) :])
    if not key.startswith(mine) or not is_ownerless(folder):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True


def is_ownerless(folder: Path) -> bool:
    """Whether a folder is that of a job whose process (see `own`) is surely no more. That of a process on another
    computer, which shares the data folder, cannot be seen from here."""
    try:
        # older versions wrote no computer: it is taken for this one
        owner, _, computer = (folder / _OWNER).read_text(encoding="utf-8", errors="replace").partition("\n")
    except OSError:
        return False
    if computer.strip() not in ("", socket.gethostname()):
        return False
    return not (worker_processes.is_own_name(owner) or worker_processes.owner_alive(owner))


def plain_name(name: str) -> str:
    """The name of a checkpoint's file, as LoRA files state it, without what no file system there has."""
    kept = "".join(letter for letter in name if letter.isprintable() and letter not in "/\\")
    return kept[:100] + kept[100:][-80:] if kept not in ("", ".", "..") else "base.safetensors"


def explained_failure(failure: Exception, place: places.Place) -> UserError:
    """An error for what was not foreseen: what comes from elsewhere may be anything."""
    if isinstance(failure, UserError):
        return failure
    said = " ".join(str(failure).split())[:300]
    return UserError(
        f"The job on {place.name} could not be followed ({type(failure).__name__}: {said}); resume it to continue "
        "from what is stored there.",
        code="remote-failed",
        place=place.name,
    )
