"""Training on a Ray cluster: a real one of three nodes on this machine, and the real worker in an installation there.

The same run, trained at home and there, must give the same LoRA, whatever happens to the nodes meanwhile. The main job
of another machine, which asks the queue for this, is done on rented machines (`test_ssh_runner`).
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import job_fixtures
import pytest
import ray_nodes
import torch
from PIL import Image, ImageChops
from ray_nodes import RayNodes
from safetensors.numpy import load_file
from supervisor_harness import FakeHost, eventually

from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.runner_choice import ChosenRunner
from lib_lora.queue.running.supervisor import Supervisor, Timeouts
from lib_lora.remote import installation, places, stored_there
from lib_lora.remote.connection import Unreachable
from lib_lora.remote.ray_cluster import ray_connection
from lib_lora.runs.events import read_events
from lib_lora.runs.lent_run import loan_of
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
from lib_lora.workflows.judge.painting.place_painter import painter_on
from lib_lora.workflows.produce import produce_command, production_request
from lib_lora.workflows.produce.production_request import ProduceRequest, ProduceSettings
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow
from lib_lora.workflows.train.prepare import start_run
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.long,
    pytest.mark.once("how a worker elsewhere is reached is ours; what it trains with is tested on its own"),
]

ROOT = Path(__file__).parents[2]
SMALL = {"resolution": 128, "precision": "fp32", "optimizer": "adamw", "lora": {"rank": 2, "te": False}, "samples": 0}
SMALL |= {"batch_size": 1, "gradient_checkpointing": False, "save_every": 4}
SMALL["likeness_curve"] = False  # each worker would look for faces in three photos, and find them too few
NAME, RUN, STEPS = "Mara ü", "002", 16


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
    made = _started(0) or _started(1)
    assert made
    try:
        yield made
    finally:
        _ended(made)


def _started(attempt):
    """A cluster that takes jobs; None where the first one does not, on a machine that is busy while it starts."""
    made = RayNodes(Path(f"/tmp/sf-nodes-{os.getpid()}-{attempt}"))
    try:
        made.start()
        for tries_left in (3, 2, 1, 0):  # on a busy machine it takes a while until jobs are taken
            try:
                ray_connection.RayConnection(made.folder, made.place()).inspect_node(lambda _: None)
                return made
            except Unreachable:
                if not tries_left:
                    raise
    except (AssertionError, Unreachable):
        _ended(made)
        if attempt:
            raise
    except BaseException:
        _ended(made)
        raise
    return None


def _ended(made):
    made.stop()
    shutil.rmtree(made.folder, ignore_errors=True)


class Home:
    """A data folder with a character and a run of 16 steps, a cluster, and a supervisor."""

    def __init__(self, root, made, nodes):
        self.root, self.nodes = root, nodes
        shutil.copytree(made, root)
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
        job = self.queue.add(NAME, TrainArguments(run=RUN, few=True, then_test=False, on=on))
        self.supervisor.wake()
        return job.id

    def ended(self, number, seconds=200.0):
        eventually(lambda: self.queue.get(number).ended, seconds, lambda: (self.queue.get(number), self.events(number)))
        return self.queue.get(number)

    def events(self, number):
        return list(read_events(self.queue.folder(number) / "events.jsonl"))

    def run(self):
        return load_run(Workspace(self.root).character(NAME).run(RUN).path)

    def resume(self, number):
        self.queue.resume(number)
        self.supervisor.wake()

    def steps_said(self, number):
        return [event["step"] for event in self.events(number) if event["kind"] == "step"]

    def nothing_is_left(self, number):
        assert loan_of(self.run().folder) is None
        assert not self.queue.folder(number).joinpath("remote.json").exists()
        assert [path for path in (self.nodes.storage / "jobs").rglob("*") if path.is_file()] == []
        eventually(lambda: not self.nodes.busy(), 20.0, lambda: self.nodes.busy())
        assert [event for event in self.events(number) if event["kind"] == "warning"] == []
        # also none that Ray has put into its list again after it was deleted, which takes it a while
        time.sleep(ray_connection._COMES_BACK)
        listed = ray_connection.RayConnection(self.root, self.nodes.place()).api
        assert [one for one in range(1, 9) if listed.job_listed(f"sameface-{self.key(number)}-{one}")] == []

    def key(self, number):
        return remote_job.key_of(Workspace(self.root), number)


@pytest.fixture(scope="module")
def made(tmp_path_factory, prepared):
    """A data folder with the run, as nobody has trained it yet."""
    root = tmp_path_factory.mktemp("made") / "home"
    shutil.copytree(prepared, root)
    base = load_run(Workspace(root).character(NAME).run("001").path).file.base.path
    request = TrainingRequest(Path(base), overrides={**SMALL, "steps": STEPS}, few=True, elsewhere=True)
    assert start_run(root, NAME, request).file.id == RUN
    return root


@pytest.fixture(scope="module")
def trained_here(tmp_path_factory, made):
    """The run, trained by this machine, in one thread as there."""
    root, threads = tmp_path_factory.mktemp("here") / "home", torch.get_num_threads()
    shutil.copytree(made, root)
    run = load_run(Workspace(root).character(NAME).run(RUN).path)
    torch.set_num_threads(1)
    train(run, lambda *_, **__: None)
    torch.set_num_threads(threads)
    return run


@pytest.fixture
def home(tmp_path, made, nodes, monkeypatch):
    monkeypatch.setattr(remote_job, "POLL", 0.2)
    monkeypatch.setattr(remote_job, "FILES", 0.2)
    monkeypatch.setattr(ray_connection, "STALE", 6.0)
    one = Home(tmp_path / "zu Hause ü", made, nodes)
    yield one
    one.supervisor.close()


def same(here, there, of_all=True):
    """The same checkpoints, bit for bit; of all steps, or at least of those that were saved here."""
    steps = saved_steps(here)
    assert steps == saved_steps(there) if of_all else set(steps) <= set(saved_steps(there))
    for step in steps:
        ours, theirs = load_file(here.checkpoint(step)), load_file(there.checkpoint(step))
        assert ours.keys() == theirs.keys()
        assert not [name for name in ours if (ours[name] != theirs[name]).any()]


def test_a_node_dies_in_the_middle_and_the_lora_is_that_of_home(trained_here, home, nodes):
    number = home.add("ray:studio")
    busy, worker = nodes.worker_at_step(6)
    os.kill(worker, signal.SIGSTOP)
    there = nodes.steps_of(busy)[-1]
    assert there < STEPS
    eventually(lambda: home.steps_said(number)[-1:] == [there], 60.0, lambda: (there, home.events(number)))
    nodes.kill(busy)
    nodes.add()
    job = home.ended(number)
    assert (job.state, job.error) == ("finished", "")
    same(trained_here, home.run())
    said = home.steps_said(number)
    again = said.index(there) + 1
    assert there - SMALL["save_every"] < said[again] <= there + 1  # from the last state on
    assert said == [*range(1, there + 1), *range(said[again], STEPS + 1)]
    assert [one["step"] for one in home.events(number) if one.get("state") == "resumed"] == [said[again] - 1]
    home.nothing_is_left(number)


def test_home_goes_and_comes_back_and_the_job_is_paused_and_resumed(trained_here, home, nodes):
    number = home.add("ray:studio")
    busy, worker = nodes.worker_at_step(6)
    os.kill(worker, signal.SIGSTOP)  # else it might be done before it is paused
    home.supervisor.close()
    assert home.queue.get(number).state == "waiting"
    home.open()
    home.queue.wish(number, "pause")
    wishes = nodes.there(busy) / "jobs"
    eventually(lambda: list(wishes.glob("*/wish.json")), 60.0, lambda: home.events(number))
    os.kill(worker, signal.SIGCONT)
    assert home.ended(number).state == "paused"
    home.nothing_is_left(number)
    step = saved_steps(home.run())[-1]
    assert 6 <= step < STEPS
    home.resume(number)
    assert home.ended(number).state == "finished"
    same(trained_here, home.run(), of_all=False)
    home.nothing_is_left(number)


class Recording:
    """A painter that notes what it is asked for."""

    def __init__(self, painter):
        self.painter, self.cells = painter, []

    def paint(self, cells, each=None):
        self.cells += cells
        return self.painter.paint(cells, each)

    def reconstruct(self, image):
        return self.painter.reconstruct(image)


def differs(ours, theirs):
    """The largest difference of a colour, of 255."""
    return max(most for _, most in ImageChops.difference(ours, theirs).getextrema())


def test_pictures_that_are_painted_there_are_those_of_here(copied, nodes, eye, monkeypatch):
    """Those of a test grid, and those of a production."""
    monkeypatch.setattr(remote_job, "POLL", 0.1)
    places.save(copied.root, nodes.place())
    run = load_run(copied.run)
    painter = painter_on(copied.root, "ray:studio", run, "test", lambda: False, lambda text: None)
    here = GridRun(run, lambda kind, **fields: None)
    plan = here.plan(GridRequest(2, 0.8, 2, count=1, side=64))
    cells = [plan["lora"][0], plan["base"][0]]
    try:
        there = painter.paint(cells[:1])
        there += painter.paint(cells[1:])  # the worker there still has the base model
        for ours, theirs in zip(here.painter.paint(cells), there, strict=True):
            assert differs(ours, theirs) <= 2
            assert ours.info["parameters"] == theirs.info["parameters"]
        settings = ProduceSettings(count=2, tries=1, steps=2)
        request = ProduceRequest([PromptRow("in a café", width=64, height=64)], settings)
        _, asked = production_request.plan_of(copied.root, job_fixtures.NAME, request)
        made, noting = production_request.begun(copied.root, job_fixtures.NAME, asked), Recording(painter)
        done = produce_command.work_on(run, made, eye, lambda kind, **fields: None, painter=noting)
        assert (done.painted, len(noting.cells)) == (2, 2)
        for ours, path in zip(here.painter.paint(noting.cells), sorted(made.pictures.iterdir()), strict=True):
            with Image.open(path) as theirs:
                assert differs(ours, theirs.convert("RGB")) <= 2
        [busy] = nodes.busy()
    finally:
        painter.close()
    assert [path for path in (nodes.storage / "jobs").rglob("*") if path.is_file()] == []
    eventually(lambda: not nodes.busy(), 20.0, lambda: nodes.busy())
    assert list((nodes.there(busy) / "files").iterdir())  # the base model, for the next one


def test_what_each_node_keeps_is_seen_there_and_deleted(home, nodes):
    """Each node that lives is asked, by the label that Ray gives it; the head keeps nothing."""
    old = {}
    for name in nodes.nodes():
        version = nodes.there(name) / "versions" / (name.replace("node-", "a") * 8)[:16].ljust(16, "0")
        version.mkdir(parents=True)
        (version / "ready.json").write_text("{}")
        for path in (version / "ready.json", version):
            os.utime(path, (time.time() - 30 * 86400,) * 2)
        old[name] = version
    assert len(old) >= 2
    connection = ray_connection.RayConnection(home.root, nodes.place())
    found = stored_there.stored(connection)
    assert found.silent == ()
    assert {path.name for path in old.values()} <= {item.name for item in found.versions if not item.needed}
    gone = stored_there.clean(connection, installation.built(home.root).sha256)
    assert {item.name for item in gone.versions} == {path.name for path in old.values()}
    assert not [path for path in old.values() if path.exists()]
    assert not [path for path in (nodes.storage / "probes").rglob("*") if path.is_file()]
