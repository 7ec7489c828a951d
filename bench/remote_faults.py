"""Break a training on another machine at a random moment of each phase; then go on with it, and see what was lost.

    python bench/remote_faults.py --kind ssh --work DIR --trials 75
    python bench/remote_faults.py --kind runpod --work DIR --trials 102

Each trial trains a run of six steps over SSH, on a server of our own on the loopback, or on pods of a stand-in for
RunPod's API (tests/helpers/fake_runpod.py), which are reached at such a server; their watchdog is the real one. A
script that saves a checkpoint and a state at each step stands for the trainer, and another one for the installation of
its packages (`bench/fault_machines.py`). In a phase of the job, at a moment that is drawn evenly from that phase's
length in an undisturbed trial, one of these happens:

    network          nobody reaches the machine (nor RunPod) for two seconds
    sshd restarted   its SSH server ends with all connections, and begins again
    home killed      the process at home that follows the job is killed
    home closed      it is closed as a webui is (ssh)
    home rebooted    all that runs at home is killed at once
    worker killed    the worker there is killed (ssh)
    rebooted         all processes there are killed; two seconds later the server is back (ssh)
    disk full        the disk there has no byte free for two seconds; it is a tmpfs, which needs root
    clock            the clock there, of the agent and of the watchdog, jumps by hours, forward or back
    vanished         the pod is gone (runpod)
    400 ... 503      RunPod's API answers the next one to three requests so; 429 with Retry-After (runpod)
    slow, lies       its next answers take long; or are no JSON, or none that could be true (runpod)
    undeleted        it refuses the next deletion (runpod)

Then the job is followed again until it ends, resumed where it says that it was interrupted or failed. A trial is good
where all six checkpoints and the last state are at home with their content, each step was said, nothing of the job is
left there, no pod lives, and each error of the job was one plain sentence that says what to do. Needs Linux, sshd, ssh
and sftp.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]
os.environ["no_proxy"] = "127.0.0.1"

from remote_harness import prepare  # noqa: E402

from bench import results_file  # noqa: E402
from bench.fault_machines import Machine, Pods, lies  # noqa: E402

BOTH = ("network", "sshd restarted", "home killed", "home rebooted", "disk full", "clock")
STATUSES = ("400", "402", "403", "422", "429", "500", "503")
FAULTS = {
    "ssh": (*BOTH, "home closed", "worker killed", "rebooted"),
    "runpod": (*BOTH, "vanished", *STATUSES, "slow", "lies", "undeleted"),
}
GROUPS = {"machines": (*BOTH, "vanished"), "api": (*STATUSES, "slow", "lies", "undeleted")}  # of a pod
PHASES = {
    "ssh": ("installation", "upload", "training", "download", "erase"),
    "runpod": ("renting", "installation", "upload", "training", "download", "erase"),
}
MOST = 120.0  # seconds for a trial
TRIES = 4  # of going on with a job
LONGEST = 500  # letters of a sentence
_NOT_PLAIN = re.compile(r"Traceback|[A-Za-z]+Error\b|Exception|<class|\{'|\n")
_ADVISES = re.compile(
    r"\b(resume|try|free|see|look|choose|add|make|delete|allow|start|wait|give|rent|let|name|end)\b", re.IGNORECASE
)


def strike(fault: str, machine: Machine, draw: random.Random) -> None:
    """Let one of the `FAULTS` happen."""
    if isinstance(machine, Pods):
        if fault in STATUSES:
            headers = {"Retry-After": "1"} if fault == "429" else {}
            machine.answer(
                draw.choice(("", "POST /pods", "GET /pods")), int(fault), draw.randint(1, 3), headers=headers
            )
        elif fault == "slow":
            machine.answer("", 0, 3, wait=6.0)
        elif fault == "lies":
            machine.answer("", draw.choice((200, 201)), draw.randint(1, 3), body=lies(draw.randrange(5)))
        elif fault == "undeleted":
            machine.answer("DELETE /pods", draw.choice((500, 409, 403)), 1)
        elif fault == "vanished":
            machine.vanish()
    {
        "network": machine.cut_network,
        "sshd restarted": machine.restart_sshd,
        "home killed": lambda: machine.stop_home(signal.SIGKILL),
        "home closed": lambda: machine.stop_home(signal.SIGTERM),
        "home rebooted": machine.end_home,
        "worker killed": machine.kill_worker,
        "rebooted": machine.reboot,
        "disk full": machine.fill_disk,
        "clock": lambda: machine.skew(draw.choice((-9.0, -1.0, 1.0, 9.0))),
    }.get(fault, lambda: None)()


def trial(
    work: Path, prepared: Path, kind: str, fault: str, phase: str, length: float, draw: random.Random
) -> dict[str, Any]:
    """One of them; what came of it.

    Args:
        work: a folder that is made anew.
        prepared: the data folder that `prepare` made.
        kind: "ssh" or "runpod".
        fault: empty = none.
        phase: in which it happens.
        length: of the phase, in seconds.
        draw: draws the moment.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    machine = (Pods if kind == "runpod" else Machine)(work, prepared, mounts=os.getuid() == 0)
    struck, sentences, lengths = "", list[str](), defaultdict[str, float](float)
    try:
        began = seen = time.monotonic()
        due, last, moment = None, "", draw.uniform(0.0, length)
        while (now := time.monotonic()) - began < MOST:
            machine.look_after()
            job = machine.queue.get(machine.number)
            at = machine.phase()
            if job.started:
                lengths[last] += now - seen
            seen, last = now, at
            if fault and not struck:
                due = due or (now + moment if at == phase and job.started else None)
                if (due and now >= due) or job.ended:
                    struck = at
                    strike(fault, machine, draw)
                    continue
            if job.state == "finished":
                break
            if job.state in ("failed", "interrupted", "stopped") and len(sentences) < TRIES:
                sentences.append(job.error)
                machine.harness.resume(machine.number)
            time.sleep(0.02)
        seconds = time.monotonic() - began
        machine.wait_for_home(20)
        met = machine.all_met()
        wrong = machine.wrong() + [f"no plain sentence: {text}" for text in sentences if not plain(text)]
        pods = machine.runpod if isinstance(machine, Pods) else None
        return {
            "kind": kind,
            "fault": fault or "none",
            "wanted": phase,
            "phase": struck,
            "moment": round(moment, 2),
            "met": met,
            "pods": len(pods.pods) if pods else 0,
            "resumed": len(sentences),
            "said": sentences,
            "seconds": round(seconds, 1),
            "wrong": "; ".join(wrong),
            **({} if fault else {"lengths": {name: round(value, 2) for name, value in lengths.items() if name}}),
        }
    finally:
        machine.close()


def plain(sentence: str) -> bool:
    """Whether an error is text for people that says what to do."""
    return bool(
        sentence.strip().endswith((".", ")"))
        and len(sentence) <= LONGEST
        and not _NOT_PLAIN.search(sentence)
        and _ADVISES.search(sentence)
    )


def main() -> int:
    """See the top of the file."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--work", type=Path, help="a folder that is made anew")
    options.add_argument("--kind", choices=tuple(FAULTS), default="ssh")
    options.add_argument("--trials", type=int, default=60, metavar="N")
    options.add_argument("--seed", type=int, default=1, help="of the moments, and of what happens in which phase")
    options.add_argument("--faults", nargs="+", metavar="FAULT", help="only these; of pods also: machines, api")
    options.add_argument("--phases", nargs="+", metavar="PHASE", help="only in these")
    results_file.add_option(options)
    chosen = options.parse_args()
    work: Path = chosen.work.absolute()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    import toys  # loads torch

    base = shutil.copy(toys.write_toy("sd1", work / "toy.safetensors"), work / "base.safetensors")
    prepare(work / "prepared", Path(base), work / "photos")
    draw = random.Random(chosen.seed)
    for _ in range(2):  # the first one loads what all others are forked from
        whole = trial(work / "trial", work / "prepared", chosen.kind, "", "", 0.0, draw)
    rows = [whole]
    print(f"undisturbed: {whole}", flush=True)
    asked = [one for name in chosen.faults or FAULTS[chosen.kind] for one in GROUPS.get(name, (name,))]
    faults = [fault for fault in asked if fault != "disk full" or os.getuid() == 0]
    if os.getuid() != 0:
        print("The disk there cannot be filled: that needs root.", flush=True)
    pairs = list(itertools.product(faults, chosen.phases or PHASES[chosen.kind]))
    draw.shuffle(pairs)
    for count in range(chosen.trials):
        fault, phase = pairs[count % len(pairs)]
        length = whole["lengths"].get(phase, 0.1)
        rows.append(trial(work / "trial", work / "prepared", chosen.kind, fault, phase, length, draw))
        print(count + 1, rows[-1], flush=True)
    print(table(rows[1:]))
    lost = [row for row in rows if row["wrong"]]
    print(
        f"{len(rows) - 1} trials; {sum(not row['met'] for row in rows)} met no request; "
        f"{sum(row['resumed'] > 0 for row in rows)} had to be resumed; {len(lost)} with something wrong"
    )
    results_file.save("remote_faults", {chosen.kind: rows}, chosen.results)
    return bool(lost)


def table(rows: list[dict[str, Any]]) -> str:
    """How often each fault struck in each phase, as Markdown."""
    struck = Counter((row["fault"], row["phase"]) for row in rows)
    phases = [*PHASES[rows[0]["kind"]], "begin", "after the end"] if rows else []
    phases = [one for one in phases if any(phase == one for _, phase in struck)]
    lines = [["fault", *phases, "resumed", "wrong"], ["---"] * (len(phases) + 3)]
    for fault in dict.fromkeys(row["fault"] for row in rows):
        mine = [row for row in rows if row["fault"] == fault]
        counts = [str(struck[fault, phase]) for phase in phases]
        sums = [str(sum(row["resumed"] > 0 for row in mine)), str(sum(bool(row["wrong"]) for row in mine))]
        lines.append([fault, *counts, *sums])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
