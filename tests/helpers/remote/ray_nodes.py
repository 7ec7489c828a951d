"""A real Ray cluster of three nodes on the loopback: a head without room for jobs, and two that take one job each.

Ray lives in an environment of its own, which is made once and kept in ``.sameface``; what trains on the nodes is the
Python that runs the tests. Each node has a home folder of its own, by which all its processes are known.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
from filelock import FileLock

from lib_lora.remote import places
from lib_lora.remote.places import Place

ROOT = Path(__file__).parents[3]
HOME = ROOT / ".sameface" / f"ray-{sys.version_info[0]}.{sys.version_info[1]}"
_MAKES = 300.0  # seconds in which the environment is made
_STARTS = 180.0  # seconds
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ENABLE_METRICS_COLLECTION": "0",
    # a node is taken for dead soon
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_failure_threshold": "4",
    "RAY_raylet_start_wait_time_s": "150",  # 30 are too few on a busy machine, and the head is lost then
    "RAY_num_prestart_python_workers": "0",
    "RAY_prestart_worker_first_driver": "0",
    "OMP_NUM_THREADS": "1",
}


def missing() -> str:
    """Why there can be no cluster here; empty = there can."""
    if sys.platform != "linux":
        return "a Ray cluster is only started on Linux"
    HOME.parent.mkdir(exist_ok=True)
    with FileLock(f"{HOME}.lock"):
        lines = (ROOT / "requirements" / "ray.txt").read_text(encoding="utf-8")
        done = HOME / "made.txt"
        if not done.is_file() or done.read_text(encoding="utf-8") != lines:
            said = _made()
            done.parent.mkdir(exist_ok=True)
            done.write_text(said or lines, encoding="utf-8")  # what failed once is not tried by each module again
            if said:
                return said
    return ""


def _made() -> str:
    """Make the environment; why that cannot be done, or nothing."""
    python = str(HOME / "bin" / "python")
    lists = ["-r", str(ROOT / "requirements" / "ray.txt")]
    if importlib.util.find_spec("uv"):
        uv = [sys.executable, "-m", "uv"]
        steps = [[*uv, "venv", "--clear", "--python", sys.executable, str(HOME)], [*uv, "pip", "install", "-q"]]
        steps[1] += ["--python", python, *lists]
    else:
        steps = [[sys.executable, "-m", "venv", "--clear", str(HOME)], [python, "-m", "pip", "install", "-q", *lists]]
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, check=False, timeout=_MAKES)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"Ray cannot be installed: {error}"
        if done.returncode:
            return f"Ray cannot be installed: {done.stderr.strip()[-300:]}"
    return ""


class RayNodes:
    """A cluster.

    Args:
        folder: for the homes of its nodes and for the storage that they share with this process.

    Attributes:
        storage: the shared folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.storage = folder, folder / "shared storage"
        self.storage.mkdir(parents=True)
        self.port = _free_port()  # of the dashboard
        self._gcs = _free_port()
        self._temporary = Path("/tmp") / f"sf-ray-{os.getpid()}-{self.port}"  # a longer path is none for a socket
        self._made = 0
        self._killed: set[str] = set()  # what is in their folders stays
        self._joining: tuple[str, subprocess.Popen[bytes]] | None = None

    def start(self) -> None:
        """Start the head and two nodes, and wait until these can take jobs."""
        head = ["--head", f"--port={self._gcs}", f"--dashboard-port={self.port}", "--dashboard-host=127.0.0.1"]
        self._start("head", [*head, "--num-cpus=0", "--include-dashboard=true", f"--temp-dir={self._temporary}"])
        self._until(lambda: self._answers("/api/version"))
        for number in (1, 2):
            self.add()
            self._until(partial(self._has, number + 1))

    def add(self) -> str:
        """Start one more node; its name."""
        self._made += 1
        name = f"node-{self._made}"
        self._join(name)
        return name

    def _join(self, name: str) -> None:
        self._joining = (name, self._start(name, [f"--address=127.0.0.1:{self._gcs}", "--num-cpus=1"]))

    def _start(self, name: str, more: list[str]) -> subprocess.Popen[bytes]:
        home = self.home(name)
        home.mkdir(exist_ok=True)
        command = [str(HOME / "bin" / "ray"), "start", "--block", "--disable-usage-stats", "--num-gpus=0", *more]
        command += ["--include-log-monitor=false"]  # nobody reads what it collects, which takes seconds of each node
        command += ["--object-store-memory=80000000", "--node-ip-address=127.0.0.1"]
        environment = {**os.environ, **_SETTINGS, "HOME": str(home)}
        environment.pop("PYTHONPATH", None)
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment,
                cwd=home,
                start_new_session=True,
            )

    def home(self, name: str) -> Path:
        """The home folder of a node."""
        return self.folder / name

    def there(self, name: str) -> Path:
        """Where everything of SameFace lies on a node."""
        return self.home(name) / "sameface" / socket.gethostname()

    def nodes(self) -> list[str]:
        """The names of those that take jobs and were not killed."""
        return [name for name in self._names() if self._processes(name)]

    def _names(self) -> list[str]:
        return [f"node-{number + 1}" for number in range(self._made)]

    def busy(self) -> list[str]:
        """The nodes on which something of a job is."""
        # the folders first: it is asked again and again, and to find its processes all of the machine are looked at
        held = [name for name in self._names() if any((self.there(name) / "jobs").glob("*"))]
        return [name for name in held if self._processes(name)]

    def steps_of(self, name: str) -> list[int]:
        """The steps that the worker on a node has written down."""
        found: list[int] = []
        for path in self.there(name).glob("jobs/*/data/characters/*/runs/*/events.jsonl"):
            with suppress(OSError, ValueError):
                rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                found += [row["step"] for row in rows if row["kind"] == "step"]
        return found

    def worker_at_step(self, step: int) -> tuple[str, int]:
        """The node whose worker has come to a step, as soon as one has, and the process of that worker."""
        until = time.monotonic() + 180.0
        while time.monotonic() < until:
            for number in range(self._made):
                name = f"node-{number + 1}"
                if name not in self._killed and max(self.steps_of(name), default=0) >= step:
                    [path] = self.there(name).glob("jobs/*/beat.json")
                    return name, int(json.loads(path.read_text(encoding="utf-8"))["worker"])
            time.sleep(0.02)
        raise AssertionError("no worker came so far")

    def kill(self, name: str) -> None:
        """End all that runs on a node at once, as when its power is gone."""
        self._killed.add(name)
        for _ in range(3):
            for process in self._processes(name):
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.1)

    def kill_raylet(self, name: str) -> None:
        """End Ray on a node; the machine lives on, and its other processes."""
        for process in self._processes(name):
            with suppress(psutil.Error):
                if process.name() == "raylet":
                    process.kill()

    def place(self, name: str = "studio", **fields: object) -> Place:
        """It as a place."""
        cluster = {"storage": str(self.storage), **{key: fields.pop(key) for key in ("retries",) if key in fields}}
        values = {"python": sys.executable, **fields}
        return places.parsed_ray(name, f"http://127.0.0.1:{self.port}", cluster, **values)

    def stop(self) -> None:
        """End all of it."""
        for name in [*self.nodes(), "head"]:
            self.kill(name)
        subprocess.run(["rm", "-rf", str(self._temporary)], check=False)

    def count(self) -> int:
        """How many nodes live, as Ray says."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/nodes?view=summary", timeout=10) as answer:
                rows = json.load(answer)["data"]["summary"]
            return sum(row["raylet"].get("state") == "ALIVE" for row in rows)
        return 0

    def _has(self, nodes: int) -> bool:
        return self.count() == nodes

    def _answers(self, path: str) -> bool:
        where = f"http://127.0.0.1:{self.port}{path}"
        with suppress(OSError), urllib.request.urlopen(where, timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    def _until(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + _STARTS
        while not true():
            said = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.log"))
            assert time.monotonic() < until, said
            if self._joining and self._joining[1].poll() is not None:  # Ray gives a node 30 s, on a busy machine too
                self._join(self._joining[0])
            time.sleep(0.2)

    def _processes(self, name: str) -> list[psutil.Process]:
        home = str(self.home(name))
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("HOME") == home:
                    found.append(process)
        return found


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
