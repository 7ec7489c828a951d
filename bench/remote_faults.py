"""Break a training on another machine at random moments; then go on with it, and see that nothing was lost.

    python bench/remote_faults.py --work DIR --trials 72

Each trial trains a run of six steps over SSH, on a server of our own on the loopback; a script that saves a checkpoint
and a state at each step stands for the trainer (tests/helpers/remote_harness.py). At a moment that is drawn evenly from
the length of an undisturbed trial, one of these happens:

    network     the server and its connections end; two seconds later it is back
    home killed      the process at home that follows the job is killed
    home closed      it is closed as a webui is
    worker killed    the worker there is killed
    rebooted         all processes there are killed, and the server ends; two seconds later it is back

Then the job is followed again until it ends, resumed where it says that it was interrupted or failed. A trial is good
where all six checkpoints and the last state are at home with their content, each step was said, and nothing of the job
is left on the server. Needs Linux, sshd, ssh and sftp.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import toys  # noqa: E402
from remote_harness import STEPS, RemoteHarness, prepare, supervised  # noqa: E402

from bench import results_file  # noqa: E402
from lib_lora.queue.queue import Queue  # noqa: E402
from lib_lora.training.plan.run_file import saved_steps  # noqa: E402

FAULTS = ("network", "home killed", "home closed", "worker killed", "rebooted")
PACE = 0.5  # seconds for a step
AWAY = 2.0  # seconds for which a server is gone
MOST = 120.0  # seconds for a trial
TRIES = 4  # of going on with a job


def home(root: Path) -> None:
    """Run the jobs of a data folder until none is open; closed by SIGTERM."""
    supervisor = supervised(root)
    signal.signal(signal.SIGTERM, lambda *_: (supervisor.close(), os._exit(0)))
    queue = Queue(root)
    while queue.open():
        time.sleep(0.05)
    supervisor.close()


def started(root: Path) -> subprocess.Popen[bytes]:
    """A process at home that runs the jobs."""
    command = [sys.executable, __file__, "--home", str(root)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def strike(fault: str, harness: RemoteHarness, at_home: subprocess.Popen[bytes]) -> None:
    """Let one of the `FAULTS` happen."""
    if fault.startswith("home"):
        at_home.send_signal(signal.SIGKILL if fault == "home killed" else signal.SIGTERM)
        at_home.wait()
        return
    if fault == "worker killed":
        kill(harness, ("worker",))
        return
    harness.server.stop()
    if fault == "rebooted":
        kill(harness, ("keeper", "worker"))
    time.sleep(AWAY)
    harness.server.start()


def kill(harness: RemoteHarness, names: tuple[str, ...]) -> None:
    """Kill processes on the server."""
    there = harness.processes_there()
    for name in names:
        with suppress(OSError):
            if name in there:
                os.kill(there[name], signal.SIGKILL)


def phase(harness: RemoteHarness, number: int) -> str:
    """What the job says that it does."""
    for event in reversed(harness.events(number)):
        text = str(event.get("text", ""))
        for start, name in (("Sending", "sending"), ("Installing", "installing"), ("Bringing", "bringing home")):
            if text.startswith(start):
                return name
        if event["kind"] == "step":
            return "training"
    return "begin"


def trial(work: Path, prepared: Path, fault: str | None, moment: float) -> dict[str, Any]:
    """One of them; what came of it."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    harness = RemoteHarness(work, prepared, runs_jobs=False)
    try:
        harness.lets(STEPS, pace=PACE)
        number = harness.add()
        began, resumed, said = time.monotonic(), 0, ""
        at_home, when = started(harness.root), "none"
        if fault:
            time.sleep(moment)
            when = phase(harness, number) if harness.queue.get(number).ended is None else "after the end"
            strike(fault, harness, at_home)
        while time.monotonic() - began < MOST:
            job = harness.queue.get(number)
            if job.state == "finished":
                break
            if job.state in ("failed", "interrupted", "stopped") and resumed < TRIES:
                resumed, said = resumed + 1, job.error
                harness.resume(number)
            if at_home.poll() is not None:
                at_home = started(harness.root)
            time.sleep(0.05)
        seconds = time.monotonic() - began
        with suppress(subprocess.TimeoutExpired):
            at_home.wait(20)
        at_home.kill()
        return {
            "fault": fault or "none",
            "at": round(moment, 2),
            "phase": when,
            "resumed": resumed,
            "said": said[:200],
            "seconds": round(seconds, 1),
            "wrong": wrong(harness, number),
        }
    finally:
        harness.server.stop()


def wrong(harness: RemoteHarness, number: int) -> str:
    """What is not as it should be at the end; empty where all is."""
    run = harness.run()
    looks: dict[str, Callable[[], bool]] = {
        "the job has not finished": lambda: harness.queue.get(number).state == "finished",
        "a checkpoint is missing": lambda: saved_steps(run) == list(range(1, STEPS + 1)),
        "a checkpoint has another content": lambda: all(
            run.checkpoint(step).read_text(encoding="utf-8") == "weights " * 100 + str(step)
            for step in saved_steps(run)
        ),
        "the state is missing": lambda: (run.states / f"{STEPS:06d}.pt").is_file(),
        "a step was not said": lambda: set(harness.steps_said(number)) == set(range(1, STEPS + 1)),
        "something is left there": lambda: not harness.jobs_there(),
    }
    return "; ".join(text for text, is_right in looks.items() if not is_right())


def main() -> int:
    """See the top of the file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, help="a folder that is made anew")
    options.add_argument("--trials", type=int, default=60, metavar="N")
    options.add_argument("--seed", type=int, default=1, help="of the moments")
    options.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    results_file.add_option(options)
    chosen = options.parse_args()
    if chosen.home:
        home(chosen.home)
        return 0
    work: Path = chosen.work.absolute()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    base = shutil.copy(toys.write_toy("sd1", work / "toy.safetensors"), work / "base.safetensors")
    prepare(work / "prepared", Path(base), work / "photos")
    whole = trial(work / "trial", work / "prepared", None, 0.0)
    rows, draw = [whole], random.Random(chosen.seed)
    print(f"undisturbed: {whole['seconds']} s", flush=True)
    for count in range(chosen.trials):
        fault = FAULTS[count % len(FAULTS)]
        rows.append(trial(work / "trial", work / "prepared", fault, draw.uniform(0.0, whole["seconds"])))
        print(count + 1, rows[-1], flush=True)
    struck = Counter((row["fault"], row["phase"]) for row in rows[1:])
    for (fault, when), times in sorted(struck.items()):
        print(f"{fault:14} {when:14} {times}")
    lost = [row for row in rows if row["wrong"]]
    print(f"{len(rows) - 1} trials, {len(lost)} with something wrong")
    results_file.save("remote_faults", rows, chosen.results)
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
