"""Break a training on another machine at a random moment of each phase; then go on with it, and see what was lost.

    python bench/faults/remote_faults.py --kind ssh --work DIR --trials 75
    python bench/faults/remote_faults.py --kind runpod --work DIR --trials 102
    python bench/faults/remote_faults.py --kind ray --work DIR --trials 89
    python bench/faults/remote_faults.py --kind ray-nodes --work DIR --trials 5

Each trial trains a run of six steps over SSH, on a server of our own on the loopback; or on pods of a stand-in for
RunPod's API (tests/helpers/standins/fake_runpod.py), which are reached at such a server, and whose watchdog is the real
one; or on one node of a stand-in for a Ray cluster (tests/helpers/standins/fake_ray.py), with a folder as the shared
storage, or on the nodes of a real one (tests/helpers/remote/ray_nodes.py). A script that saves a checkpoint and a state
at each step stands for the trainer, and another one for the installation of its packages (`fault_machines`,
`fault_cluster` and `fault_nodes` beside this file). In a phase of the job, at a moment that is drawn evenly from that
phase's length in an undisturbed trial, one of these happens:

    network          nobody reaches the machine (nor RunPod; nor the head and the storage) for two seconds
    sshd restarted   its SSH server ends with all connections, and begins again (ssh, runpod)
    home killed      the process at home that follows the job is killed
    home closed      it is closed as a webui is (ssh, ray)
    home rebooted    all that runs at home is killed at once
    worker killed    the worker there is killed (ssh, ray)
    rebooted         all processes there are killed; two seconds later the server is back (ssh)
    disk full        the disk there has no byte free for two seconds; it is a tmpfs, which needs root
    clock            the clock there, of the agent and of the watchdog, jumps by hours, forward or back
    vanished         the pod is gone (runpod)
    head away        nobody reaches the head for two seconds (ray)
    head restarted   the head ends with all jobs, and begins again without having heard of any (ray)
    program killed   what Ray has started on the node is killed (ray)
    node lost        all that runs on the node is killed, and Ray says that the job has failed (ray)
    cut off          Ray says so, and what runs on the node goes on (ray)
    unmounted        in place of the storage is an empty folder for two seconds, at home, on the node, or both (ray)
    storage full     the storage has no byte free for two seconds; it is a tmpfs too (ray)

or an API answers wrongly (runpod, ray). That begins at a request, which is drawn from those of the phase in an
undisturbed trial. In a phase in which home asks RunPod nothing, something happens that makes it ask: home is killed,
or nobody reaches the pod for two seconds; and the job is stopped, which deletes the pod, for a deletion to be refused.

    400 ... 503      it answers the next one to three requests so; RunPod's 429 with Retry-After
    slow, lies       one to three answers take long; or are no JSON, or none that could be true
    undeleted        the next deletion is refused (runpod)

Then the job is followed again until it ends, resumed where it says that it was interrupted or failed. A trial is good
where all six checkpoints and the last state are at home with their content, each step was said, nothing of the job is
left there, no pod lives, no process and no file of the job is left on the node and in the storage, and each error of
the job was one plain sentence that says what to do. Needs Linux, sshd, ssh and sftp.
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
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()
os.environ["no_proxy"] = "127.0.0.1"

from remote_harness import prepare  # noqa: E402

from bench import results_file  # noqa: E402
from bench.faults.fault_cluster import HERE, THERE, Cluster  # noqa: E402
from bench.faults.fault_machines import FaultyMachine, Pods  # noqa: E402
from bench.faults.fault_nodes import Nodes, cluster_of_nodes  # noqa: E402
from lib_lora.models.families.sd1 import SD1  # noqa: E402

MACHINES = {"ssh": FaultyMachine, "runpod": Pods, "ray": Cluster, "ray-nodes": Nodes}
BOTH = ("network", "sshd restarted", "home killed", "home rebooted", "disk full", "clock")  # of machines over SSH
STATUSES = ("400", "402", "403", "422", "429", "500", "503")
API = {  # what an API may do wrongly
    "ssh": (),
    "runpod": (*STATUSES, "slow", "lies", "undeleted"),
    "ray": ("400", "403", "404", "429", "500", "503", "slow", "lies"),
    "ray-nodes": (),
}
FAULTS = {
    "ssh": (*BOTH, "home closed", "worker killed", "rebooted"),
    "runpod": (*BOTH, "vanished", *API["runpod"]),
    "ray": (
        *("network", "home killed", "home rebooted", "disk full", "clock", "home closed", "worker killed"),
        *("head away", "head restarted", "program killed", "node lost", "cut off", "unmounted", "storage full"),
        *API["ray"],
    ),
    "ray-nodes": (
        "home killed",
        "home rebooted",
        "worker killed",
        "program killed",
        "node lost",
        "cut off",
        "unmounted",
    ),
}
PHASES = {
    "ssh": ("installation", "upload", "training", "download", "erase"),
    "runpod": ("renting", "installation", "upload", "training", "download", "erase"),
    "ray": ("upload", "installation", "training", "download", "erase"),
    "ray-nodes": ("upload", "training", "download", "erase"),
}
ONLY = {  # of Ray: elsewhere there is nothing that it could happen to
    "worker killed": ("training",),
    "program killed": ("installation", "training"),
    "node lost": ("installation", "training"),
    "cut off": ("installation", "training"),
}
MOST = 120.0  # seconds for a trial
TRIES = 4  # of going on with a job
LONGEST = 500  # letters of a sentence
_NOT_PLAIN = re.compile(r"Traceback|[A-Za-z]+Error\b|Exception|<class|\{'|\n")
_COMMAND = re.compile(r": (python -m lib_lora|sameface) [^\n]+$")  # by which a sentence may end
_ADVISES = re.compile(
    r"\b(resume|try|free|see|look|choose|add|make|delete|allow|start|wait|give|rent|let|name|end)\b", re.IGNORECASE
)


def strike(fault: str, machine: FaultyMachine, draw: random.Random) -> None:
    """Let one of the `FAULTS` happen."""
    if fault in API[machine.kind]:
        machine.mislead(fault, draw)
        return
    does: dict[str, Callable[[], object]] = {
        "network": machine.cut_network,
        "sshd restarted": machine.restart_sshd,
        "home killed": lambda: machine.stop_home(signal.SIGKILL),
        "home closed": lambda: machine.stop_home(signal.SIGTERM),
        "home rebooted": machine.end_home,
        "worker killed": machine.kill_worker,
        "rebooted": machine.reboot,
        "disk full": machine.fill_disk,
        "clock": lambda: machine.skew(draw.choice((-9.0, -1.0, 1.0, 9.0))),
    }
    if isinstance(machine, Pods):
        does["vanished"] = machine.vanish
        does["pod cut off"] = machine.cut_connections
        does["stopped"] = lambda: machine.queue.wish(machine.number, "stop")
    if isinstance(machine, Cluster):
        does["head away"] = machine.cut_head
        does["head restarted"] = machine.restart_head
        does["program killed"] = machine.end_program
        does["node lost"] = machine.lose_node
        does["cut off"] = machine.cut_node_off
        sides = ((HERE,),) if isinstance(machine, Nodes) else ((HERE,), (THERE,), (HERE, THERE))
        does["unmounted"] = lambda: machine.unmount(*draw.choice(sides))
        does["storage full"] = machine.fill_storage
    does[fault]()


class Plan:
    """When something happens in a trial, and what.

    Args:
        kind: "ssh", "runpod" or "ray".
        fault: empty = none.
        phase: in which it happens.
        whole: what came of an undisturbed trial; empty where this is one.
        draw: draws the moment, or the request.

    Attributes:
        moment: seconds after the phase has begun.
        request: its number in the phase; 0 = none, it happens at the moment.
        asked: what home has asked an API in each phase of this trial.
        struck: the phase in which it has happened; empty = it has not.
    """

    def __init__(self, kind: str, fault: str, phase: str, whole: dict[str, Any], draw: random.Random) -> None:
        self.kind, self.fault, self.phase, self._draw = kind, fault, phase, draw
        self.moment = draw.uniform(0.0, whole.get("lengths", {}).get(phase, 0.1))
        fit = [place + 1 for place, one in enumerate(whole.get("asked", {}).get(phase, [])) if self._fits(one)]
        self.api = fault in API[kind]
        self.request = draw.choice(fit) if self.api and fit else 0
        self.provoked = ""
        if self.api and not fit:
            self.provoked = "stopped" if fault == "undeleted" else draw.choice(("home killed", "pod cut off"))
        self.asked: dict[str, list[str]] = defaultdict(list)
        self.struck = ""
        self._lock = threading.Lock()

    def _fits(self, request: str) -> bool:
        return self.fault != "undeleted" or request.startswith("DELETE")

    def see(self, machine: FaultyMachine, request: str) -> None:
        """Look at a request before it is answered, and let the API be wrong from it on if it is the one."""
        with self._lock:
            at = machine.phase()
            self.asked[at].append(request)
            order = (*PHASES[self.kind], "after the end")
            late = at in order and self.phase in order and order.index(at) > order.index(self.phase)
            mine = at == self.phase and len(self.asked[at]) >= self.request
            if self.request and not self.struck and (late or mine) and self._fits(request):
                self.struck = at
                strike(self.fault, machine, self._draw)

    def happen(self, machine: FaultyMachine, at: str) -> None:
        """Let it happen now, in the phase `at`."""
        self.struck = at
        strike(self.fault, machine, self._draw)
        if self.provoked:
            strike(self.provoked, machine, self._draw)


def trial(work: Path, prepared: Path, plan: Plan) -> dict[str, Any]:
    """One of them; what came of it.

    Args:
        work: a folder that is made anew.
        prepared: the data folder that `prepare` made.
        plan: what happens when.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    machine = MACHINES[plan.kind](work, prepared, mounts=os.getuid() == 0)
    machine.watch(lambda request: plan.see(machine, request))
    sentences, lengths, resumed = list[str](), defaultdict[str, float](float), 0
    try:
        began = seen = time.monotonic()
        due, last = None, ""
        while (now := time.monotonic()) - began < MOST:
            machine.look_after()
            job = machine.queue.get(machine.number)
            at = machine.phase()
            if job.started:
                lengths[last] += now - seen
            seen, last = now, at
            if plan.fault and not plan.request and not plan.struck:
                due = due or (now + plan.moment if at == plan.phase and job.started else None)
                if (due and now >= due) or job.ended:
                    plan.happen(machine, at)
                    continue
            if job.state == "finished":
                break
            if job.state in ("failed", "interrupted", "stopped") and resumed < TRIES:
                resumed += 1
                sentences += [job.error] if job.error or plan.provoked != "stopped" else []
                machine.harness.resume(machine.number)
            time.sleep(0.02)
        seconds = time.monotonic() - began
        machine.wait_for_home(20)
        met = not plan.api or machine.met()
        wrong = machine.wrong() + [f"no plain sentence: {text}" for text in sentences if not plain(text)]
        pods = machine.runpod if isinstance(machine, Pods) else None
        return {
            "kind": plan.kind,
            "fault": plan.fault or "none",
            "wanted": plan.phase,
            "phase": plan.struck,
            "moment": round(plan.moment, 2),
            "request": plan.request,
            "provoked": plan.provoked,
            "met": met,
            "pods": len(pods.pods) if pods else 0,
            "resumed": resumed,
            "said": sentences,
            "seconds": round(seconds, 1),
            "wrong": "; ".join(wrong),
            **({} if plan.fault else {"lengths": {name: round(value, 2) for name, value in lengths.items() if name}}),
            **({} if plan.fault else {"asked": dict(plan.asked)}),
        }
    finally:
        machine.close()


def plain(sentence: str) -> bool:
    """Whether an error is text for people that says what to do."""
    return bool(
        (sentence.strip().endswith((".", ")")) or _COMMAND.search(sentence))
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
    options.add_argument("--faults", nargs="+", metavar="FAULT", help="only these; also: machines, api")
    options.add_argument("--phases", nargs="+", metavar="PHASE", help="only in these")
    options.add_argument("--pairs", nargs="+", metavar="FAULT:PHASE", help="just these, in place of what is drawn")
    results_file.add_option(options)
    chosen = options.parse_args()
    if said := unknown(chosen):
        options.error(said)
    work: Path = chosen.work.absolute()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    import toys  # loads torch

    base = shutil.copy(toys.write_toy(SD1.name, work / "toy.safetensors"), work / "base.safetensors")
    prepare(work / "prepared", Path(base), work / "photos")
    with cluster_of_nodes() if chosen.kind == "ray-nodes" else nullcontext():
        return campaign(chosen, work)


def campaign(chosen: argparse.Namespace, work: Path) -> int:
    """The trials, and what came of them; 1 where something is wrong with one."""
    draw = random.Random(chosen.seed)
    kind = chosen.kind
    for _ in range(2):  # the first one loads what all others are forked from
        whole = trial(work / "trial", work / "prepared", Plan(kind, "", "", {}, draw))
    rows = [whole]
    print(f"undisturbed: {whole}", flush=True)
    faults = [one for name in chosen.faults or FAULTS[kind] for one in group(kind, name)]
    if os.getuid() != 0:
        faults = [fault for fault in faults if fault not in ("disk full", "storage full")]
        print("Disks cannot be filled: that needs root.", flush=True)
    pairs = drawn(kind, faults, chosen.phases or PHASES[kind], whole["asked"])
    draw.shuffle(pairs)
    if chosen.pairs:
        pairs = [one.split(":") for one in chosen.pairs]
    for count in range(chosen.trials):
        fault, phase = pairs[count % len(pairs)]
        rows.append(trial(work / "trial", work / "prepared", Plan(kind, fault, phase, whole, draw)))
        print(count + 1, rows[-1], flush=True)
    print(table(rows[1:]))
    lost = [row for row in rows if row["wrong"]]
    print(
        f"{len(rows) - 1} trials; {sum(not row['met'] for row in rows)} met no request; "
        f"{sum(row['resumed'] > 0 for row in rows)} had to be resumed; {len(lost)} with something wrong"
    )
    results_file.save("remote_faults", {kind: rows}, chosen.results)
    return bool(lost)


def unknown(chosen: argparse.Namespace) -> str:
    """Which fault or phase that was asked for is none of this kind of machine, in a sentence; empty where each is."""
    kind = chosen.kind
    pairs = [one.partition(":") for one in chosen.pairs or ()]
    faults = [*(fault for fault, _, _ in pairs), *(one for name in chosen.faults or () for one in group(kind, name))]
    for fault in faults:
        if fault not in FAULTS[kind]:
            return f"{fault!r} does not happen to {kind}; what does: {', '.join(FAULTS[kind])}."
    for phase in (*(phase for _, _, phase in pairs), *(chosen.phases or ())):
        if phase not in PHASES[kind]:
            return f"{phase!r} is no phase of a job on {kind}; its phases: {', '.join(PHASES[kind])}."
    for fault, _, phase in pairs if kind.startswith("ray") else ():
        if phase not in ONLY.get(fault, PHASES[kind]):
            return f"{fault!r} happens in these phases alone: {', '.join(ONLY[fault])}."
    return ""


def group(kind: str, name: str) -> tuple[str, ...]:
    """The faults that a word of ``--faults`` names: machines, api, or one of them."""
    if name == "api":
        return API[kind]
    return tuple(one for one in FAULTS[kind] if one not in API[kind]) if name == "machines" else (name,)


def drawn(kind: str, faults: Sequence[str], phases: Sequence[str], asked: Mapping[str, Sequence[str]]) -> list[Any]:
    """What can happen in which phase.

    Args:
        kind: "ssh", "runpod" or "ray".
        faults, phases: those that are wanted.
        asked: what home asks an API in each phase.
    """
    pairs = itertools.product(faults, phases)
    if not kind.startswith("ray"):
        return list(pairs)
    # a phase in which home asks Ray nothing meets no wrong answer of it
    return [
        (fault, phase)
        for fault, phase in pairs
        if (asked.get(phase) if fault in API[kind] else phase in ONLY.get(fault, PHASES[kind]))
    ]


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
