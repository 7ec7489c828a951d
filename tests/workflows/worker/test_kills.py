"""Killed at each fsync and rename: what was said to be done is there, and nothing is half written.

`bench/faults/kills.py` does the same to a whole run, with its training, delivery and report; one of its kills is done
here.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib_lora.character.store import Character, create, load
from lib_lora.queue.job_types import AuditArguments, TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.running import leftovers
from lib_lora.workspace.workspace import Workspace

ROOT = Path(__file__).parents[3]
STEPS = """
import sys
from pathlib import Path
from lib_lora.character.store import Character, create, load
from lib_lora.files import write_json
from lib_lora.runs.events import EventLog
from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
root = Path(sys.argv[1])
queue = Queue(root)  # whose file is damaged
log = EventLog(root / "events.jsonl")
for number in range(2):
    create(root, Character(f"Mara {number}", "mrxa", "woman"))
    write_json(root / "settings.json", {"number": number})
    queue.add("Mara", TrainArguments(base=str(number)))
    log("state", number=number)
    print(number, flush=True)
"""


@pytest.fixture(scope="module")
def strace():
    """Runs a command under strace with options; its exit status and what it printed."""
    program = shutil.which("strace")
    if not sys.platform.startswith("linux") or program is None:
        pytest.skip("needs Linux and strace")
    if subprocess.run([program, "-f", "-o", os.devnull, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here (ptrace is forbidden)")

    def run(*command, options=()):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [program, "-f", *options, *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A data folder with a queue of two jobs, one of them damaged."""
    root = tmp_path_factory.mktemp("pristine") / "Daten ü"
    queue = Queue(root)
    for number in range(2):
        queue.add(f"before {number}", AuditArguments())
    db = sqlite3.connect(root / "jobs.sqlite")
    db.execute("UPDATE jobs SET character = 'damaged' WHERE id = 2")
    db.commit()
    db.close()
    return root


def test_at_every_fsync_and_rename_nothing_is_lost_or_half_written(strace, pristine, tmp_path):

    root = tmp_path / "data"
    command = [sys.executable, "-c", STEPS, root]
    shutil.copytree(pristine, root)
    log = tmp_path / "calls.txt"
    code, said, error = strace(*command, options=["-o", log, "-e", "trace=fsync,fdatasync,/^rename"])
    assert code == 0, error
    calls = log.read_text(encoding="utf-8", errors="replace")
    renames, syncs = (len(re.findall(rf"\b{name}\(", calls)) for name in ("rename(?:at2?)?", "fsync"))
    data_syncs = len(re.findall(r"\bfdatasync\(", calls))  # SQLite's
    assert renames >= 6  # the queue's two, the characters' and the settings'
    assert syncs >= 4
    every = [("rename", n) for n in range(1, renames + 1)]
    every += [("fsync", n) for n in range(1, syncs + 1)]
    every += [("fdatasync", n) for n in range(1, data_syncs + 1, 3)]
    for call, number in every:
        shutil.rmtree(root)
        shutil.copytree(pristine, root)
        names = "/^rename" if call == "rename" else call
        inject = ["-o", os.devnull, "-e", f"trace={names}", "-e", f"inject={names}:signal=KILL:when={number}"]
        code, said, error = strace(*command, options=inject)
        assert code in (-9, 137), (call, number, error)
        done = [int(line) for line in said.split()]

        queue = Queue(root)
        jobs = {job.character: job.arguments for job in queue.jobs()}
        assert "before 0" in jobs, (call, number)
        assert "(number 2)" in queue.notice(), (call, number)
        assert list(queue.root.glob("jobs.sqlite.damaged-*"))
        added = {job.arguments.base for job in queue.jobs() if isinstance(job.arguments, TrainArguments)}
        assert added >= {str(one) for one in done}
        for one in done:
            load(Workspace(root).character(f"Mara {one}"))
        for path in root.rglob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))
        for path in root.rglob("*.tmp"):
            os.utime(path, (time.time() - 60,) * 2)
        leftovers.sweep(root)
        assert not list(root.rglob("*.tmp"))
        create(root, Character("Mara 0", "mrxa", "woman"))  # the same again


def test_a_run_killed_as_its_state_is_put_in_place_ends_bit_for_bit(strace, tmp_path):
    work = tmp_path / "ü"
    command = [
        sys.executable,
        ROOT / "bench" / "faults" / "kills.py",
        "--work",
        work,
        "--calls",
        "rename",
        "--only",
        "rename:state",
        "--results",
        tmp_path / "results.json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    written = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    ((call, _, kind, left, came),) = written["figures"]
    assert (call, kind, came) == ("rename", "state", "equal")
    assert left == 1
