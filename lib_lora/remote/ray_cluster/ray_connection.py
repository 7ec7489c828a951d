"""Connects to a Ray cluster, and answers an agent's requests through shared storage and Ray's Jobs API.

A job's files and orders go into the storage, and a Ray job is submitted, whose program on a node (`ray_node`) does the
rest. Where Ray loses it with its node, it is submitted again as the next attempt, which goes on from what is in the
storage. What the storage and Ray say is hostile until it was looked at. Imports nothing heavy.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import re
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, Any

from lib_lora.errors import Misfit, StoppedByUser, UserError
from lib_lora.files import SHA256_HEX, explained, read_json
from lib_lora.remote import places
from lib_lora.remote.connection import Unreachable, refusal
from lib_lora.remote.http_exchange import one_line
from lib_lora.remote.place_connection import Download, Upload, whole_number
from lib_lora.remote.places import Place
from lib_lora.remote.ray_cluster import shared_storage
from lib_lora.remote.ray_cluster.cluster_stock import USED, ClusterStock
from lib_lora.remote.ray_cluster.ray_api import (
    ENDED,
    NOT_STARTED,
    PENDING,
    STOPPED,
    RayApi,
    RayJob,
    Resources,
    last_line,
)
from lib_lora.remote.ray_cluster.shared_storage import CONTROL, LONGEST_PIECE, MARK, MOST, ORDER, REPORT, Storage
from lib_lora.workspace.workspace import Workspace

STOPPED_IN_RAY, LOST = "ray-job-stopped", "ray-job-lost"  # codes of how the cluster gives a job up
STALE = 8.0  # seconds without a sign of life from a node, after which Ray is asked how the job is
_SENT = (
    "__init__",
    "remote/__init__",
    "remote/agent",
    "remote/ray_cluster/__init__",
    "remote/ray_cluster/shared_storage",
    "remote/ray_cluster/ray_node",
)
_PROGRAM = "lib_lora.remote.ray_cluster.ray_node"
_KEY = re.compile(r"[0-9a-z-]{1,56}")
_NAME = re.compile(r"[^\\\0-\x1f]{1,1000}")
_LOG_ID = re.compile(r"[0-9a-f]{16}")
_RESULT = re.compile(r"jobs/[0-9]+/result\.json")
_KILLED, _ENDED_OUTSIDE = -9, -15  # exit statuses
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ASKS = 60.0  # seconds between two signs to the node that somebody waits for what it makes
_MOST_FILES = 100_000  # that a report names
_MOST_ATTEMPTS = 1000
_LAST = 1 << 16  # bytes of a log's end
_ENDS = 30.0  # seconds in which Ray ends a job that should end
_END_POLL = 0.2  # seconds between two checks at it
# seconds in which Ray (seen in 2.60) may put a deleted job into its list again, as one that failed: it looks each
# second after the process that ran it, and takes a job that it does not know any more for lost
_COMES_BACK = 3.0
_INSPECTION = 600.0  # seconds in which a node must have had room for a look
_POLL = 0.5  # seconds between two checks at something that is awaited
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold


@dataclass(frozen=True)
class _Control:
    """What this side wants of a job, in the storage. Only this side writes it.

    Attributes:
        number: the attempt that counts.
        ended: its exit status, where this side has ended it; None = it may go on.
        why: it was ended, for the user.
        failed: how many attempts in a row were lost before they had saved anything.
        wish: of the user: "", "stop" or "pause".
        asked: changes where somebody waits for what is made.
        orders: changes with what the job is.
    """

    number: int = 1
    ended: int | None = None
    why: str = ""
    failed: int = 0
    wish: str = ""
    asked: int = 0
    orders: int = 0


@dataclass(frozen=True)
class _Report:
    """What a node says of an attempt.

    Attributes:
        beat: another number each time.
        node: its name.
        said: what goes on, for the user.
        started: the report names all that there is.
        saved: how many files were made since it began.
        exit: the worker's exit status; None = it has not ended.
        failed: why the attempt has ended without it.
        left: what could not be deleted on the node.
        files: size, time of change (ns) and SHA-256 of what was made, by name.
        logs: id and pieces (first byte, and the one after the last) of what grows, by name.
    """

    beat: int
    node: str = ""
    said: str = ""
    started: bool = False
    saved: int = 0
    exit: int | None = None
    failed: str = ""
    left: tuple[str, ...] = ()
    files: Mapping[str, tuple[int, int, str]] | None = None
    logs: Mapping[str, tuple[str, tuple[tuple[int, int], ...]]] | None = None


class RayConnection:
    """See `PlaceConnection`: one to a Ray cluster.

    Args:
        root: the data folder.
        place: the cluster.
        api: its API; shared by all who are at work on it in this process, so that it is asked once for all.
        open_storage: opens the storage; for tests.
    """

    def __init__(
        self,
        root: Path,
        place: Place,
        api: RayApi | None = None,
        open_storage: Callable[[str], Storage] = shared_storage.opened,
    ) -> None:
        if place.ray is None:
            raise ValueError("a machine that is not a cluster")
        self.root, self.place, self._cluster = root, place, place.ray
        self.api = api or RayApi(place.address(), place.name)
        self._open = open_storage
        self._storage: Storage | None = None
        self._lock = threading.RLock()
        self._gone: dict[str, int] = {}  # bytes of what is on its way
        self._controls: dict[str, _Control] = {}
        self._beats: dict[str, tuple[int, int, float]] = {}  # attempt and beat, and when that was seen first
        self._asked: dict[str, float] = {}
        self._pauses: dict[str, float] = {}  # until when a job is not submitted again
        self._reports: dict[tuple[str, int], tuple[float, _Report | None]] = {}

    def ask(self, what: str, **fields: Any) -> Any:
        """See `PlaceConnection`."""
        return self.ask_bytes(what, **fields)[0]

    def ask_bytes(self, what: str, **fields: Any) -> tuple[Any, bytes]:
        """See `PlaceConnection`."""
        answer = getattr(self, f"_do_{what}", None)
        if answer is None:
            raise refusal(self.place, f"a cluster does not know {what!r}")
        with self._lock, self._explained():
            found = answer(**fields)
        return found if isinstance(found, tuple) else (found, b"")

    def put(self, files: Sequence[Upload], check: Callable[[], None], stop: Callable[[], bool]) -> None:
        """See `PlaceConnection`. A file is there as a whole, with the hash that it is called by, or it is not."""
        for one in files:
            with explained(one.path, "read"):
                source = open(one.path, "rb")  # noqa: SIM115 - what the storage raises is no error of this file
            with source, self._explained():
                name = one.there.strip("/").removesuffix(".part")
                self._there.put(_Hashing(source, one), name, self._on_way(one, check, stop))

    def get(self, files: Sequence[Download], folder: Path, check: Callable[[], None], stop: Callable[[], bool]) -> None:
        """See `PlaceConnection`. What is gone from the storage is left out; who looks at the hash sees it."""
        for one in files:
            path = folder / one.name
            with explained(path):
                if not one.goes_on:
                    path.unlink(missing_ok=True)
                target = open(path, "ab")  # noqa: SIM115 - as in `put`
            with _closed(target, path), self._explained():
                try:
                    self._there.get(one.there.strip("/"), _Here(target, path), self._on_way(one, check, stop))
                except FileNotFoundError as error:  # a share may show the report before what it names
                    self._reports.clear()
                    raise Unreachable(
                        f"{self._cluster.storage} does not show {one.there} yet.",
                        code="storage-late",
                        place=self.place.name,
                    ) from error

    def close(self) -> None:
        """See `PlaceConnection`. Nothing is held open."""

    def _on_way(
        self, one: Upload | Download, check: Callable[[], None], stop: Callable[[], bool]
    ) -> Callable[[int], None]:
        checked_at = time.monotonic()

        def on_way(done: int) -> None:
            nonlocal checked_at
            self._gone[one.name] = done
            if stop():
                raise StoppedByUser(
                    "Stopped during a file transfer; what was received is kept.", code="transfer-stopped"
                )
            if time.monotonic() - checked_at > 1.0:
                checked_at = time.monotonic()
                with suppress(UserError):
                    check()

        return on_way

    # --------------------------------------------------------------------------------------------------------- requests

    def _do_probe(
        self, say: Callable[[str], None] = lambda _: None, new: bool = False, patience: float | None = None
    ) -> Any:
        """See `inspect_node`."""
        return self.inspect_node(say, new, patience)

    def _do_stored(self) -> Any:
        return self._stock().stored()

    def _do_clean(self, version: str) -> Any:
        return self._stock().clean(_checked(SHA256_HEX, version))

    def _stock(self) -> ClusterStock:
        def send(submission: str, asked: dict[str, Any], node: str) -> None:
            self._send(submission, asked, Resources(cpus=0, node=node))

        self._see_mounted(self._there)
        return ClusterStock(self._there, self.api, send, self._end)

    def _do_expect(self, files: Sequence[tuple[str, int]], job: str | None) -> Any:
        folder, missing = self._files(job), {}
        for sha256, size in files:
            if job is None:  # so that nobody deletes it until the job says that it needs it
                self._there.write(f"{USED}/{_checked(SHA256_HEX, sha256)}", b"")
            if self._there.size(f"{folder}/{_checked(SHA256_HEX, sha256)}") != size:
                missing[sha256] = 0
                self._gone.pop(sha256, None)
        return {"folder": f"/{folder}", "missing": missing}

    def _do_sizes(self, files: Sequence[str], job: str | None) -> Any:
        folder = self._files(job)
        there = {sha256: self._there.size(f"{folder}/{_checked(SHA256_HEX, sha256)}") for sha256 in files}
        return {one: self._gone.get(one, 0) if size is None else size for one, size in there.items()}

    def _do_accept(self, files: Sequence[str], job: str | None) -> Any:
        folder = self._files(job)
        return {"wrong": [one for one in files if self._there.size(f"{folder}/{_checked(SHA256_HEX, one)}") is None]}

    def _do_install(self, version: str, file_name: str) -> Any:
        """A node installs it itself, when its first job begins."""
        return {}

    def _do_installed(self, version: str) -> Any:
        there = self._there.size(f"files/{_checked(SHA256_HEX, version)}") is not None
        return {"state": "ready" if there else "none", "said": ""}

    def _do_arrange(self, job: str, files: Mapping[str, str], shared: Mapping[str, str]) -> Any:
        order = self._order(job) or {"files": {}, "shared": {}}
        order["files"] |= files
        order["shared"] |= shared
        self._write(f"{self._job(job)}/{ORDER}", order)
        if control := self._control(job):
            self._wants(job, replace(control, orders=control.orders + 1))
        # from the worker's working folder on: where it lies on a node, only the node knows
        return {"data": "data", "shared": {name: f"base/{name}" for name in shared}}

    def _do_start(self, job: str, version: str, arguments: Sequence[str]) -> Any:
        if self._control(job):
            return {"started": False}
        order = {**(self._order(job) or {}), "version": version, "arguments": list(arguments)}
        self._write(f"{self._job(job)}/{ORDER}", order)
        self._submit(job, _Control())
        return {"started": True}

    def _do_state(self, job: str) -> Any:
        order, control = self._order(job, check=False), self._control(job)
        if control is None:
            return {"here": order is not None, "began": False, "running": False, "exit": None, "said": ""}
        if time.monotonic() - self._asked.get(job, 0.0) > _ASKS and control.ended is None:
            self._asked[job] = time.monotonic()
            control = self._wants(job, replace(control, asked=control.asked + 1))
        running, code, said = self._how(job, control)
        return {"here": True, "began": True, "running": running, "exit": code, "said": said}

    def _do_wish(self, job: str, wish: str) -> Any:
        if control := self._control(job):
            self._wants(job, replace(control, wish=wish))
        return {}

    def _do_kill(self, job: str) -> Any:
        control = self._control(job)
        if control and control.ended is None:
            control = self._wants(job, replace(control, ended=_KILLED))
            self.api.stop(self._submission(job, control.number))
        return {}

    def _do_made(self, job: str) -> Any:
        report = self._content(job)
        files = report.files if report and report.files else {}
        return {name: [size, changed] for name, (size, changed, _) in files.items()}

    def _do_offer(self, job: str, names: Sequence[str]) -> Any:
        number, report = self._content_of(job)
        files = report.files if report and report.files else {}
        found = {name: [files[name][2], files[name][0]] for name in names if name in files}
        return {"folder": f"/{self._job(job)}/{number}/blobs", "files": found}

    def _do_fetched(self, job: str, files: Sequence[str]) -> Any:
        return {}

    def _do_read(self, job: str, name: str, offset: int) -> tuple[Any, bytes]:
        """See `Agent.read`. Where the cluster gave up, that is the last line of the log, and the result."""
        control = self._control(job)
        for _ in range(3):  # what an older report names may be gone
            number, report = self._content_of(job)
            try:
                content = self._read_content(f"{self._job(job)}/{number}", report, name, offset)
                break
            except FileNotFoundError:
                self._reports.clear()
        else:
            raise Unreachable(
                f"{self._cluster.storage} does not show yet what was made.",
                code="storage-behind",
                place=self.place.name,
            )
        if control and control.why:
            if not name:
                content += f"\n{control.why}\n".encode()
            elif not content and _RESULT.fullmatch(name):
                code = STOPPED_IN_RAY if control.ended == _ENDED_OUTSIDE else LOST
                content = json.dumps({"state": "failed", "error": control.why, "code": code, "result": {}}).encode()
        return {"size": offset + len(content)}, content

    def _do_erase(self, job: str) -> Any:
        """End what runs of a job, and delete it in the storage; a node deletes what it has when its program ends."""
        self._see_mounted(self._there)
        control, left = self._control(job), []
        forgotten, trouble = list[str](), None
        if control:
            report = self._report(job, control.number, fresh=True)
            left = [f"{report.node}: {path}" for path in report.left] if report else []
            if control.ended is None:
                with _though_full():  # a node sees too that the job's folder is gone
                    self._wants(job, replace(control, ended=_KILLED))
            forgotten, trouble = self._end_all([self._submission(job, one) for one in range(1, control.number + 1)])
        self._there.delete_folder(self._job(job))
        left += self._there.names(self._job(job))
        self._see_mounted(self._there)  # nothing of a job is in an empty mount point either
        if not isinstance(trouble, Unreachable):  # asked again, it needs the number of attempts to end them
            for known in (self._controls, self._beats, self._asked, self._pauses):
                known.pop(job, None)
        self._reports.clear()
        self._read_again(forgotten)
        if trouble:
            raise trouble
        return {"left": left}

    def _do_jobs(self) -> Any:
        names = {name.split("/")[1] for name in self._there.names("jobs") if name.count("/") > 1}
        return {"jobs": sorted(name for name in names if _KEY.fullmatch(name))}

    # ---------------------------------------------------------------------------------------------------- how a job is

    def _how(self, job: str, control: _Control) -> tuple[bool, int | None, str]:
        """Whether a job runs, its exit status, and what goes on. Where Ray has lost it, it is submitted again."""
        report = self._report(job, control.number)
        if done := self._ended(control, report):
            return done
        said = report.said if report else ""
        if report and self._lives(job, control.number, report.beat):
            return True, None, said
        if time.monotonic() < self._pauses.get(job, 0.0):
            return True, None, control.why or said
        submission = self._submission(job, control.number)
        found = self._known_to_ray(submission)
        if found is not None and found.state not in ENDED:
            if found.state == PENDING and control.wish:  # nothing has begun
                self.api.stop(submission)
                self._wants(job, replace(control, ended=_ENDED_OUTSIDE))
                return False, _ENDED_OUTSIDE, ""
            if found.state == PENDING:
                said = f"Waiting on {self.place.name} for a node that has room. {found.said}".strip()
            elif report is None or not said:
                said = said or ("" if report else f"Beginning on {self.place.name}.")
            return True, None, said
        report = self._report(job, control.number, fresh=True)  # it may have said so just before it ended
        if done := self._ended(control, report):
            return done
        return self._again(job, control, report, found)

    def _known_to_ray(self, submission: str) -> RayJob | None:
        """What Ray says of a job.

        Raises:
            Unreachable: it does not say. A refusal, or an answer that is none of Ray's, tells nothing of the job.
        """
        try:
            found = self.api.job_listed(submission)
            if found is None or found.state in ENDED:
                found = self.api.job(submission)  # the list may be older than the job
        except UserError as error:
            raise Unreachable(str(error), code=error.code, place=self.place.name) from error
        return found

    def _ended(self, control: _Control, report: _Report | None) -> tuple[bool, int | None, str] | None:
        if report and report.exit is not None:
            return False, report.exit, ""
        return (False, control.ended, "") if control.ended is not None else None

    def _lives(self, job: str, number: int, beat: int) -> bool:
        """Whether a node has given a sign of life shortly before, by this computer's clock alone."""
        known = self._beats.get(job)
        if known is None or known[:2] != (number, beat):
            # the first one that is seen may be old
            self._beats[job] = (number, beat, time.monotonic() if known else -STALE)
        return time.monotonic() - self._beats[job][2] < STALE

    def _again(
        self, job: str, control: _Control, report: _Report | None, found: RayJob | None
    ) -> tuple[bool, int | None, str]:
        """What becomes of a job whose attempt has ended without having come to its end."""
        self._see_mounted(self._there)  # else its report would only seem to be missing
        lost = (report.failed if report else "") or (found.said if found else "")
        if control.wish:  # what it had saved is in the storage
            self._wants(job, replace(control, ended=_ENDED_OUTSIDE))
            return False, _ENDED_OUTSIDE, ""
        if found is None and report is None:  # it was never submitted, or the cluster was started again before it began
            self._submit(job, control)
            return True, None, ""
        if found is not None and found.state == STOPPED:
            why = f"The job was stopped on {self.place.name}, in Ray. What it had saved is here; resume it to continue."
            self._wants(job, replace(control, ended=_ENDED_OUTSIDE, why=why))
            return False, _ENDED_OUTSIDE, ""
        waited = found is not None and found.error == NOT_STARTED
        failed = 0 if report and report.saved else control.failed + (not waited)
        if failed > self._cluster.retries or control.number >= _MOST_ATTEMPTS:
            tries = f"{failed} times in a row" if failed > 1 else "at once"
            why = f"The job was lost {tries} before it had saved anything new on {self.place.name}: "
            why += lost or "Ray does not say why."
            self._wants(job, replace(control, ended=1, why=why))
            return False, 1, ""
        why = (
            f"The job was lost ({lost or 'its node is gone'}); attempt {control.number + 1} continues from what it "
            "saved."
        )
        if waited:
            why = f"No node of {self.place.name} had room for long; waiting again."
        if failed:
            self._pauses[job] = time.monotonic() + min(2.0 ** (failed - 1), 30.0)
        self._submit(job, replace(control, number=control.number + 1, failed=failed))
        return True, None, why

    def _submit(self, job: str, control: _Control) -> None:
        """Submit an attempt. That it counts is in the storage before it can begin."""
        self._wants(job, control)
        asked = {"do": "job", "job": job, "attempt": control.number}
        self._send(self._submission(job, control.number), asked)

    def _send(self, submission: str, asked: dict[str, Any], needs: Resources | None = None) -> None:
        name, content = _package()
        self.api.see_package(name, lambda: content)
        asked |= {"storage": self._cluster.storage_there or self._cluster.storage, "folder": self.place.folder}
        entrypoint = f"{self.place.python} -u -m {_PROGRAM}"  # both are plain
        variables = {shared_storage.VARIABLE: json.dumps(asked)}
        self.api.submit(submission, entrypoint, variables, name, needs or self._needs())

    def _needs(self) -> Resources:
        gpus = self._cluster.gpus
        if gpus < 0 and self.place.machine:
            gpus = 1 if self.place.machine.gpus else 0
        elif gpus < 0:  # nobody has looked
            gpus = 1 if self.api.has_gpus() else 0
        return Resources(gpus, self._cluster.cpus, self._cluster.memory << 30)

    def _end(self, submissions: Sequence[str]) -> None:
        """See that Ray has ended jobs and has forgotten them, also those that it puts into its list again.

        Raises:
            UserError: it has not, or does not say so; the others were ended all the same.
        """
        forgotten, trouble = self._end_all(submissions)
        self._read_again(forgotten)
        if trouble:
            raise trouble

    def _end_all(self, submissions: Sequence[str]) -> tuple[list[str], UserError | None]:
        """See that Ray has ended jobs and has forgotten them; those that it has forgotten, and why not all.

        Where it cannot be reached, the others are not asked about: each would take as long as the first one.
        """
        forgotten, trouble = list[str](), None
        for one in submissions:
            try:
                if self._end_one(one):
                    forgotten.append(one)
            except Unreachable as error:
                return forgotten, error
            except UserError as error:
                trouble = error
        return forgotten, trouble

    def _read_again(self, forgotten: list[str]) -> None:
        """Delete those of the jobs that Ray puts into its list again, as ones that failed.

        What it does not say within `_COMES_BACK` is no reason to keep the user waiting for it.
        """
        until = time.monotonic() + _COMES_BACK
        while forgotten and time.monotonic() < until:
            time.sleep(_POLL)
            for one in [*forgotten]:
                with suppress(UserError):
                    if (left := until - time.monotonic()) <= 0:
                        return
                    if self.api.job(one, left) is not None:
                        self.api.forget(one, max(left, _POLL))
                        forgotten.remove(one)  # it is put there once

    def _end_one(self, submission: str) -> bool:
        """See that Ray has ended a job and has forgotten it; whether it knew one.

        Raises:
            UserError: it has not, or does not say so.
        """
        until, stopped = time.monotonic() + _ENDS, False
        while True:
            try:
                found = self.api.job(submission)
                if found is None:
                    return False
                if found.state in ENDED:
                    self.api.forget(submission)
                    if self.api.job(submission) is None:  # what answers may not be Ray
                        return True
                elif not stopped:
                    self.api.stop(submission)
                    stopped = True
            except Unreachable:
                raise
            except UserError:  # what stands between may refuse one request, or answer it itself
                if time.monotonic() > until:
                    raise
            if time.monotonic() > until:
                raise UserError(
                    f"{self.place.address()} does not end and delete the Ray job {submission}; do that in Ray.",
                    code="ray-not-ended",
                    place=self.place.name,
                )
            time.sleep(_END_POLL)

    def inspect_node(self, say: Callable[[str], None], new: bool = False, patience: float | None = None) -> Any:
        """What a node has, by a small Ray job with the resources that a training gets; as `Agent.probe` answers.

        Args:
            say: is told what goes on, for the user.
            new: the cluster is added now, so its storage may lack the mark that it had before.
            patience: seconds in which a node must have room; None = 10 minutes.

        Raises:
            UserError: there is no such node, or the storage is not the same there.
        """
        with self._explained():
            self.api.version()  # else something else than Ray would be told what there is to do
            storage = self._open_storage()
            marked = storage.read(MARK, MOST) is not None
            if not marked and not new and self._was_used():
                raise self._not_mounted()
            asked = f"look-{uuid.uuid4().hex[:12]}"
            storage.write(f"probes/{asked}.json", json.dumps({"time": time.time()}).encode("ascii"))
            try:
                found = self._inspected(asked, storage, say, _INSPECTION if patience is None else patience)
                if not marked:  # a node sees the same, so it is no empty mount point
                    _mark(storage)
                return found
            finally:
                with suppress(UserError, OSError):
                    self._end([f"sameface-{asked}"])
                for name in (f"probes/{asked}.json", f"probes/{asked}-answer.json"):
                    storage.delete(name)

    def _inspected(self, asked: str, storage: Storage, say: Callable[[str], None], patience: float) -> Any:
        submission = f"sameface-{asked}"
        self._send(submission, {"do": "probe", "job": asked})
        until, said = time.monotonic() + patience, ""
        while True:
            found = self.api.job(submission)
            answer = _json(storage.read(f"probes/{asked}-answer.json", MOST))
            if isinstance(answer, dict) and answer.get("same") is True and not answer.get("failed"):
                return answer
            over = found is None or found.state in ENDED
            if over or time.monotonic() > until:
                raise self._not_inspected(found, answer, patience)
            if found and found.state == PENDING and not said:
                said = f"Waiting for a node of {self.place.name} that has room."
                say(said)
            time.sleep(_POLL)

    def _not_inspected(self, found: RayJob | None, answer: Any, patience: float) -> UserError:
        """Why a look has not come to what it should."""
        name = self.place.name
        if isinstance(answer, dict):
            why = one_line(str(answer.get("failed") or "the storage there is another one than here"))
            return UserError(f"A node of {name} cannot be used: {why}", code="ray-node-refuses", place=name)
        if found is None or found.state not in ENDED:
            return UserError(
                f"No node of {name} had room within {patience:.0f} seconds for a job that needs "
                f"{_in_words(self._needs())}; ask for less, or wait until one is free.",
                code="ray-no-room",
                place=name,
            )
        why = found.said or self.api.log(found.id) or "it has not said why"
        said = (
            ""
            if found.state in (STOPPED, "FAILED")
            else (f" The nodes may have another storage than this computer: here it is {self._cluster.storage}.")
        )
        return UserError(
            f"The look at a node of {name} failed: {why.rstrip('.')}.{said}", code="ray-node-unusable", place=name
        )

    # ------------------------------------------------------------------------------------------ what is in the storage

    @property
    def _there(self) -> Storage:
        """
        Raises:
            OSError: it cannot be reached.
        """
        if self._storage is None:
            storage = self._open_storage()
            if storage.read(MARK, MOST) is None and not self._was_used() and storage.is_empty():  # added unchecked
                _mark(storage)
            self._see_mounted(storage)
            if not self.place.marked:
                places.note_marked(self.root, self.place)
            self._storage = storage
        return self._storage

    def _was_used(self) -> bool:
        """Whether this data folder has used the storage before, so that one without a mark is not it."""
        now = [one for one in places.load(self.root) if one.where() == self.place.where()]  # another job may be first
        if any(one.marked for one in (self.place, *now)):
            return True
        memos = (read_json(path) for path in Workspace(self.root).jobs.glob("*/remote.json"))
        return any(isinstance(memo, dict) and memo.get("where") == self.place.where() for memo in memos)

    def _see_mounted(self, storage: Storage) -> None:
        """
        Raises:
            OSError: it is not there; an empty mount point would look like one in which nothing has begun.
        """
        if storage.read(MARK, MOST) is None:
            raise self._not_mounted()

    def _not_mounted(self) -> OSError:
        return OSError(
            errno.ENOTCONN,
            f"it has no {MARK}, so it may not be mounted: mount it; only if it is another one than before, or empty on "
            f"purpose, add the place {self.place.name} again",
        )

    def _open_storage(self) -> Storage:
        return self._open(self._cluster.storage)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Make the error that a user sees of what the storage raises."""
        where, name = self._cluster.storage, self.place.name
        try:
            yield
        except OSError as error:
            self._storage = None
            why = one_line(error.strerror or str(error)).rstrip(".")
            if error.errno in _FULL:
                raise UserError(
                    f"The storage {where} is full; free some space there.", code="storage-full", place=name
                ) from error
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                # a job's that was there before may have it again in a moment: a share is away, a file is open
                kind = Unreachable if self._controls else UserError
                raise kind(
                    f"The storage {where} cannot be used: {why}; check that this computer may read and write it.",
                    code="storage-refused",
                    place=name,
                ) from error
            if error.errno == errno.EINVAL:
                raise UserError(
                    f"The storage {where} cannot be used: {why}; a URL needs fsspec and its driver, here and on nodes.",
                    code="storage-unusable",
                    place=name,
                ) from error
            said = f"The storage {where} cannot be reached now ({why})."
            if error.errno == errno.ENOTCONN:
                raise Unreachable(said, code="storage-not-mounted", place=name) from error
            raise Unreachable(said, code="storage-unreachable", place=name) from error

    def _job(self, job: str) -> str:
        return f"jobs/{_checked(_KEY, job)}"

    def _files(self, job: str | None) -> str:
        return "files" if job is None else f"{self._job(job)}/files"

    @staticmethod
    def _submission(job: str, number: int) -> str:
        return f"sameface-{job}-{number}"

    def _write(self, name: str, values: Mapping[str, Any]) -> None:
        self._there.write(name, json.dumps(values).encode("ascii"))

    def _order(self, job: str, check: bool = True) -> dict[str, Any] | None:
        found = _json(self._there.read(f"{self._job(job)}/{ORDER}", MOST))
        if found is None or not check:
            return found if isinstance(found, dict) else None
        if not isinstance(found, dict) or not all(isinstance(found.get(one), dict) for one in ("files", "shared")):
            raise self._damaged(f"{self._job(job)}/{ORDER}")
        return found

    def _control(self, job: str) -> _Control | None:
        """What this side wants, as an earlier program may have left it."""
        if job not in self._controls:
            name = f"{self._job(job)}/{CONTROL}"
            content = self._there.read(name, MOST)
            if content is None:
                return None
            try:
                self._controls[job] = _control_of(_json(content))
            except (KeyError, TypeError, ValueError):
                raise self._damaged(name) from None
        return self._controls[job]

    def _wants(self, job: str, control: _Control) -> _Control:
        self._see_mounted(self._there)
        self._write(f"{self._job(job)}/{CONTROL}", asdict(control))
        self._controls[job] = control
        return control

    def _damaged(self, name: str) -> UserError:
        return UserError(
            f"{name} in the storage {self._cluster.storage} is damaged; delete the folder that it is in, and resume "
            "the job.",
            code="storage-damaged",
            place=self.place.name,
        )

    def _report(self, job: str, number: int, fresh: bool = False) -> _Report | None:
        """What a node says of an attempt; None = nothing yet, or nothing that makes sense."""
        known = self._reports.get((job, number))
        if known and not fresh and time.monotonic() - known[0] < _POLL:
            return known[1]
        content = self._there.read(f"{self._job(job)}/{number}/{REPORT}", MOST)
        found = None
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            found = _report_of(_json(content)) if content is not None else None
        self._reports[job, number] = (time.monotonic(), found)
        return found

    def _content_of(self, job: str) -> tuple[int, _Report | None]:
        """The attempt whose report names what there is, and that report.

        While an attempt gets ready, there is nothing new: what an earlier one says by then may not count.
        """
        control = self._control(job)
        if control is None:
            return 0, None
        report = self._report(job, control.number)
        over = control.ended is not None or (report is not None and report.exit is not None)
        numbers = range(control.number, 0, -1) if over else [control.number]
        for number in numbers:
            report = self._report(job, number)
            if report and report.started:
                return number, report
        return control.number, None

    def _content(self, job: str) -> _Report | None:
        return self._content_of(job)[1]

    def _read_content(self, there: str, report: _Report | None, name: str, offset: int) -> bytes:
        """At most 1 MiB of a file; of the log, which has no name, the end."""
        logs = report.logs if report and report.logs else {}
        files = report.files if report and report.files else {}
        if name in logs:
            identifier, pieces = logs[name]
            if not name:
                offset = max(0, (pieces[-1][1] if pieces else 0) - _LAST)
            content = b""
            for start, end in pieces:
                if end <= offset or len(content) >= LONGEST_PIECE:
                    continue
                piece = self._there.read(f"{there}/logs/{identifier}-{start}-{end}", LONGEST_PIECE)
                if piece is None:
                    raise FileNotFoundError(name)
                content += piece[max(0, offset - start) :]
            return content[:LONGEST_PIECE]
        if name in files:
            whole = self._there.read(f"{there}/blobs/{files[name][2]}", MOST)
            if whole is None:
                raise FileNotFoundError(name)
            return whole[offset : offset + LONGEST_PIECE]
        return b""


@contextmanager
def _though_full() -> Iterator[None]:
    """Go on where the storage takes nothing any more: what is deleted makes room."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise


class _Here:
    """A file here that is fetched: a disk that is full is this one, and not the storage."""

    def __init__(self, target: IO[bytes], path: Path) -> None:
        self._target, self._path = target, path

    def tell(self) -> int:
        """See `io.IOBase`."""
        return self._target.tell()

    def write(self, content: bytes, /) -> None:
        """See `io.IOBase`."""
        with explained(self._path):
            self._target.write(content)


@contextmanager
def _closed(target: IO[bytes], path: Path) -> Iterator[None]:
    """Close a file at the end, whose last bytes the disk may not take."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            target.close()
        raise
    with explained(path):
        target.close()


class _Hashing:
    """Reads a file that is sent under its hash; one with another content is not sent."""

    def __init__(self, source: IO[bytes], one: Upload) -> None:
        self._source, self._one = source, one
        self._digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """See `io.IOBase`."""
        with explained(self._one.path, "read"):
            chunk = self._source.read(size)
        self._digest.update(chunk)
        if not chunk and self._digest.hexdigest() != self._one.name:
            raise UserError(
                f"{self._one.path} was changed while it was sent; start again.",
                code="transfer-damaged",
                file=self._one.path,
            )
        return chunk


def _mark(storage: Storage) -> None:
    storage.write(MARK, b'{"about": "storage that SameFace shares with the nodes of a cluster"}')


@cache
def _package() -> tuple[str, bytes]:
    """The name and the content of the zip with what runs on a node."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _SENT:
            # "lib_lora" as a module's home is known wherever this runs; an installed one has no other files
            content = resources.files("lib_lora").joinpath(*f"{name}.py".split("/")).read_bytes()
            archive.writestr(zipfile.ZipInfo(f"lib_lora/{name}.py", _EPOCH), content)
    content = stream.getvalue()
    return f"_ray_pkg_{hashlib.sha256(content).hexdigest()[:32]}.zip", content


def _in_words(needs: Resources) -> str:
    memory = f" and {needs.memory >> 30} GB" if needs.memory else ""
    return f"{needs.gpus} GPU, {needs.cpus} CPU{memory}"


def _checked(pattern: re.Pattern[str], text: Any) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise Misfit(f"{text!r} is not what belongs there", "text")
    return text


def _json(content: bytes | None) -> Any:
    try:
        return None if content is None else json.loads(content)
    except (ValueError, RecursionError):
        return None


def _control_of(values: Any) -> _Control:
    ended = values["ended"]
    return _Control(
        whole_number(values["number"], 1),
        None if ended is None else whole_number(ended, -255),
        str(values["why"]),
        whole_number(values["failed"]),
        str(values["wish"]),
        whole_number(values["asked"]),
        whole_number(values["orders"]),
    )


def _report_of(values: Any) -> _Report:
    """A node's report, of which all was looked at.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is not one.
    """
    if len(values["files"]) + len(values["logs"]) > _MOST_FILES:
        raise ValueError("too many files")
    files = {
        _checked(_NAME, name): (whole_number(size), whole_number(changed), _checked(SHA256_HEX, sha256))
        for name, (size, changed, sha256) in values["files"].items()
    }
    logs = {
        name and _checked(_NAME, name): (_checked(_LOG_ID, identifier), _pieces(pieces))
        for name, (identifier, pieces) in values["logs"].items()
    }
    left = [one_line(one) for one in values.get("left", [])[:100] if isinstance(one, str)]
    code = values.get("exit")
    return _Report(
        beat=whole_number(values["beat"]),
        node=one_line(str(values["node"])),
        said=one_line(str(values["said"])),
        started=values.get("started") is True,
        saved=whole_number(values["saved"]),
        exit=None if code is None else whole_number(code, -255),
        failed=last_line(values.get("failed")),
        left=tuple(left),
        files=files,
        logs=logs,
    )


def _pieces(values: Any) -> tuple[tuple[int, int], ...]:
    found, at = [], 0
    for start, end in values:
        if whole_number(start) != at or not 0 < whole_number(end) - start <= LONGEST_PIECE:
            raise ValueError("no pieces of a file")
        found.append((start, end))
        at = end
    return tuple(found)
