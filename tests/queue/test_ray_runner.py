"""Training on a Ray cluster: a real one of three nodes on this machine, and the real worker in an installation there.

The same run, trained at home and there, must give the same LoRA, whatever happens to the nodes meanwhile.
"""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
import ray_nodes
from ray_nodes import RayNodes
from safetensors.numpy import load_file
from test_supervisor import FakeHost, eventually

from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.runner_choice import ChosenRunner
from lib_lora.queue.supervisor import Supervisor, Timeouts
from lib_lora.remote import places
from lib_lora.remote.ray_cluster import ray_connection
from lib_lora.runs.events import read_events
from lib_lora.runs.lent_run import loan_of
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.train.prepare import start_run
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.long,
    pytest.mark.once("how a worker elsewhere is reached is ours; what it trains with is tested on its own"),
]

ROOT = Path(__file__).parents[2]
SMALL = {"resolution": 128, "precision": "fp32", "optimizer": "adamw", "lora": {"rank": 2, "te": False}, "samples": 0}
SMALL |= {"batch_size": 1, "gradient_checkpointing": False, "save_every": 4}
NAME = "Mara ü"


class Host(FakeHost):
    """Starts real workers; has no GPU."""

    def worker_command(self):
        return [sys.executable]

    def worker_environment(self):
        return {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # as there


@pytest.fixture(scope="module")
def nodes():
    if why := ray_nodes.missing():
        pytest.skip(why)
    made = RayNodes(Path(f"/tmp/sf-nodes-{os.getpid()}"))
    try:
        made.start()
        ray_connection.RayConnection(made.folder, made.place()).look_at_a_node(lambda _: None)
        yield made
    finally:
        made.stop()
        shutil.rmtree(made.folder, ignore_errors=True)


class Home:
    """A data folder with a character and a run of some steps, a cluster, and a supervisor."""

    def __init__(self, root, prepared, nodes, steps):
        self.root, self.nodes = root, nodes
        shutil.copytree(prepared, root)
        base = load_run(Workspace(root).character(NAME).run("001").path).file.base.path
        request = TrainingRequest(Path(base), overrides={**SMALL, "steps": steps}, few=True, elsewhere=True)
        self.id = start_run(root, NAME, request).file.id
        places.save(root, nodes.place())
        self.host, self.queue = Host(root), Queue(root)
        self.supervisor = self.open()

    def open(self):
        self.supervisor = Supervisor(
            self.root, self.host, ChosenRunner(self.root, lambda: self.host), Timeouts(poll=0.1, again=0.1)
        )
        self.supervisor.start()
        return self.supervisor

    def add(self, on):
        job = self.queue.add(NAME, TrainArguments(run=self.id, few=True, then_test=False, on=on))
        self.supervisor.wake()
        return job.id

    def ended(self, number, seconds=200.0):
        eventually(lambda: self.queue.get(number).ended, seconds, lambda: (self.queue.get(number), self.events(number)))
        return self.queue.get(number)

    def until_step(self, number, step):
        eventually(
            lambda: step <= max(saved_steps(self.run()), default=0),
            200.0,
            lambda: (self.queue.get(number), self.events(number)),
        )

    def events(self, number):
        return list(read_events(self.queue.folder(number) / "events.jsonl"))

    def run(self):
        return load_run(Workspace(self.root).character(NAME).run(self.id).path)

    def tensors(self):
        run = self.run()
        return {step: load_file(run.checkpoint(step)) for step in saved_steps(run)}

    def nothing_is_left(self, number):
        assert loan_of(self.run().folder) is None
        assert not self.queue.folder(number).joinpath("remote.json").exists()
        assert [path for path in (self.nodes.storage / "jobs").rglob("*") if path.is_file()] == []
        eventually(lambda: not self.nodes.busy(), 20.0, lambda: self.nodes.busy())
        assert [event for event in self.events(number) if event["kind"] == "warning"] == []


@pytest.fixture
def at_home(tmp_path, prepared, nodes, monkeypatch):
    monkeypatch.setattr(remote_job, "LOOK", 0.2)
    monkeypatch.setattr(remote_job, "FILES", 0.2)
    monkeypatch.setattr(ray_connection, "STALE", 6.0)
    made = []

    def make(steps):
        made.append(Home(tmp_path / f"home {len(made)}", prepared, nodes, steps))
        return made[-1]

    yield make
    for one in made:
        one.supervisor.close()


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for step in ours:
        assert ours[step].keys() == theirs[step].keys()
        assert not [name for name in ours[step] if (ours[step][name] != theirs[step][name]).any()]


def test_it_gives_the_lora_of_home(at_home):
    began = time.time()
    here, there = at_home(12), at_home(12)
    print("prepared", time.time() - began)
    assert here.ended(here.add("local")).state == "finished"
    print("home", time.time() - began)
    number = there.add("ray:studio")
    job = there.ended(number)
    print("there", time.time() - began)
    assert (job.state, job.error) == ("finished", "")
    same(here.tensors(), there.tensors())
    there.nothing_is_left(number)
    print("gone", time.time() - began)
    print([event.get("text") for event in there.events(number) if event["kind"] == "progress"])
