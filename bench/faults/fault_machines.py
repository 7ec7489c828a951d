"""The machines of `remote_faults`: a home whose processes can be killed, and another machine, or rented ones, to which
anything may happen. Knows nothing of which fault is due when.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from fake_runpod import FakePod, FakeRunpod
from remote_harness import NAME, STEPS, TRAINER, RemoteHarness, supervised
from rented import Rented

from lib_lora.queue.job_types import Rental, TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners import remote_job, rented_pod
from lib_lora.remote import openssh, places
from lib_lora.remote.ray_cluster import ray_api, ray_connection, shared_storage
from lib_lora.remote.renting.pod_ledger import PodLedger
from lib_lora.training.plan.run_file import saved_steps

PACE = 0.3  # seconds for a step
INSTALLS = 0.6  # seconds for each half of an installation
KBITS = 70_000  # a second, for what is sent and fetched
AWAY = 2.0  # seconds for which a server, or room on a disk, is gone
DISK = 64  # MB of the disk there, where this process may mount one
_ENDS = 45.0  # seconds in which a pod ends by itself, should nobody delete it
_HOME = {"POLL": 0.2, "FILES": 0.3, "AGAIN": 1.0, "PATIENCE": 6.0}  # of `remote_job`, to be quick
_PIECE = 1 << 20  # bytes of a copy into shared storage, or out of it
_FILE = 0.05  # seconds that each of its files takes
_CLOCK = """import os, time
_real, _real_ns, _file = time.time, time.time_ns, os.path.join(os.path.dirname(__file__), "skew")
def _skew():
    try:
        with open(_file) as stream:
            return float(stream.read() or 0)
    except (OSError, ValueError):
        return 0.0
time.time = lambda: _real() + _skew()
time.time_ns = lambda: _real_ns() + int(_skew() * 1e9)
"""
_VENV = f"""import pathlib, sys, time
time.sleep({INSTALLS})
folder = pathlib.Path(sys.argv[-1])
(folder / "bin").mkdir(parents=True, exist_ok=True)
shutil_copy = pathlib.Path(__file__).with_name("trainer.py").read_text()
(folder.parent / "trainer.py").write_text(shutil_copy)
program = folder / "bin" / "python"
program.write_text('#!/bin/sh\\nif [ "$2" = pip ]; then sleep {INSTALLS}; exit 0; fi\\n'
    + 'exec {sys.executable} -S ' + str(folder.parent / "trainer.py") + ' "$@"\\n')
program.chmod(0o755)
"""


def home(root: Path, rented: Path | None, log: Path) -> None:
    """Run the jobs of a data folder until none is open; closed by SIGTERM.

    Args:
        root: the data folder.
        rented: where it stands how pods are had (`Rented`).
        log: for what it prints.
    """
    os.setsid()
    with open(log, "ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    for name, value in _HOME.items():
        setattr(remote_job, name, value)
    for name, value in {"POLL": 0.1, "_ASK_AGAIN": 0.5, "DELETING": 6.0}.items():
        setattr(rented_pod, name, value)
    if rented:
        Rented.load(rented).use(setattr)
    options = openssh.options

    def slowly(root: Path, place: places.Place, port: str = "-p") -> list[str]:
        return [*(["-l", str(KBITS)] if port == "-P" else []), *options(root, place, port)]

    openssh.options = slowly  # type: ignore[assignment]
    ray_connection.STALE = 0.5
    ray_api._FRESH = 0.2
    shared_storage._copy = _copy_slowly  # type: ignore[assignment]
    supervisor = supervised(root)

    def end(*_: Any) -> None:
        supervisor.close()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    queue = Queue(root)
    while queue.open():
        time.sleep(0.05)
    supervisor.close()


def _copy_slowly(source: Any, target: Any, done: int, look: Callable[[int], None]) -> None:
    """As `shared_storage._copy`, over a line as slow as that to the SSH server."""
    look(done)
    time.sleep(_FILE)
    while chunk := source.read(_PIECE):
        target.write(chunk)
        done += len(chunk)
        time.sleep(len(chunk) * 8 / (KBITS * 1000))
        look(done)


class FaultyMachine:
    """A home, and the other machine.

    Args:
        work: a folder of its own.
        prepared: the data folder that `prepare` made.
        mounts: whether the disk there is a small one of its own, which can be filled.
    """

    kind = "ssh"
    pace = PACE

    def __init__(self, work: Path, prepared: Path, mounts: bool) -> None:
        self.work = work
        self._shadow = work / "shadow"
        self._shadow.mkdir()
        for name, text in {"sitecustomize.py": _CLOCK, "venv.py": _VENV, "trainer.py": TRAINER}.items():
            (self._shadow / name).write_text(text, encoding="utf-8")
        self.environment = {"PYTHONPATH": str(self._shadow)}
        self._mounted: list[Path] = []
        self.harness = self._made(prepared)
        self.there, self.queue = self.harness.there, self.harness.queue
        shutil.rmtree(self.there)
        self.there.mkdir()
        if mounts:
            self._mount()
        self.harness.lets(STEPS, pace=self.pace)
        self._at_home: Any = None
        self.number = self._add()

    def _made(self, prepared: Path) -> RemoteHarness:
        return RemoteHarness(self.work, prepared, runs_jobs=False, environment=self.environment)

    def _mount(self) -> None:
        self._mount_disk(self.there)

    def _mount_disk(self, folder: Path) -> None:
        """Let a folder be a small disk of its own."""
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=700", "tmpfs", str(folder)]
        if not subprocess.run(command, capture_output=True, check=False).returncode:
            self._mounted.append(folder)

    def close(self) -> None:
        """End all."""
        self.end_home()
        self.end_processes(str(self.there))
        self.harness.server.stop()
        for folder in self._mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)

    def _add(self) -> int:
        return self.harness.add()

    # --------------------------------------------------------------------------------------------------- what it does

    def look_after(self) -> None:
        """See that a process at home runs the jobs; it is forked from one that has loaded all and has done nothing."""
        if self._at_home is None or not self._at_home.is_alive():
            rented = self.work / "rented.json"
            words = (self.harness.root, rented if rented.is_file() else None, self.work / "home.log")
            self._at_home = multiprocessing.get_context("forkserver").Process(target=home, args=words)
            self._at_home.start()

    def wait_for_home(self, seconds: float) -> None:
        """Wait for its end."""
        if self._at_home:
            self._at_home.join(seconds)

    def phase(self) -> str:
        """What the job says that it does."""
        if self.queue.get(self.number).ended:
            return "after the end"
        events = self.harness.events(self.number)
        if any(event.get("state") == "finished" and "text" in event for event in events):  # said here, not there
            return "erase"
        for event in reversed(events):
            text = str(event.get("text", ""))
            for start, name in (("Sending", "upload"), ("Installing", "installation"), ("Bringing", "download")):
                if text.startswith(start):
                    return name
            if event["kind"] == "step":
                return "training"
        return self.first

    first = "begin"

    def watch(self, look: Callable[[str], None]) -> None:
        """Let each request for an API, method and path, be looked at before it is answered; here there is none."""

    def mislead(self, fault: str, draw: random.Random) -> None:
        """Let the API answer wrongly; here there is none."""

    def met(self) -> bool:
        """Whether an answer that was to be another one was given; those that were not are taken back."""
        return True

    def said(self) -> list[str]:
        """Sentences of the job's events."""
        return [str(event["text"]) for event in self.harness.events(self.number) if event.get("text")]

    # --------------------------------------------------------------------------------------------- what happens to it

    def stop_home(self, number: int) -> None:
        """Send a signal to the process at home, and wait for its end."""
        if self._at_home and self._at_home.pid:
            os.kill(self._at_home.pid, number)
            self._at_home.join()

    def end_home(self) -> None:
        """This computer loses its power: everything at home that we have started ends at once."""
        if self._at_home:
            self._at_home.kill()
            self._at_home.join()
        self.end_processes(str(self.harness.root))

    def end_processes(self, mark: str) -> None:
        """Kill what has a text on its command line or among its variables."""
        for process in self.processes(mark):
            with suppress(psutil.Error):
                process.kill()

    def processes(self, mark: str) -> list[psutil.Process]:
        """What has a text on its command line or among its variables, and is not this process."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and any(
                    mark in word for word in (*process.cmdline(), *process.environ().values())
                ):
                    found.append(process)
        return found

    def cut_network(self) -> None:
        """Nobody reaches anybody for a while."""
        self.harness.server.stop()
        time.sleep(AWAY)
        self.harness.server.start()

    def restart_sshd(self) -> None:
        """The SSH server, with its connections, ends and begins again."""
        self.harness.server.stop()
        self.harness.server.start()

    def kill_worker(self) -> None:
        """The worker there ends."""
        self._kill("worker")

    def reboot(self) -> None:
        """All processes there end; two seconds later the server is back."""
        self.harness.server.stop()
        self._kill("keeper", "worker")
        self.end_processes(str(self.there))
        time.sleep(AWAY)
        self.harness.server.start()

    def _kill(self, *names: str) -> None:
        there = self.harness.processes_there()
        for name in names:
            with suppress(OSError):
                if name in there:
                    os.kill(there[name], signal.SIGKILL)

    def fill_disk(self) -> None:
        """The disk there has no byte free for a while."""
        self._fill(self.there)

    def _fill(self, folder: Path) -> None:
        filler = folder / "filler"
        with suppress(OSError), open(filler, "wb", buffering=0) as stream:
            while True:
                stream.write(b"\0" * 4096)
        time.sleep(AWAY)
        filler.unlink(missing_ok=True)

    def skew(self, hours: float) -> None:
        """The clock there jumps."""
        (self._shadow / "skew").write_text(str(hours * 3600), encoding="ascii")

    # ------------------------------------------------------------------------------------------------ what came of it

    def wrong(self) -> list[str]:
        """What is not as it should be at the end."""
        run = self.harness.run()
        looks: dict[str, Callable[[], bool]] = {
            "the job has not finished": lambda: self.queue.get(self.number).state == "finished",
            "a checkpoint is missing": lambda: saved_steps(run) == list(range(1, STEPS + 1)),
            "a checkpoint has another content": lambda: all(
                run.checkpoint(step).read_text(encoding="utf-8") == "weights " * 100 + str(step)
                for step in saved_steps(run)
            ),
            "the state is missing": lambda: (run.states / f"{STEPS:06d}.pt").is_file(),
            "a step was not said": lambda: set(self.harness.steps_said(self.number)) == set(range(1, STEPS + 1)),
            "something is left there": lambda: not self.harness.jobs_there(),
        }
        return [text for text, is_right in looks.items() if not is_right()]


class Pods(FaultyMachine):
    """A home, and RunPod's stand-in, whose pods are all the same SSH server; all on it goes with each pod that ends."""

    kind = "runpod"
    first = "renting"

    def __init__(self, work: Path, prepared: Path, mounts: bool) -> None:
        self.runpod = FakeRunpod(work / "pods")
        super().__init__(work, prepared, mounts)
        places.remove(self.harness.root, "workshop")
        server = self.harness.server
        self._keys = server.folder / "authorized_keys"
        self._own = self._keys.read_text(encoding="utf-8")
        self.runpod.ssh = ("127.0.0.1", server.port)
        self.runpod.environment = self.environment
        self.runpod.when_ended = self._ended
        self._serving = self.runpod.running()
        self._serving.__enter__()
        self.rented = Rented(
            self.runpod.base,
            str(self._keys),
            str(self.there),
            attempts=3,
            pause=1.0,
            silent=8.0,
            fetched=2.0,
            unfetched=20.0,
        )
        self.rented.save(work / "rented.json")

    def close(self) -> None:
        """See `FaultyMachine`."""
        self.end_home()
        self._serving.__exit__(None, None, None)
        super().close()

    def _add(self) -> int:
        asked = TrainArguments(run="001", few=True, then_test=False, on="runpod", rental=Rental())
        return self.queue.add(NAME, asked).id

    def _ended(self, pod: FakePod) -> None:
        """Nobody is let in any more, and nothing is left."""
        self._keys.write_text(self._own, encoding="utf-8")
        self.end_processes(str(self.there))
        for path in self.there.iterdir():
            if path.name != "control.json":
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def cut_network(self) -> None:
        """See `FaultyMachine`; RunPod's API cannot be reached from home either."""
        self.runpod.cut = True
        super().cut_network()
        self.runpod.cut = False

    def vanish(self) -> None:
        """The pod is gone from one moment to the next."""
        for pod in self.runpod.living():
            self.harness.server.stop()
            self.runpod.vanish(pod)
            self.harness.server.start()

    def mislead(self, fault: str, draw: random.Random) -> None:
        """Let the API answer wrongly: with a status, "slow", "lies" or "undeleted"; from the next request on."""
        times = draw.randint(1, 3)
        if fault == "slow":
            self.runpod.plan("", 0, times, wait=6.0)
        elif fault == "lies":
            self.runpod.plan("", draw.choice((200, 201)), times, body=lies(draw.randrange(5)))
        elif fault == "undeleted":
            self.runpod.plan("DELETE /pods", draw.choice((500, 409, 403)), 1)
        else:
            self.runpod.plan("", int(fault), times, headers={"Retry-After": "1"} if fault == "429" else {})

    def cut_connections(self) -> None:
        """Nobody reaches the pod for a while, so that home asks RunPod whether it is still there."""
        FaultyMachine.cut_network(self)

    def watch(self, look: Callable[[str], None]) -> None:
        """See `FaultyMachine`."""
        self.runpod.before = look

    def met(self) -> bool:
        """Whether an answer that was to be another one was given; those that were not are taken back."""
        self.runpod.forget_plans()
        return self.runpod.given > 0

    def wrong(self) -> list[str]:
        """See `FaultyMachine`; and no pod lives on."""
        until = time.monotonic() + _ENDS
        while self.runpod.living() and time.monotonic() < until:
            time.sleep(0.1)
        found = super().wrong()
        if self.runpod.living():
            found.append("a pod is left behind")
        elif PodLedger(self.harness.root).living(self.rented.api()):
            found.append("the ledger has a pod that is none")
        left = [path.name for path in self.harness.root.rglob("*") if path.name in ("pod.json", "pod-key")]
        return found + (["something of a pod is left here"] if left else [])


def lies(number: int) -> bytes:
    """An answer of an API that lies."""
    pod: dict[str, Any] = {"id": "../../pods/x", "name": "sameface-0", "status": "RUNNING", "cost": -1}
    return [
        b"<html>not found</html>",
        b'{"gpus": 3, "pods": {"a": 1}, "id": null}',
        json.dumps({**pod, "pods": [pod], "gpus": [{"id": "-x", "memory": -1}]}).encode(),
        b'{"cost": NaN, "price": 1e999, "id": "x\\u0000"',
        json.dumps({"id": "abc", "name": "sameface-0", "status": "RUNNING", "cost": 0, "pods": []}).encode(),
    ][number % 5]
