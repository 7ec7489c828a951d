"""Stands in for a Ray cluster: its Jobs API, whose jobs are processes of this machine, all on one node.

What it answers is what Ray 2.60 answers; `ray_nodes` starts the real one. A test can have it answer otherwise, lose a
job with its node, or take a job for lost that goes on.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lib_lora.remote import places
from lib_lora.remote.places import Place
from lib_lora.remote.ray_cluster import ray_connection

_COMES_BACK = ray_connection._COMES_BACK
DIED = "The actor died unexpectedly: its node was terminated. health check failed due to missing too many heartbeats"


class FakeRay:
    """A cluster.

    Args:
        folder: for what the node and the storage hold.
        environment: further variables of what runs on the node.

    Attributes:
        environment: see above.
        there: where everything of SameFace lies on the node.
        storage: the shared folder.
        jobs: what was submitted, by id: as Ray tells of it.
        nodes: that it lists; the first one is that on which everything runs.
        asked: method and path of each request.
        answers: status and content of the answer to a request, by method and path, in place of the usual one.
        room: jobs get room on a node; without it they wait.
        token: that is asked for; empty = none is.
        gpus: that its nodes have in all.
        storage_there: where the node finds the storage; None = where this side does.
        before: is told of each request, method and path, before it is answered.
        given: how many planned answers were given.
        comes_back: seconds after which Ray 2.60 has a deleted job in its list again, as one that failed: it looks after
            a job's process for a moment longer than the job is there. None = nothing comes back.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self.storage = folder, folder / "shared storage"
        self.storage_there: Path | None = None
        self.environment = dict(environment or {})
        self.home = folder / "node"
        self.there = self.home / "sameface" / re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
        self.storage.mkdir(parents=True)
        self.there.mkdir(parents=True)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.nodes = [
            {"node_id": letter * 56, "node_ip": "127.0.0.1", "is_head_node": False, "state": state, "node_name": name}
            for letter, name, state in (("a", "node-1", "ALIVE"), ("b", "node-0", "DEAD"))
        ]
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.packages: dict[str, bytes] = {}
        self.room, self.token, self.gpus = True, "", 0
        self.before: Callable[[str], None] = lambda request: None
        self.given = 0
        self.comes_back: float | None = None
        self._came_back: set[str] = set()
        ray_connection._COMES_BACK = 0.0  # nothing does, unless a test says so
        self._planned: list[tuple[int, bytes, float]] = []
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = threading.RLock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    def start(self) -> None:
        """Answer requests; after a stop on the same port."""
        fake = self

        class _RayHandler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, content = fake.answer(self.command, self.path, body, token)
                with suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = _do  # noqa: N815 - so does http.server call them

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _RayHandler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Answer no more, as when the network is gone; what runs goes on."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._server = None

    def stop(self) -> None:
        """End all of it."""
        ray_connection._COMES_BACK = _COMES_BACK
        self.close()
        for job in list(self._processes):
            self.kill(job)

    def place(self, name: str = "studio", **cluster: Any) -> Place:
        """It as a place."""
        known = {"storage": str(self.storage), **cluster}
        if self.storage_there:
            known["storage_there"] = str(self.storage_there)
        return places.parsed_ray(name, f"http://127.0.0.1:{self.port}", known, python=sys.executable)

    def plan(self, status: int, times: int = 1, body: bytes = b"{}", wait: float = 0.0) -> None:
        """Give another answer to the next requests.

        Args:
            status, body: of the answer; 0 = the right one.
            times: to how many.
            wait: seconds before it.
        """
        self._planned += [(status, body, wait)] * times

    def forget_plans(self) -> None:
        """Answer rightly from now on."""
        self._planned.clear()

    # ---------------------------------------------------------------------------------------------------- what happens

    def begin_anew(self) -> None:
        """The head is started anew: what ran on the cluster has ended, and it knows of no job and of no package."""
        with self._lock:
            for job in list(self._processes):
                self.kill(job)
            self._processes.clear()
            self.jobs.clear()
            self.packages.clear()

    def kill(self, job: str) -> None:
        """End a job's own processes at once; what it has started in sessions of their own stays, as with Ray."""
        if process := self._processes.get(job):
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def lose(self, job: str) -> None:
        """The node of a job is gone, and Ray sees it."""
        self.kill(job)
        self.take_for_lost(job)

    def take_for_lost(self, job: str) -> None:
        """Ray takes the node of a job for dead, and what runs there goes on."""
        with self._lock:
            self._processes.pop(job, None)
            self.jobs[job] |= {"status": "FAILED", "message": DIED, "error_type": "JOB_SUPERVISOR_ACTOR_DIED"}

    def group(self, job: str) -> int:
        """The process group of what runs of a job."""
        return self._processes[job].pid

    def running(self) -> list[str]:
        """The jobs that run, or wait."""
        with self._lock:
            for job in list(self.jobs):
                self._see(job)
            return [job for job, row in self.jobs.items() if row["status"] in ("RUNNING", "PENDING")]

    # -------------------------------------------------------------------------------------------------------- answers

    def answer(self, method: str, path: str, body: bytes, token: str) -> tuple[int, bytes]:
        """Status and content of the answer to a request."""
        self.before(f"{method} {path}")
        if self._planned:
            status, content, wait = self._planned.pop(0)
            self.given += 1
            time.sleep(wait)
            if status:
                self.asked.append(f"{method} {path}")
                return status, content
        with self._lock:
            self.asked.append(f"{method} {path}")
            if self.token and token != self.token:
                return 401, b"Unauthorized"
            if f"{method} {path}" in self.answers:
                return self.answers[f"{method} {path}"]
            for job in list(self.jobs):
                self._see(job)
            if path == "/api/version":
                return 200, b'{"version": "4", "ray_version": "2.60.0", "ray_commit": "b7f4", "session_name": "s"}'
            if path == "/api/cluster_status":
                usage = {"CPU": [0.0, 2.0], **({"GPU": [0.0, float(self.gpus)]} if self.gpus else {})}
                return _json({"result": True, "data": {"clusterStatus": {"loadMetricsReport": {"usage": usage}}}})
            if path.startswith("/api/v0/nodes?"):
                return _json({"result": True, "msg": "", "data": {"result": {"total": 2, "result": self.nodes}}})
            if match := re.fullmatch(r"/api/packages/gcs/(_ray_pkg_[0-9a-f]+\.zip)", path):
                return self._package(method, match[1], body)
            if path == "/api/jobs/":
                return self._submit(json.loads(body)) if method == "POST" else _json(list(self.jobs.values()))
            match = re.fullmatch(r"/api/jobs/([a-z0-9-]+)(/stop|/logs)?", path)
            if match is None or match[1] not in self.jobs:
                return 404, b"does not exist"
            return self._job(method, match[1], match[2] or "")

    def _package(self, method: str, name: str, body: bytes) -> tuple[int, bytes]:
        if method == "PUT":
            self.packages[name] = body
        return (200, b"") if name in self.packages else (404, b"does not exist")

    def _job(self, method: str, job: str, what: str) -> tuple[int, bytes]:
        row = self.jobs[job]
        if what == "/logs":
            return _json({"logs": self._log(job)})
        if what == "/stop":
            if row["status"] in ("RUNNING", "PENDING"):
                self._end(job)
                row["status"] = "STOPPED"
            return _json({"stopped": True})
        if method == "DELETE":
            del self.jobs[job]
            if self.comes_back is not None and job not in self._came_back:
                self._came_back.add(job)
                threading.Timer(self.comes_back, self._put_back, [row]).start()
            return _json({"deleted": True})
        return _json(row)

    def _put_back(self, row: dict[str, Any]) -> None:
        with self._lock:
            died = {
                "status": "FAILED",
                "message": "Job supervisor actor died",
                "error_type": "JOB_SUPERVISOR_ACTOR_DIED",
            }
            self.jobs[row["submission_id"]] = {**row, **died}

    def _submit(self, asked: dict[str, Any]) -> tuple[int, bytes]:
        job = asked["submission_id"]
        if job in self.jobs:
            return 500, b"ValueError: Job with submission_id already exists. Please use a different submission_id."
        row = {"type": "SUBMISSION", "submission_id": job, "job_id": None, "status": "PENDING", "message": "waits"}
        self.jobs[job] = {**row, "error_type": None, "asked": asked}
        self._see(job)
        return _json({"job_id": job, "submission_id": job})

    def _see(self, job: str) -> None:
        """Bring what is known of a job up to date."""
        row, process = self.jobs[job], self._processes.get(job)
        node = row["asked"].get("entrypoint_label_selector", {}).get("ray.io/node-id")
        fits = self.room if node is None else node == self.nodes[0]["node_id"]
        if row["status"] == "PENDING" and fits:
            self._begin(job)
        elif row["status"] == "RUNNING" and process and process.poll() is not None:
            log = f"Job entrypoint command failed with exit code {process.returncode}, last logs:\n{self._log(job)}"
            row |= {"status": "SUCCEEDED", "message": "Job finished successfully."}
            if process.returncode:
                row |= {"status": "FAILED", "message": log, "error_type": "JOB_ENTRYPOINT_COMMAND_ERROR"}

    def _begin(self, job: str) -> None:
        asked = self.jobs[job]["asked"]
        folder = self.folder / "sessions" / job
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        name = asked["runtime_env"]["working_dir"].removeprefix("gcs://")
        with zipfile.ZipFile(io.BytesIO(self.packages[name])) as archive:
            archive.extractall(folder)
        environment = {**os.environ, **asked["runtime_env"]["env_vars"], "HOME": str(self.home)}
        environment |= {"OMP_NUM_THREADS": "1", **self.environment}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), self.environment.get("PYTHONPATH")]))
        with open(folder / "log.txt", "ab") as log:
            self._processes[job] = subprocess.Popen(
                asked["entrypoint"],
                shell=True,
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.jobs[job]["status"] = "RUNNING"

    def _log(self, job: str) -> str:
        path = self.folder / "sessions" / job / "log.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def _end(self, job: str) -> None:
        """As Ray stops a job: it asks, and kills after 3 seconds."""
        if process := self._processes.get(job):
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGTERM)
            until = time.monotonic() + 3
            while process.poll() is None and time.monotonic() < until:
                time.sleep(0.02)
            self.kill(job)


def _json(value: Any) -> tuple[int, bytes]:
    return 200, json.dumps(value).encode()
