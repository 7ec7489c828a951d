"""How many trainings at once one computer can keep going on a Ray cluster: the real driver, and simulated nodes.

    python bench/speed/fleet_throughput.py                             1 to 64 workers; about ten minutes
    python bench/speed/fleet_throughput.py --workers 1 8 --seconds 10  quicker

The queue, the supervisor, the runner, the storage (a folder) and the program on a node are the real ones. Simulated are
Ray's Jobs API, which starts as many jobs as there are workers, and the training: it waits a tenth of a second for each
step, writes its events, and saves a checkpoint and a state of random bytes now and then. Real nodes have processors of
their own; here they share this machine's with the driver, so the driver is a process apart whose time is counted alone.

workers   Jobs that the cluster runs at once.
jobs      Trainings in all, three for each worker.
seconds   From the first job in line until the last one's LoRA is at home.
ideal     Three times the time of a training.
share     ideal / seconds: how much of the cluster is used.
driver    Processor time of the driver's process for each training, in seconds.
home      Time of the driver for each training that no other could use, in seconds: (seconds - ideal) / 3.
load      The machine's load average of the last minute at the end: above its cores, the nodes' simulation is the limit.

A new run is made at home before it is sent; that is not among these times, since the runs are there. ``making`` is how
long it takes: the mean of three, each in a process of its own, as in a fleet, where one is made after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()

from remote_harness import NAME, SETTINGS, prepare  # noqa: E402

from bench import results_file  # noqa: E402
from lib_lora.hosts.standalone import Alone  # noqa: E402
from lib_lora.queue.job_types import TrainArguments  # noqa: E402
from lib_lora.queue.queue import OPEN, Queue  # noqa: E402
from lib_lora.remote import agent as agent_module  # noqa: E402
from lib_lora.remote import places  # noqa: E402
from lib_lora.remote.agent import EXIT, Agent  # noqa: E402
from lib_lora.remote.places import Place, RayCluster  # noqa: E402
from lib_lora.remote.ray_cluster import shared_storage  # noqa: E402
from lib_lora.remote.ray_cluster.ray_node import NodeJob  # noqa: E402
from lib_lora.training.plan.run_file import load_run, save_run  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402
from lib_lora.workflows.train.elsewhere.train_elsewhere import supervised  # noqa: E402
from lib_lora.workflows.train.prepare import start_run  # noqa: E402
from lib_lora.workspace.workspace import Workspace  # noqa: E402

STEP = 0.1  # seconds of a step
EACH = 3  # trainings for each worker
SAVES = 5.0  # seconds between two checkpoints


class SimulatedAgent(Agent):
    """An agent whose workers are threads that only wait and write.

    Args:
        folder, text: see `Agent`.
        seconds: of a training.
        size: bytes of a checkpoint, and of a state.
    """

    def __init__(self, folder: str, text: str, seconds: float, size: int) -> None:
        super().__init__(folder, text)
        self._seconds, self._size = seconds, size

    def start(self, job: str, version: str, arguments: Sequence[str]) -> dict[str, Any]:
        """See `Agent.start`."""
        threading.Thread(target=self._train, args=(job, arguments[1]), daemon=True).start()
        return {"started": True}

    def _train(self, job: str, number: str) -> None:
        data = self._data(job)
        [run] = data.glob("characters/*/runs/*")
        stem = load_run(run).file.stem
        folder = data / "jobs" / number
        folder.mkdir(parents=True)
        total, saved = round(self._seconds / STEP), ""
        began = time.monotonic()
        for step in range(1, total + 1):
            time.sleep(max(0.0, began + step * STEP - time.monotonic()))
            line = {"t": time.time(), "kind": "step", "step": step, "total": total, "loss_average": 0.1}
            for path in (folder / "events.jsonl", run / "events.jsonl"):
                with open(path, "a", encoding="utf-8") as stream:
                    stream.write(json.dumps({**line, "seconds_per_step": STEP}) + "\n")
            if step == total or not step % round(SAVES / STEP):
                saved = f"{stem}-{step:06d}.safetensors"
                for path in (run / "checkpoints" / saved, run / "state" / f"{step:06d}.pt"):
                    path.parent.mkdir(exist_ok=True)
                    path.with_name(f"{path.name}.tmp").write_bytes(os.urandom(self._size))
                    path.with_name(f"{path.name}.tmp").replace(path)
                for old in sorted((run / "state").glob("*.pt"))[:-1]:
                    old.unlink()
        result = {"state": "finished", "error": "", "result": {"run": run.name, "lora": saved}}
        (folder / "part").write_text(json.dumps(result), encoding="utf-8")
        (folder / "part").replace(folder / "result.json")
        (self._job(job) / EXIT).write_text(json.dumps({"code": 0}), encoding="utf-8")


class SimulatedNode(NodeJob):
    """A node's program on a simulated agent."""

    def __init__(self, asked: dict[str, Any], seconds: float, size: int) -> None:
        storage = shared_storage.opened(asked["storage"])
        super().__init__(storage, asked["job"], asked["attempt"], asked["folder"], 1.0)
        text = Path(agent_module.__file__).read_text(encoding="utf-8")
        self.agent = SimulatedAgent(str(self.agent.folder), text, seconds, size)

    def _install(self, version: str) -> None:
        """Nothing has to be installed for a thread."""

    def _ended(self) -> int | None:
        return 0 if (self._folder / EXIT).is_file() else None


class SimulatedRay(ThreadingHTTPServer):
    """Ray's Jobs API, and a cluster that runs some jobs at once.

    Args:
        workers: how many.
        seconds, size: of a training; see `SimulatedAgent`.
    """

    daemon_threads = True

    def __init__(self, workers: int, seconds: float, size: int) -> None:
        super().__init__(("127.0.0.1", 0), _JobsApi)
        self.jobs: dict[str, dict[str, Any]] = {}
        self._room = threading.Semaphore(workers)
        self._how = (seconds, size)

    def submit(self, body: dict[str, Any]) -> None:
        """Take a job in; it begins once there is room."""
        job = {"submission_id": body["submission_id"], "type": "SUBMISSION", "status": "PENDING", "message": ""}
        self.jobs[body["submission_id"]] = job
        asked = json.loads(body["runtime_env"]["env_vars"][shared_storage.VARIABLE])
        threading.Thread(target=self._run, args=(job, asked), daemon=True).start()

    def _run(self, job: dict[str, Any], asked: dict[str, Any]) -> None:
        with self._room:
            job["status"] = "RUNNING"
            job["status"] = "SUCCEEDED" if SimulatedNode(asked, *self._how).run() == 0 else "FAILED"


class _JobsApi(BaseHTTPRequestHandler):
    server: SimulatedRay
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.rstrip("/").rpartition("/")[2]
        if self.path.startswith("/api/packages/"):
            self._answer(200, {})
        elif self.path == "/api/jobs/":
            self._answer(200, list(self.server.jobs.values()))
        elif self.path.startswith("/api/jobs/") and name in self.server.jobs:
            self._answer(200, self.server.jobs[name])
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/jobs/":
            self.server.submit(json.loads(content))
        self._answer(200, {})

    def do_DELETE(self) -> None:
        self.server.jobs.pop(self.path.rpartition("/")[2], None)
        self._answer(200, {})

    def _answer(self, status: int, values: Any) -> None:
        content = json.dumps(values).encode("ascii")
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def copies(root: Path, count: int) -> list[str]:
    """As many runs of the character as that, all like the first one, of which there is nothing but its file."""
    folder = Workspace(root).character(NAME)
    first = load_run(folder.run("001").path)
    for number in range(2, count + 1):
        made = folder.run(f"{number:03d}").path
        shutil.copytree(first.folder, made)
        save_run(replace(first, folder=made, file=replace(first.file, id=made.name, stem=f"mara-{made.name}")))
    return [f"{number:03d}" for number in range(1, count + 1)]


def drive(root: Path) -> None:
    """Do all that is in line, as the webui does; the processor time that it took is printed."""
    queue = Queue(root)
    with supervised(Alone(root), root):
        while any(job.state in OPEN for job in queue.open()):
            time.sleep(0.2)
    used = resource.getrusage(resource.RUSAGE_SELF)
    states = [job.state for job in queue.jobs(1000)]
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "finished": states.count("finished")}))


def measure(prepared: Path, work: Path, workers: int, seconds: float, size: int) -> dict[str, Any]:
    """One row of the table."""
    root, storage = work / "home", work / "storage"
    shutil.copytree(prepared, root)
    server = SimulatedRay(workers, seconds, size)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shared_storage.opened(str(storage)).write(shared_storage.MARK, b"{}")
    cluster = RayCluster(str(storage), gpus=0)
    port = server.server_address[1]
    place = Place("lab", "127.0.0.1", port=port, folder=str(work / "nodes"), python=sys.executable, ray=cluster)
    places.save(root, replace(place, machine=places.Machine(time.time(), "3.11.0", "linux", 1, None, 1 << 40)))
    queue, jobs = Queue(root), EACH * workers
    for run in copies(root, jobs):
        queue.add(NAME, TrainArguments(run=run, few=True, then_test=False, on="ray:lab"))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, __file__, "--drive", str(root)], stdout=subprocess.PIPE, check=True, text=True
    )
    took = time.monotonic() - began
    server.shutdown()
    said = json.loads(done.stdout.splitlines()[-1])
    if said["finished"] != jobs:
        raise SystemExit(f"only {said['finished']} of {jobs} trainings finished; see {root}")
    ideal = EACH * seconds
    return {
        "workers": workers,
        "jobs": jobs,
        "seconds": took,
        "ideal": ideal,
        "share": ideal / took,
        "driver": said["cpu"] / jobs,
        "home": (took - ideal) / EACH,
        "load": os.getloadavg()[0],
    }


def making(root: Path, base: Path) -> float:
    """Seconds for making a run, in a process of its own."""
    found = f"import sys; sys.path[:0] = {[str(ROOT), *helper_folders.FOLDERS]!r}"
    code = f"{found}; from bench.speed.fleet_throughput import make; make(*sys.argv[1:])"
    began = time.monotonic()
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code, str(root), str(base)], check=True, stdout=subprocess.DEVNULL)
    return (time.monotonic() - began) / 3


def make(root: str, base: str) -> None:
    """Make a run."""
    start_run(Path(root), NAME, TrainingRequest(Path(base), overrides=SETTINGS, few=True, elsewhere=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="of the cluster")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a training")
    parser.add_argument("--megabytes", type=float, default=1.0, help="of a checkpoint, and of a state")
    parser.add_argument("--work", type=Path, help="folder for the files; they are deleted")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    results_file.add_option(parser)
    options = parser.parse_args(arguments)
    if options.drive:
        drive(options.drive)
        return 0
    rows = []
    with tempfile.TemporaryDirectory(dir=options.work, prefix="fleet-") as folder:
        work = Path(folder)
        base = ROOT / "lib_lora" / "try" / "mini-face.safetensors"
        base = base if base.is_file() else next(ROOT.glob("**/mini-face.safetensors"))
        prepare(work / "prepared", base, work / "photos")
        made = making(work / "prepared", base)
        shutil.rmtree(Workspace(work / "prepared").character(NAME).runs)
        make(str(work / "prepared"), str(base))
        print(f"making a run at home: {made:.1f} s")
        print("workers  jobs  seconds  ideal  share  driver  home  load", flush=True)
        for workers in options.workers:
            row = measure(
                work / "prepared", work / str(workers), workers, options.seconds, int(options.megabytes * 1e6)
            )
            rows.append(row)
            print(
                f"{workers:7d} {row['jobs']:5d} {row['seconds']:8.1f} {row['ideal']:6.0f} {row['share']:6.0%} "
                f"{row['driver']:7.2f} {row['home']:5.1f} {row['load']:5.1f}",
                flush=True,
            )
            shutil.rmtree(work / str(workers))
    results_file.save("fleet_throughput", {"making": made, "rows": rows}, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
