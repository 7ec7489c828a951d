"""Calls Ray's Jobs REST API to submit a job, ask how it is and stop it, and repeats a call where that may help.

The API is on the head node's dashboard, port 8265 unless set otherwise. No package of Ray is needed here. What it
answers is read into objects: types are checked, sizes limited, no text of it is part of a path. Imports nothing heavy.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request

from lib_lora import __version__
from lib_lora.errors import Misfit, UserError
from lib_lora.remote import places
from lib_lora.remote.connection import Unreachable
from lib_lora.remote.http_exchange import AnswerLost, Reply, exchange, json_in, one_line, opener_for

PENDING, RUNNING, STOPPED, SUCCEEDED, FAILED = "PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"
ENDED = (STOPPED, SUCCEEDED, FAILED)
NOT_STARTED = "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"  # no node had what it needs within Ray's limit, 15 minutes
_STATES = (PENDING, RUNNING, *ENDED)
_JOB = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
_NODE = re.compile(r"[0-9a-f]{16,128}")
_PACKAGE = re.compile(r"_ray_pkg_[0-9a-f]{16,64}\.zip")
_TOKEN = re.compile(r"[!-~]{1,4096}")
_VERSION = re.compile(r"[0-9A-Za-z.+_-]{1,40}")
_LONGEST = 8 << 20  # bytes of an answer about one job
_LONGEST_LIST = 64 << 20  # bytes of the list of all jobs
_MOST_NODES = 10_000  # that Ray lists
_ATTEMPTS = 4  # to ask
_TIMEOUT = 20.0  # seconds
_FRESH = 1.0  # seconds for which the list of all jobs is not asked for again


@dataclass(frozen=True)
class RayJob:
    """What Ray says of a job.

    Attributes:
        id: by which it was submitted.
        state: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        error: what kind of error Ray names, such as ``JOB_SUPERVISOR_ACTOR_DIED``; empty = none.
        said: the last line of what Ray says of it, printable.
    """

    id: str
    state: str
    error: str = ""
    said: str = ""


@dataclass(frozen=True)
class Resources:
    """What a job needs of a node while it runs.

    Attributes:
        gpus, cpus: how many.
        memory: bytes; 0 = nothing is asked for.
        node: id of the only one that will do; empty = any.
    """

    gpus: int = 0
    cpus: int = 1
    memory: int = 0
    node: str = ""


@dataclass(frozen=True)
class RayNode:
    """A node of the cluster that lives.

    Attributes:
        id: Ray's.
        name: for people; its address, unless it was given another one.
    """

    id: str
    name: str


class RayApi:
    """A client for one cluster. May be used by several threads.

    Args:
        address: such as ``http://head:8265``.
        name: of the place, for errors.
        pause: waits that many seconds between two tries; for tests.
    """

    def __init__(self, address: str, name: str, pause: Callable[[float], None] = time.sleep) -> None:
        self.address, self._name, self._pause = address, name, pause
        self._opener = opener_for(address)
        self._private = _is_private(address)  # a token may be sent
        self._listing = threading.Lock()
        self._listed: tuple[float, dict[str, RayJob]] | None = None

    def version(self) -> str:
        """Ray's version on the cluster.

        Raises:
            Unreachable, UserError: see `_asked`.
        """
        found = json_in(self._checked(self._asked("GET", "/api/version")), self._unreadable)
        version = found.get("ray_version") if isinstance(found, dict) else None
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise self._unreadable()
        return version

    def has_gpus(self) -> bool:
        """Whether any node of the cluster has a GPU now, as far as Ray says so.

        Raises:
            Unreachable, UserError: see `_asked`.
        """
        found = json_in(self._checked(self._asked("GET", "/api/cluster_status")), self._unreadable)
        try:
            total = found["data"]["clusterStatus"]["loadMetricsReport"]["usage"]["GPU"][1]
        except (KeyError, IndexError, TypeError):
            return False
        return isinstance(total, (int, float)) and total >= 1

    def nodes(self) -> list[RayNode]:
        """The nodes that live, the head too.

        Raises:
            Unreachable, UserError: see `_asked`.
        """
        found = json_in(
            self._checked(self._asked("GET", f"/api/v0/nodes?limit={_MOST_NODES}", longest=_LONGEST_LIST)),
            self._unreadable,
        )
        try:
            rows = found["data"]["result"]["result"]
            alive = [row for row in rows if row["state"] == "ALIVE" and _NODE.fullmatch(row["node_id"])]
            return [RayNode(row["node_id"], one_line(str(row.get("node_name") or row["node_ip"]))) for row in alive]
        except (KeyError, TypeError, AttributeError):
            raise self._unreadable() from None

    def submit(self, job: str, entrypoint: str, variables: Mapping[str, str], package: str, needs: Resources) -> None:
        """Submit a job; one of that id that Ray knows already is left as it is.

        Args:
            job: its id.
            entrypoint: a command for the shell of a node; nothing that a user has named may be in it.
            variables: of its environment.
            package: see `see_package`.
            needs: of the node.

        Raises:
            Unreachable, UserError: see `_asked`.
        """
        body: dict[str, Any] = {
            "entrypoint": entrypoint,
            "submission_id": _plain(_JOB, job),
            "runtime_env": {"working_dir": f"gcs://{_plain(_PACKAGE, package)}", "env_vars": dict(variables)},
            "metadata": {"name": job},
            "entrypoint_num_cpus": needs.cpus,
            "entrypoint_num_gpus": needs.gpus,
        }
        if needs.memory:
            body["entrypoint_memory"] = needs.memory
        if needs.node:
            body["entrypoint_label_selector"] = {"ray.io/node-id": _plain(_NODE, needs.node)}
        content = json.dumps(body).encode("ascii")
        for attempt in range(_ATTEMPTS):
            if self.job(job):  # the answer was lost, or an earlier program submitted it
                break
            try:
                self._checked(self._asked("POST", "/api/jobs/", content, attempts=1))
                break
            except Unreachable:
                if attempt + 1 == _ATTEMPTS:
                    raise
                self._pause(2.0**attempt)
        self._forget_list()

    def see_package(self, name: str, content: Callable[[], bytes]) -> None:
        """See that the cluster has a package, a zip that becomes the working folder of jobs.

        Args:
            name: ``_ray_pkg_HASH.zip``.
            content: gives it, where it is not there.

        Raises:
            Unreachable, UserError: see `_asked`.
        """
        path = f"/api/packages/gcs/{_plain(_PACKAGE, name)}"
        reply = self._asked("GET", path)
        if not _is_unknown(reply):
            self._checked(reply)
        else:
            self._checked(self._asked("PUT", path, content()))

    def job(self, job: str, patience: float | None = None) -> RayJob | None:
        """What Ray says of a job now; None = it knows none of that id.

        Args:
            job: its id.
            patience: seconds in which it must answer, to one request; None = the usual ones, to several.

        Raises:
            Unreachable, UserError: see `_asked`.
        """
        attempts, timeout = (_ATTEMPTS, _TIMEOUT) if patience is None else (1, patience)
        reply = self._asked("GET", f"/api/jobs/{_plain(_JOB, job)}", attempts=attempts, timeout=timeout)
        if _is_unknown(reply):
            return None
        found = _job_of(json_in(self._checked(reply), self._unreadable))
        if found is None or found.id != job:
            raise self._unreadable()
        return found

    def job_listed(self, job: str) -> RayJob | None:
        """As `job`, by the list of all jobs, which is asked for once a second at most, whoever asks."""
        with self._listing:
            if self._listed is None or time.monotonic() - self._listed[0] > _FRESH:
                reply = self._asked("GET", "/api/jobs/", longest=_LONGEST_LIST)
                found = json_in(self._checked(reply), self._unreadable)
                if not isinstance(found, list):
                    raise self._unreadable()
                jobs = {one.id: one for row in found if (one := _job_of(row)) is not None}
                self._listed = (time.monotonic(), jobs)
            return self._listed[1].get(job)

    def stop(self, job: str) -> None:
        """Ask Ray to end a job; one that it does not know has ended.

        Raises:
            Unreachable, UserError: see `_asked`.
        """
        reply = self._asked("POST", f"/api/jobs/{_plain(_JOB, job)}/stop", b"")
        if not _is_unknown(reply):
            self._checked(reply)
        self._forget_list()

    def forget(self, job: str, patience: float | None = None) -> None:
        """Have Ray delete what it knows of a job that has ended; see `job`.

        Raises:
            Unreachable, UserError: see `_asked`.
        """
        attempts, timeout = (_ATTEMPTS, _TIMEOUT) if patience is None else (1, patience)
        reply = self._asked("DELETE", f"/api/jobs/{_plain(_JOB, job)}", attempts=attempts, timeout=timeout)
        if not _is_unknown(reply):
            self._checked(reply)

    def log(self, job: str) -> str:
        """The last line that a job has printed; empty where Ray does not say."""
        try:
            reply = self._asked("GET", f"/api/jobs/{_plain(_JOB, job)}/logs", attempts=1)
            found = json_in(self._checked(reply), self._unreadable)
        except UserError:
            return ""
        return last_line(found.get("logs")) if isinstance(found, dict) else ""

    # ---------------------------------------------------------------------------------------------- one request and all

    def _forget_list(self) -> None:
        with self._listing:
            self._listed = None

    def _asked(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        longest: int | None = None,
        attempts: int = _ATTEMPTS,
        timeout: float = _TIMEOUT,
    ) -> Reply:
        """The answer to a request. All can be done twice: a job is submitted under an id of its own.

        Raises:
            Unreachable: the cluster cannot be reached, or is in trouble.
        """
        headers = {"User-Agent": f"SameFace/{__version__}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/octet-stream" if method == "PUT" else "application/json"
        if self._private and (token := _token()):
            headers["Authorization"] = f"Bearer {token}"
        request = Request(f"{self.address}{path}", body, headers, method=method)
        said = ""
        for attempt in range(attempts):
            if attempt:
                self._pause(min(0.25 * 2.0**attempt, 8.0))
            try:
                reply = exchange(self._opener, request, timeout, longest or _LONGEST)
            except AnswerLost as error:
                said = str(error)
                continue
            if reply.status < 500 and reply.status != 429:
                return reply
            said = f"it answers {reply.status}{_said(reply)}"
        raise Unreachable(
            f"The Ray cluster at {self.address} cannot be reached now ({one_line(said)}); check that its dashboard "
            "runs "
            "there, and that the tunnel or network to it is up.",
            code="ray-unreachable",
            place=self._name,
        )

    def _checked(self, reply: Reply) -> Reply:
        """
        Raises:
            UserError: the answer is a refusal.
        """
        if 200 <= reply.status < 300:
            return reply
        if reply.status in (401, 403) and not self._private and _token():
            raise UserError(
                f"The Ray cluster at {self.address} asks for its token, which is not sent there, since others could "
                "read it on the way; give an address that begins with https://, or reach it through a tunnel as "
                f"http://localhost:{places.RAY_PORT}.",
                code="ray-token-not-sent",
                place=self._name,
            )
        if reply.status in (401, 403):
            raise UserError(
                f"The Ray cluster at {self.address} asks for its token; put it into the variable RAY_AUTH_TOKEN, or "
                "its file's path into RAY_AUTH_TOKEN_PATH, and start SameFace again.",
                code="ray-token-refused",
                place=self._name,
            )
        raise UserError(
            f"The Ray cluster at {self.address} refused the request with status {reply.status}{_said(reply)}; "
            "check that this is the address of its dashboard and that no proxy is in between, and try again.",
            code="ray-refused",
            place=self._name,
            status=reply.status,
        )

    def _unreadable(self) -> UserError:
        return UserError(
            f"{self.address} does not answer as Ray's Jobs API does; give the address of the dashboard on the head "
            "node, such as http://head:8265.",
            code="ray-answer-unreadable",
            place=self._name,
        )


def last_line(text: Any) -> str:
    """The last line of a text from somebody else, printable; empty where there is none."""
    lines = text[-20_000:].splitlines() if isinstance(text, str) else []
    return next((said for line in reversed(lines) if (said := one_line(line))), "")


def _job_of(row: Any) -> RayJob | None:
    """A row of an answer; None = it is not that of a job that was submitted."""
    if not isinstance(row, dict):
        return None
    job, state, error = row.get("submission_id"), row.get("status"), row.get("error_type")
    if not isinstance(job, str) or not _JOB.fullmatch(job) or state not in _STATES:
        return None
    return RayJob(job, str(state), one_line(error) if isinstance(error, str) else "", last_line(row.get("message")))


def _is_unknown(reply: Reply) -> bool:
    """Whether Ray knows no such job or package; another one's 404, such as a proxy's, says nothing of that."""
    return reply.status == 404 and b"does not exist" in reply.content[:20_000]


def _said(reply: Reply) -> str:
    said = last_line(reply.content[:20_000].decode("utf-8", "replace"))
    return f" ({said.rstrip('.')})" if said else ""


def _plain(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise Misfit(f"{text[:200]!r} is not part of an address", "text")
    return text


def _is_private(address: str) -> bool:
    """Whether nobody can read on the way what is sent to an address: it is encrypted, or stays on this computer."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token() -> str:
    """What Ray's own programs use too, where a cluster asks for a token."""
    found = os.environ.get("RAY_AUTH_TOKEN", "")
    if not found and (path := os.environ.get("RAY_AUTH_TOKEN_PATH", "")):
        try:
            found = Path(path).expanduser().read_text(encoding="ascii", errors="replace")
        except OSError:
            return ""
    return found.strip() if _TOKEN.fullmatch(found.strip()) else ""
