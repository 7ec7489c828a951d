"""A home with a run for another machine, and a server on which a script stands for the trainer.

The script saves a checkpoint and a state at each step, as long as it is let; the server, the installation's folder, the
queue and the supervisor are the real ones.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fake_ray import FakeRay
from PIL import Image
from ssh_server import SshServer

from lib_lora.hosts.standalone import Alone
from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Job, Queue
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.runner_choice import ChosenRunner
from lib_lora.queue.running.supervisor import Supervisor, Timeouts
from lib_lora.remote import installation, places
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import Run, load_run, saved_steps
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train.prepare import start_run
from lib_lora.workspace.workspace import Workspace

if TYPE_CHECKING:
    import pytest

PERSONAS = Path(__file__).parents[2] / "data" / "personas"
NAME = "Mara ü"
SECRET = b"Hauptstrasse 5"
STEPS = 6
SETTINGS = {
    "resolution": 128,
    "precision": "fp32",
    "optimizer": "adamw",
    "lora": {"rank": 2, "te": False},
    "samples": 0,
}
TRAINER = """
import json, os, pathlib, sys, threading, time
data, number = pathlib.Path(sys.argv[sys.argv.index("--data") + 1]), sys.argv[4]
job, [run] = data / "jobs" / number, data.glob("characters/*/runs/*")
control = pathlib.Path(os.environ["SAMEFACE_JOB"]).parents[1] / "control.json"
wishes = []
def listen():
    for line in sys.stdin:
        wishes.append(json.loads(line)["wish"])
    wishes.append("its parent is gone")
threading.Thread(target=listen, daemon=True).start()
def say(path, kind, **fields):
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"t": time.time(), "kind": kind, **fields}) + "\\n")
def save(path, text):
    path.parent.mkdir(exist_ok=True)
    path.with_name(path.name + ".tmp").write_text(text)
    os.replace(path.with_name(path.name + ".tmp"), path)
job.mkdir(parents=True, exist_ok=True)
done = max([int(path.stem) for path in run.glob("state/*.pt")], default=0)
stem = [line.split()[1] for line in open(run / "run.yaml", encoding="utf-8") if line.startswith("stem:")][0]
print("on standard error, for the log", file=sys.stderr, flush=True)
if done:
    say(run / "events.jsonl", "state", state="resumed", step=done)
total, state = 6, "finished"
while done < total:
    wanted = json.loads(control.read_text())
    if wishes and not wanted.get("deaf"):
        state = "paused" if wishes[-1] == "pause" else "stopped"
        break
    if done >= wanted["until"]:
        time.sleep(0.02)
        continue
    pace = wanted.get("pace", 0.0)
    time.sleep(pace)
    done += 1
    timed = {"seconds_per_step": pace, "seconds_left": pace * (total - done)} if pace else {}
    for path in (job, run):
        say(path / "events.jsonl", "step", step=done, total=total, **timed)
    save(run / "checkpoints" / f"{stem}-{done:06d}.safetensors", "weights " * 100 + str(done))
    save(run / "state" / f"{done:06d}.pt", f"state {done}")
    (run / "state" / f"{done - 1:06d}.pt").unlink(missing_ok=True)
lora = f"{stem}-{done:06d}.safetensors"
say(job / "events.jsonl", "state", state=state)
save(job / "result.json", json.dumps({"state": state, "error": "", "result": {"run": run.name, "lora": lora}}))
"""


def prepare(root: Path, base: Path, photos: Path) -> None:
    """Make a character of three photos with EXIF in a data folder, and a run for another machine.

    Args:
        root: the data folder.
        base: the base model.
        photos: a folder for the photos; it is made.
    """
    photos.mkdir(parents=True)
    for number in range(3):
        with Image.open(PERSONAS / "mara" / f"{number:02d}.jpg") as picture:
            exif = Image.Exif()  # type: ignore[no-untyped-call, unused-ignore]
            exif[0x0112], exif[0x010E] = (1, 6, 3)[number], SECRET.decode()
            picture.save(photos / f"Oma {number}.jpg", exif=exif, quality=90)
    new_character(root, NewCharacter(NAME, "mrxa", "woman", "fictional"), sorted(photos.iterdir()))
    start_run(root, NAME, TrainingRequest(base, overrides=SETTINGS, few=True, elsewhere=True))


def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a job elsewhere be looked at ten times a second."""
    monkeypatch.setattr(remote_job, "POLL", 0.1)
    monkeypatch.setattr(remote_job, "FILES", 0.1)
    monkeypatch.setattr(remote_job, "AGAIN", 0.3)


class RemoteHarness:
    """A home, and a server on which the script stands for the trainer.

    Args:
        folder: for both.
        prepared: the data folder that `prepare` made.
        runs_jobs: a supervisor runs in this process.
        environment: further variables of what the server starts.
        cluster: a Ray cluster in place of a server over SSH.
    """

    def __init__(
        self,
        folder: Path,
        prepared: Path,
        runs_jobs: bool = True,
        environment: Mapping[str, str] | None = None,
        cluster: FakeRay | None = None,
    ) -> None:
        self.root = folder / "zu Hause ü"
        shutil.copytree(prepared, self.root)
        self.server = cluster or SshServer(folder / "server", environment)
        self.server.start()
        self.there = cluster.there if cluster else Path(self.server.place().folder)
        places.save(self.root, self.server.place())
        self.on = self.server.place().on()
        version = self.there / "versions" / installation.built(self.root).sha256[:16]
        program = version / "venv" / "bin" / "python"
        program.parent.mkdir(parents=True)
        (version / "trainer.py").write_text(TRAINER, encoding="utf-8")
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {version}/trainer.py "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        (version / "ready.json").write_text("{}", encoding="utf-8")
        self.queue = Queue(self.root)
        self.lets(STEPS)
        self.supervisor = supervised(self.root) if runs_jobs else None

    def lets(self, until: int, **more: Any) -> None:
        """Let the trainer go on to a step."""
        path = self.there / "control.json"
        path.with_suffix(".new").write_text(json.dumps({"until": until, **more}), encoding="utf-8")
        path.with_suffix(".new").replace(path)

    def open(self) -> None:
        """Start a supervisor, after one was closed."""
        self.supervisor = supervised(self.root)

    def close(self) -> None:
        """Close the supervisor."""
        if self.supervisor:
            self.supervisor.close()

    def add(self) -> int:
        """Have the run trained; the job's number."""
        job = self.queue.add(NAME, TrainArguments(run="001", few=True, then_test=False, on=self.on))
        if self.supervisor:
            self.supervisor.wake()
        return job.id

    def resume(self, number: int) -> None:
        """Put a job back in line."""
        self.queue.resume(number)
        if self.supervisor:
            self.supervisor.wake()

    def until(self, number: int, true: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for something of a job."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, (self.queue.get(number), self.events(number))
            time.sleep(0.03)

    def ended(self, number: int) -> Job:
        """A job, once it has ended."""
        self.until(number, lambda: self.queue.get(number).ended is not None)
        return self.queue.get(number)

    def at_step(self, number: int, step: int) -> None:
        """Wait until the checkpoint of a step has come home, and the event that names it."""
        run = self.run()
        self.until(number, lambda: step in saved_steps(run) and step in self.steps_said(number))

    def run(self) -> Run:
        """The run as it is at home."""
        return load_run(Workspace(self.root).character(NAME).run("001").path)

    def events(self, number: int) -> list[dict[str, Any]]:
        """Of a job, those that have come home."""
        return list(read_events(self.queue.folder(number) / "events.jsonl"))

    def steps_said(self, number: int) -> list[int]:
        """The steps that a job's events name."""
        return [event["step"] for event in self.events(number) if event["kind"] == "step" and "step" in event]

    def jobs_there(self) -> list[str]:
        """The jobs of which something is on the server."""
        folder = self.there / "jobs"
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []

    def end(self) -> None:
        """Close all, and end what still runs on the server."""
        self.close()
        for pid in self.processes_there().values():
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.server.stop()

    def processes_there(self) -> dict[str, int]:
        """The numbers of the keeper and of the worker; empty where none was started."""
        for path in self.there.glob("jobs/*/beat.json"):
            with suppress(OSError, ValueError):
                beat = json.loads(path.read_text(encoding="utf-8"))
                return {name: beat[name] for name in ("keeper", "worker")}
        return {}


def supervised(root: Path) -> Supervisor:
    """A supervisor of a data folder that runs the jobs of other machines, started."""
    host = Alone(root)
    runner = ChosenRunner(root, lambda: host)
    found = Supervisor(root, host, runner, Timeouts(poll=0.05, again=0.05), lanes=("remote",))
    found.start()
    return found
