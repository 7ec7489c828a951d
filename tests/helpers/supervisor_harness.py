"""A data folder with a queue and a supervisor, a host that only pretends, and small workers that speak the protocol.

The character's name says what a worker does. Here each is a process; `scripted_workers` has those that need none.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from lib_lora.errors import StoppedByUser
from lib_lora.job_host import Each, JobHost, never
from lib_lora.pictures import Cell
from lib_lora.queue.job_types import Kind, arguments_of
from lib_lora.queue.queue import Job, Queue
from lib_lora.queue.runners.local_runner import LocalRunner
from lib_lora.queue.running.runner_protocol import Runner
from lib_lora.queue.running.supervisor import Supervisor, Timeouts
from lib_lora.runs.events import read_events

PATIENCE = Timeouts(stop=20, pause=20, close=20, poll=0.05, again=0.05)
WORKER = """
import json, os, signal, sqlite3, subprocess, sys, time
from pathlib import Path

number, root = sys.argv[-3], Path(sys.argv[-1])
folder = root / "jobs" / number
db = sqlite3.connect(root / "jobs.sqlite")
does, kind, arguments = db.execute("SELECT slug, kind, arguments FROM jobs WHERE id = ?", (number,)).fetchone()
db.close()
arguments = json.loads(arguments)

def event(kind, **fields):
    with open(folder / "events.jsonl", "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"t": time.time(), "kind": kind, **fields}) + "\\n")

def end(state, error="", code="", **result):
    part = folder / "result.part"
    part.write_text(json.dumps({"state": state, "error": error, "code": code, "result": result}), encoding="utf-8")
    os.replace(part, folder / "result.json")
    sys.exit(0)

def say(**message):
    print(json.dumps(message), flush=True)

def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else {"wish": "stop"}

def obey(message):
    if "wish" in message:
        end("paused" if message["wish"] == "pause" else "stopped", step=7)

if kind == "train":
    event("run", run=arguments["run"] or "003")
event("state", state="training")
print("no message", flush=True)
print("to the log", file=sys.stderr, flush=True)
if does == "finishes":
    end("finished", run="003", lora="a.safetensors")
elif does == "fails":
    end("failed", "There is no photo in x.", "photos-missing")
elif does == "runs-out":
    sys.exit("RuntimeError: CUDA out of memory.")
elif does == "is-killed":
    os.kill(os.getpid(), signal.SIGKILL)
elif does == "leaves-a-child":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
    os.kill(os.getpid(), signal.SIGKILL)
elif does == "ends-without-a-word":
    sys.exit(0)
elif does == "writes-nonsense":
    (folder / "result.json").write_text("[1")
    sys.exit(0)
elif does == "obeys":
    obey(hear())
elif does == "ignores":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
    while True:
        time.sleep(600)
elif does == "waits":
    while not (root / "go").exists():
        time.sleep(0.02)
    end("finished")
elif does == "names-a-latin-1-file":
    event("run", run="0\\udcfc3")
    end("failed", "Cannot read M\\udcfcller.jpg", files=[{"M\\udcfcller.jpg": 1}])
elif does in ("stays", "stays-stopped"):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
    if does == "stays-stopped":
        hear()
    os._exit = sys.exit = lambda code: time.sleep(600)
    end("finished" if does == "stays" else "stopped", steps=3)
elif does == "ends-and-leaves-a-child":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
    end("finished")
elif does == "steps-slowly":
    event("step", step=1, total=9, seconds_per_step=1.0)
    event("state", state="stepping")
    message = hear()
    time.sleep(1.5)
    obey(message)
elif does == "closes-its-output":
    os.close(1)
    while not (root / "go").exists():
        time.sleep(0.02)
    end("finished")
elif does == "rebuilds":
    say(ask="reconstruct", id=1, file=str(root / "in.png"), out=str(root / "out.png"))
    answer = hear()
    end("finished", answer=answer)
elif does == "paints":
    pictures = [dict(prompt=f"p{k}", negative="", seed=k, lora=None if k else "L ü.safetensors") for k in range(3)]
    pictures[1]["further_loras"] = [["ink ü.safetensors", 0.4]]
    (folder / "cells").mkdir()
    say(ask="paint", id=1, base="base.safetensors", pictures=pictures, folder=str(folder / "cells"))
    got = []
    while True:
        answer = hear()
        obey(answer)
        if "error" in answer:
            end("failed", answer["error"])
        if answer.get("done"):
            end("finished", got=got)
        got.append([answer["number"], os.path.exists(answer["file"]), answer["file"], answer["infotext"]])
"""


class FakeHost(JobHost):
    """A host whose GPU and painting are only pretended."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "worker.py"
        self.script.write_text(WORKER, encoding="utf-8")
        self.painting = False  # whether `paint` works
        self.said: list[tuple[str, int, bool]] = []  # what happened to the GPU: "in" and "out", each with its thread
        self.free = threading.Event()  # whether the GPU can be had
        self.free.set()
        self.entering_error: Exception | None = None  # of `gpu_session`
        self.leaving_error: Exception | None = None  # of its end
        self.painted: list[tuple[Cell, Path | None]] = []
        self.paint_error: Exception | None = None
        self.picture_done = threading.Event()  # whether the next picture gets done
        self.picture_done.set()
        self.rebuilt: Image.Image | None = Image.new("RGB", (8, 8), "blue")
        self.says: list[str] | Exception = ["red coat"]  # of a photo

    def worker_command(self) -> list[str]:
        return [sys.executable, "-S", str(self.script)]

    def worker_environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONUTF8": "1"}

    @contextmanager
    def gpu_session(self, allow_painting: bool = False, give_up: Callable[[], bool] = never) -> Iterator[None]:
        arrived = False
        while not arrived:
            arrived = self.free.wait(0.02)
            if give_up():
                raise StoppedByUser("It was given up.", code="webui-wait-stopped")
        if self.entering_error:
            raise self.entering_error
        self.said.append(("in", threading.get_ident(), allow_painting))
        try:
            yield
        finally:
            self.said.append(("out", threading.get_ident(), allow_painting))
            if self.leaving_error:
                raise self.leaving_error

    def paints(self) -> bool:
        return self.painting

    def paint(self, pictures: Sequence[Cell], base: Path | None, each: Each, stop: Callable[[], bool]) -> None:
        for number, picture in enumerate(pictures):
            while not self.picture_done.wait(0.02):
                if stop():
                    return
            if stop():
                return
            if self.paint_error:
                raise self.paint_error
            self.painted.append((picture, base))
            each(number, Image.new("RGB", (8, 8), "red"), f"{picture.prompt}\nSteps: 20")

    def reconstruct(self, image: Image.Image, stop: Callable[[], bool] = never) -> Image.Image | None:
        while not self.picture_done.wait(0.02):
            if stop():
                return None
        return self.rebuilt

    def caption(self, captioner: str, image: Image.Image, stop: Callable[[], bool] = never) -> list[str]:
        if isinstance(self.says, Exception):
            raise self.says
        return [captioner, *self.says, str(image.getpixel((0, 0)))]

    @property
    def held(self) -> int:
        """How often the GPU was taken; it must have been given back by the same thread each time."""
        pairs = list(zip(self.said[::2], self.said[1::2], strict=True))
        assert all((a[0], b[0]) == ("in", "out") and a[1:] == b[1:] for a, b in pairs), self.said
        return len(pairs)


_NEEDED: dict[str, dict[str, Any]] = {"train": {"base": "x", "then_test": False}, "probe": {"base": "x"}}


class Harness:
    """A data folder, its queue and its supervisor."""

    def __init__(self, root: Path, host: FakeHost, patience: Timeouts = PATIENCE, runner: Runner | None = None) -> None:
        self.root, self.host = root, host
        self.queue = Queue(root)
        self.runner = runner or LocalRunner(root, lambda: host)
        self.supervisor = Supervisor(root, host, self.runner, patience=patience)

    def add(self, does: str, kind: Kind = "train", **arguments: Any) -> int:
        job = self.queue.add(does, arguments_of(kind, {**_NEEDED.get(kind, {}), **arguments}))
        self.supervisor.wake()
        return job.id

    def until(self, number: int, *states: str, seconds: float = 20.0) -> Job:
        eventually(lambda: self.queue.get(number).state in states, seconds, lambda: self.queue.get(number))
        return self.queue.get(number)

    def ended(self, number: int) -> Job:
        return self.until(number, "paused", "stopped", "interrupted", "failed", "finished")

    def at_work(self, number: int) -> None:
        """Wait until the worker itself has begun."""
        eventually(lambda: {"kind": "state", "state": "training"} in self.events(number))

    def events(self, number: int) -> list[dict[str, Any]]:
        found = list(read_events(self.queue.folder(number) / "events.jsonl"))
        return [{key: value for key, value in event.items() if key != "t"} for event in found]


def eventually(true: Callable[[], object], seconds: float = 20.0, about: Callable[[], object] = str) -> None:
    """Wait until it is."""
    began = time.monotonic()
    while not true():
        waited = time.monotonic() - began
        assert waited < seconds, about()
        time.sleep(min(max(waited / 20, 0.01), 0.1))  # a worker that trains for a minute is not asked 6,000 times


def alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
