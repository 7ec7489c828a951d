"""A stand-in for RunPod's REST API, version 2, on the loopback: its fields, statuses and errors, without a GPU.

A pod's "container" is its command, run in a folder of its own with its variables, its id and a key that may delete it
alone, so that a watchdog's requests come back here. A command that ends is started again, as there.
"""

from __future__ import annotations

import copy
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "rpa_ACCOUNT0123456789abcdefghijklmnop"
STEPS = ("PROVISIONING", "STARTING", "RUNNING", "RUNNING")  # with the last one it says where its SSH server is
_CREATE = {  # the keys of a request for a pod, and their types
    "name": str,
    "image": str,
    "templateId": str,
    "gpu": dict,
    "cpu": dict,
    "cloud": str,
    "dataCenterIds": list,
    "disk": int,
    "mounts": dict,
    "ports": list,
    "env": dict,
    "args": str,
    "registry": str,
    "startSsh": bool,
    "startJupyter": bool,
    "globalNetworking": bool,
}
_GPU = {"id": str, "count": int, "minCudaVersion": str, "allowedCudaVersions": list}
_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
}


def gpu(identifier: str, memory: int, secure: float, community: float = 0.0, **more: Any) -> dict[str, Any]:
    """A row of the catalogue."""
    name = identifier.removeprefix("NVIDIA ").removeprefix("GeForce ")
    return {
        "id": identifier,
        "name": name,
        "pool": None,
        "manufacturer": "NVIDIA",
        "memory": memory,
        "secure": secure > 0,
        "community": community > 0,
        "price": {"secure": secure, "community": community},
        "maxCount": {"secure": 8, "community": 4},
        "availability": "HIGH",
        "dataCenters": [
            {"id": "US-KS-2", "name": "US Kansas 2", "availability": "HIGH"},
            {"id": "EU-RO-1", "name": "EU Romania 1", "availability": "LOW"},
        ],
        "cudaVersions": [{"version": "12.8", "available": True}],
        **more,
    }


CATALOG = (
    gpu("NVIDIA GeForce RTX 4090", 24, 0.44, 0.31),
    gpu("NVIDIA RTX A4000", 16, 0.25, 0.17),
    gpu("NVIDIA A40", 48, 0.40),
)


@dataclass
class FakePod:
    """A pod of the stand-in."""

    id: str
    key: str
    body: dict[str, Any]
    cost: float
    folder: Path
    looks: int = 0  # how often it was looked at
    status: str = ""  # that it has for good; empty = as far as its looks are
    vanished: bool = False
    restarts: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    process: subprocess.Popen[bytes] | None = None


@dataclass
class Planned:
    """An answer that is given in place of the right one.

    Attributes:
        request: how the requests begin that get it, e.g. "POST /pods".
        status, headers, body: of the answer.
        done: what they ask is done all the same.
        cut: there is no answer at all.
        wait: seconds before it.
    """

    request: str
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    done: bool = False
    cut: bool = False
    wait: float = 0.0


class FakeRunpod:
    """The server.

    Args:
        folder: for what its pods write.
        ssh: where the SSH server of a pod is said to be.

    Attributes:
        pods: by id, those that were deleted too.
        asked, queries: every request: method and path, and what follows the question mark.
        agents: the User-Agent of each.
        clock: seconds by which its clock is ahead.
        catalog: of GPUs.
        money: of the account; without, nothing can be rented.
        runs: whether the commands of pods are run.
        environment: further variables of its pods.
        cut: whether the account's computer has no network; pods have.
        when_ended: is told of each pod that has ended, however it did.
        before: is told of each request of the account, method and path, before it is answered.
        given: how many planned answers were given.
    """

    def __init__(self, folder: Path, ssh: tuple[str, int] = ("127.0.0.1", 34446)) -> None:
        self.folder, self.ssh = folder, ssh
        self.pods: dict[str, FakePod] = {}
        self.asked: list[str] = []
        self.queries: list[dict[str, list[str]]] = []
        self.agents: list[str] = []
        self.clock = 0.0
        self.catalog = copy.deepcopy([*CATALOG])
        self.money = True
        self.runs = True
        self.environment: dict[str, str] = {}
        self.cut = False
        self.when_ended: Callable[[FakePod], None] = lambda pod: None
        self.before: Callable[[str], None] = lambda request: None
        self.given = 0
        self._planned: list[Planned] = []
        self._lock = threading.RLock()
        fake = self

        class _HandlerOfThis(_RunpodHandler):
            server_of = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _HandlerOfThis)
        self._server.daemon_threads = True
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}/v2"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @contextmanager
    def running(self) -> Iterator[FakeRunpod]:
        """Serve until the block ends; then all of its pods end too."""
        self._thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            for pod in self.pods.values():
                self._end(pod)

    def plan(self, request: str, status: int = 500, times: int = 1, **answer: Any) -> None:
        """Give another answer to the next so many requests; see `Planned`."""
        self._planned += [Planned(request, status, **answer)] * times

    def living(self) -> list[FakePod]:
        """The pods that cost something now."""
        return [pod for pod in self.pods.values() if pod.ended is None]

    def forget_plans(self) -> None:
        """Answer rightly from now on."""
        self._planned.clear()

    def vanish(self, pod: FakePod) -> None:
        """End a pod as RunPod may: from now on there is none."""
        pod.vanished = True
        self._end(pod)

    # ------------------------------------------------------------------------------------------------ what it answers

    def answer(self, method: str, path: str, key: str, content: bytes) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers; None as a body is none."""
        parts = urlsplit(path)
        rest, query = parts.path.removeprefix("/v2"), parse_qs(parts.query)
        if self.cut and key == KEY:
            raise ConnectionAbortedError
        if key == KEY:
            self.before(f"{method} {rest}")
        self.asked.append(f"{method} {rest}")
        self.queries.append(query)
        planned = next((one for one in self._planned if f"{method} {rest}".startswith(one.request)), None)
        if planned:
            self._planned.remove(planned)
            self.given += 1
            time.sleep(planned.wait)
            if planned.done:
                right = self._right(method, rest, query, key, content)
                if planned.status == 0:
                    return right
            if planned.cut:
                raise ConnectionAbortedError
            if not planned.done and planned.status == 0:
                return self._right(method, rest, query, key, content)
            body = planned.body if planned.body is not None else _problem(planned.status)
            return planned.status, body, planned.headers
        return self._right(method, rest, query, key, content)

    def _right(
        self, method: str, path: str, query: dict[str, list[str]], key: str, content: bytes
    ) -> tuple[int, Any, dict[str, str]]:
        with self._lock:
            try:
                status, body = self._routed(method, path, query, key, content)
            except _ProblemError as problem:
                status, body = problem.status, _problem(problem.status, str(problem), problem.errors)
        return status, body, {}

    def _routed(self, method: str, path: str, query: dict[str, list[str]], key: str, content: bytes) -> tuple[int, Any]:
        owner = next((pod for pod in self.pods.values() if pod.key == key), None)
        if key != KEY and owner is None:
            raise _ProblemError(401, "missing bearer token" if not key else "invalid bearer token")
        match = re.fullmatch(r"/pods/([^/]+)(/action)?", path)
        if owner is not None and not (match and match[1] == owner.id):
            raise _ProblemError(403, "access denied")
        if (method, path) == ("GET", "/catalog/gpus"):
            return 200, {"gpus": self._gpus(query)}
        if (method, path) == ("GET", "/pods"):
            return 200, {"pods": [self._shown(pod) for pod in self.living() if not pod.vanished]}
        if (method, path) == ("POST", "/pods"):
            return 201, self._create(content)
        if (method, path) == ("GET", "/billing/pods"):
            return 200, self._bill(query.get("podId", [""])[0])
        if not match:
            raise _ProblemError(404, "resource not found")
        pod = self.pods.get(match[1])
        if pod is None or pod.vanished or pod.ended is not None:
            raise _ProblemError(404, "pod not found")
        if method == "GET" and not match[2]:
            if owner is None:
                pod.looks += 1
            return 200, self._shown(pod)
        if method == "POST" and match[2] and _json(content) == {"action": "terminate"}:
            return self._deleted(pod)
        if method == "DELETE" and not match[2]:
            return self._deleted(pod)
        raise _ProblemError(409, "action not valid for current pod status")

    def _deleted(self, pod: FakePod) -> tuple[int, None]:
        pod.ended = time.monotonic()
        threading.Timer(0.02, self._end, [pod]).start()  # the one that asks may be in it
        return 204, None

    def _gpus(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        filters = set(query) - {"include"}
        if query.get("include") != ["AVAILABILITY"]:
            if filters:
                raise _ProblemError(400, "filters need include=AVAILABILITY")
            left_out = ("availability", "dataCenters", "cudaVersions")
            return [{key: value for key, value in row.items() if key not in left_out} for row in self.catalog]
        if "product" not in query:
            raise _ProblemError(400, "include=AVAILABILITY needs product")
        if unknown := filters - {"product", "cloud", "count", "minCudaVersion", "cudaVersions", "countryCodes"}:
            raise _ProblemError(422, "Request validation failed.", [f"unknown parameter {one}" for one in unknown])
        return self.catalog

    def _create(self, content: bytes) -> dict[str, Any]:
        body = _json(content)
        errors = _faults(body)
        if errors:
            raise _ProblemError(422, "Request validation failed.", errors)
        if not self.money:
            raise _ProblemError(402, "insufficient balance")
        row = next((one for one in self.catalog if one["id"] == body["gpu"]["id"]), None)
        cloud = body.get("cloud", "SECURE").lower()
        centers = {one["id"]: one["availability"] for one in (row or {}).get("dataCenters", [])}
        wanted = body.get("dataCenterIds") or list(centers)
        free = [one for one in wanted if centers.get(one, "NONE") != "NONE"]
        if row is None or not row[cloud] or row["availability"] == "NONE" or not free:
            raise _ProblemError(400, "There are no instances available with the requested specifications.")
        identifier = secrets.token_hex(5)
        folder = self.folder / identifier
        folder.mkdir(parents=True)
        cost = row["price"][cloud] * body["gpu"].get("count", 1)
        pod = FakePod(identifier, f"pod_{secrets.token_hex(12)}", body, cost, folder)
        pod.body["dataCenterId"] = free[0]
        self.pods[identifier] = pod
        if self.runs and body.get("args"):
            threading.Thread(target=self._run, args=(pod,), daemon=True).start()
        return self._shown(pod)

    def _shown(self, pod: FakePod) -> dict[str, Any]:
        step = min(pod.looks, len(STEPS) - 1)
        status = pod.status or STEPS[step]
        host, port = self.ssh
        direct = {"host": host, "port": port, "username": "root", "command": f"ssh root@{host} -p {port}"}
        proxy = {"host": "ssh.runpod.io", "port": 22, "username": f"{pod.id}-64411eb2", "command": "ssh"}
        running = status == "RUNNING"
        return {
            "id": pod.id,
            "name": pod.body["name"],
            "status": status,
            "actions": ["stop", "restart", "terminate"] if running else ["start", "terminate"],
            "image": pod.body["image"],
            "args": pod.body.get("args", ""),
            "disk": pod.body.get("disk", 50),
            "mounts": pod.body.get("mounts", {}),
            "ports": pod.body.get("ports", []),
            "env": pod.body.get("env", {}),
            "registry": None,
            "gpu": {"id": pod.body["gpu"]["id"], "count": pod.body["gpu"].get("count", 1)},
            "cloud": pod.body.get("cloud", "SECURE"),
            "dataCenterId": pod.body["dataCenterId"] if step else None,
            "cudaVersion": "12.8",
            "ssh": {"proxy": proxy, "direct": direct if running and step == len(STEPS) - 1 else None},
            "template": None,
            "cost": pod.cost,
            "locked": False,
            "globalNetworking": {"enabled": False},
            "runtime": {"uptime": int(time.monotonic() - pod.began), "ports": []} if running else {},
            "createdAt": "2026-11-24T12:00:00Z",
            "startedAt": None,
        }

    def _bill(self, identifier: str) -> dict[str, Any]:
        if identifier not in self.pods:
            return {"records": [], "metadata": {}}
        pod = self.pods[identifier]
        hours = ((pod.ended or time.monotonic()) - pod.began) / 3600
        amounts = {"totalAmount": pod.cost * hours, "gpuAmount": pod.cost * hours, "cpuAmount": 0, "diskAmount": 0}
        window = {"startTime": "2026-11-24T00:00:00Z", "endTime": "2026-11-25T00:00:00Z"}
        query = {**window, "bucketSize": "day", "podId": identifier}
        return {
            "records": [{**window, "podId": identifier, **amounts}],
            "metadata": {"query": query, "recordCount": 1, "uniquePodCount": 1, "totals": amounts},
        }

    # -------------------------------------------------------------------------------------------------- the containers

    def _run(self, pod: FakePod) -> None:
        environment = {
            # this Python first: on a machine with pyenv, python3 is a shell script that looks for one
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(pod.folder),
            "PYTHONUTF8": "1",
            **pod.body.get("env", {}),
            **self.environment,
            "RUNPOD_POD_ID": pod.id,
            "RUNPOD_API_KEY": pod.key,
        }
        while pod.ended is None:
            with open(pod.folder / "container.log", "ab") as log:
                pod.process = subprocess.Popen(
                    shlex.split(pod.body["args"]),
                    cwd=pod.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            pod.process.wait()
            pod.restarts += pod.ended is None
            time.sleep(0.05)

    def _end(self, pod: FakePod) -> None:
        """End all that runs in a container: what has its id among its variables."""
        pod.ended = pod.ended or time.monotonic()
        mark = f"RUNPOD_POD_ID={pod.id}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
        shutil.rmtree(pod.folder / "sameface", ignore_errors=True)
        self.when_ended(pod)


class _ProblemError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, detail: str, errors: list[str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.errors = status, errors


class _RunpodHandler(BaseHTTPRequestHandler):
    server_of: FakeRunpod

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server_of.agents.append(self.headers.get("User-Agent", ""))
        key = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        try:
            status, body, headers = self.server_of.answer(self.command, self.path, key, content)
        except ConnectionAbortedError:
            self.connection.close()
            return
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
            self.send_header("RateLimit", '"default";r=59;t=60')
            self.send_header("RateLimit-Policy", '"default";q=60;w=60')
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate((timestamp or time.time()) + self.server_of.clock, usegmt=True)

    def log_message(self, *_: Any) -> None:
        return


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise _ProblemError(400, "malformed JSON") from None


def _problem(status: int, detail: str = "", errors: list[str] | None = None) -> dict[str, Any]:
    title = _TITLES.get(status, "Error")
    return {
        "title": title,
        "status": status,
        "detail": detail or title.lower(),
        **({"errors": errors} if errors else {}),
    }


def _faults(body: Any) -> list[str]:
    """What in a request for a pod the API's schema does not allow."""
    if not isinstance(body, dict):
        return ["$: not an object"]
    found = [f"$: additional properties '{key}' not allowed" for key in body if key not in _CREATE]
    found += [f"$.{key}: wrong type" for key, kind in _CREATE.items() if key in body and type(body[key]) is not kind]
    found += [f"$: missing property '{key}'" for key in ("name", "image", "gpu") if not body.get(key)]
    if found:
        return found
    asked = body["gpu"]
    found += [f"$.gpu: additional properties '{key}' not allowed" for key in asked if key not in _GPU]
    found += [f"$.gpu.{key}: wrong type" for key, kind in _GPU.items() if key in asked and type(asked[key]) is not kind]
    found += ["$.gpu: missing property 'id'"] if not asked.get("id") else []
    found += (
        ["$.env: values must be text"] if not all(isinstance(one, str) for one in body.get("env", {}).values()) else []
    )
    found += (
        ["$.cloud: not one of SECURE, COMMUNITY"] if body.get("cloud", "SECURE") not in ("SECURE", "COMMUNITY") else []
    )
    ports = body.get("ports", [])
    if not all(isinstance(one, str) and re.fullmatch(r"[0-9]{1,5}/(tcp|http|udp)", one) for one in ports):
        found.append("$.ports: not port/protocol")
    version = asked.get("minCudaVersion")
    if version is not None and not re.fullmatch(r"\d+\.\d+", version):
        found.append("$.gpu.minCudaVersion: does not match pattern")
    return found
