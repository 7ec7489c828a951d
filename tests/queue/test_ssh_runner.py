"""Training on another machine over SSH, also a rented one: a server of our own on the loopback, the real worker there.

The same run, trained at home and there, must give the same LoRA.
"""

import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_runpod import FakeRunpod
from main_job_elsewhere import MainJob
from PIL import Image
from rented import Rented
from safetensors.numpy import load_file
from ssh_server import MISSING, available
from supervisor_harness import FakeHost, eventually

from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners import remote_job, rented_pod
from lib_lora.queue.runners.runner_choice import ChosenRunner
from lib_lora.queue.running.supervisor import Supervisor, Timeouts
from lib_lora.remote import places
from lib_lora.runs.events import read_events
from lib_lora.training.loop import train
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train.prepare import start_run
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(not available(), reason=MISSING),
    pytest.mark.once("how a worker elsewhere is reached is ours; what it trains with is tested on its own"),
]

ROOT = Path(__file__).parents[2]
PERSONAS = ROOT / "tests" / "data" / "personas"
SMALL = {"resolution": 128, "precision": "fp32", "optimizer": "adamw", "lora": {"rank": 2, "te": False}, "samples": 0}
SMALL |= {"batch_size": 1, "gradient_checkpointing": False, "steps": 40, "save_every": 4}
SMALL["likeness_curve"] = False  # each worker would look for faces in three photos, and find them too few
NAME = "Mara ü"


class Host(FakeHost):
    """Starts real workers; has no GPU."""

    def worker_command(self):
        return [sys.executable]

    def worker_environment(self):
        return {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # as there


class Harness:
    """A data folder with a character, a place, and a supervisor."""

    def __init__(self, folder, toy, server):
        self.server, self.root, self.base = server, folder / "zu Hause ü", folder / "modelle" / "Basis 名前.safetensors"
        self.base.parent.mkdir()
        shutil.copy(toy("sd1"), self.base)
        photos = folder / "photos"
        photos.mkdir()
        for number in range(3):
            with Image.open(PERSONAS / "mara" / f"{number:02d}.jpg") as picture:
                exif = Image.Exif()
                exif[0x0112], exif[0x010E] = (1, 6, 3)[number], "Geheim: Hauptstrasse 5"
                picture.save(photos / f"Oma {number}.jpg", exif=exif, quality=90)
        new_character(self.root, NewCharacter(NAME, "mrxa", "woman", "fictional"), sorted(photos.iterdir()))
        places.save(self.root, server.place())
        self.host, self.queue = Host(folder), Queue(self.root)
        self.supervisor = self.new_supervisor()

    def new_supervisor(self):
        supervisor = Supervisor(
            self.root, self.host, ChosenRunner(self.root, lambda: self.host), Timeouts(poll=0.1, again=0.1)
        )
        supervisor.start()
        return supervisor

    def add(self, on="ssh:workshop", **fields):
        settings = {**SMALL, **fields.pop("settings", {})}
        job = self.queue.add(
            NAME, TrainArguments(base=str(self.base), settings=settings, few=True, then_test=False, on=on, **fields)
        )
        self.supervisor.wake()
        return job.id

    def go_on(self, run, on):
        job = self.queue.add(NAME, TrainArguments(run=run.file.id, few=True, then_test=False, on=on))
        self.supervisor.wake()
        return job.id

    def stopped_at(self, number, step):
        """Stop a job once a step is saved here."""

        def saved():
            run = self.queue.get(number).run
            return bool(run) and step in saved_steps(self.run(run))

        eventually(saved, 300.0, lambda: (self.queue.get(number), self.events(number)))
        self.queue.wish(number, "stop")
        assert self.ended(number).state == "stopped"

    def ended(self, number, seconds=300.0):
        eventually(lambda: self.queue.get(number).ended, seconds, lambda: (self.queue.get(number), self.events(number)))
        return self.queue.get(number)

    def events(self, number):
        return list(read_events(self.queue.folder(number) / "events.jsonl"))

    def run(self, identifier):
        return load_run(Workspace(self.root).character(NAME).run(identifier).path)

    @property
    def there(self):
        return Path(self.server.place().folder)


@pytest.fixture
def harness(tmp_path, toy, server, monkeypatch):
    monkeypatch.setattr(remote_job, "POLL", 0.2)
    monkeypatch.setattr(remote_job, "FILES", 0.2)
    made = Harness(tmp_path, toy, server)
    yield made
    made.supervisor.close()


def _tensors(run, step):
    return load_file(run.checkpoint(step))


def _same(home_run, run):
    """What was trained here is, bit for bit, what was trained elsewhere."""
    assert set(saved_steps(home_run)) <= set(saved_steps(run))
    for step in saved_steps(home_run):
        ours, theirs = _tensors(home_run, step), _tensors(run, step)
        assert ours.keys() == theirs.keys()
        assert {name: abs(ours[name] - theirs[name]).max() for name in ours if (ours[name] != theirs[name]).any()} == {}


@contextmanager
def _rented(folder, server, monkeypatch):
    """RunPod's stand-in, whose pods are reached at the server."""
    monkeypatch.setattr(rented_pod, "POLL", 0.1)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FakeRunpod(folder / "pods").running() as made:
        made.ssh = ("127.0.0.1", server.port)
        keys, place = str(server.folder / "authorized_keys"), server.place()
        Rented(made.base, keys, place.folder, python=place.python).use(monkeypatch.setattr)
        yield made


def test_begun_there_gone_on_with_here_and_ended_there_is_the_lora_that_is_trained_here(harness, one_thread):
    number = harness.add()
    harness.stopped_at(number, 4)
    run = harness.run(harness.queue.get(number).run)
    first = saved_steps(run)[-1]
    harness.stopped_at(harness.go_on(run, "local"), first + 4 - first % 4)
    assert first < saved_steps(run)[-1] < 40
    there = harness.ended(harness.go_on(run, "ssh:workshop"))
    assert (there.state, there.error) == ("finished", "")
    whole = start_run(harness.root, NAME, TrainingRequest(harness.base, overrides=SMALL, few=True))
    train(whole, lambda *_, **__: None)  # in one go
    _same(whole, run)
    assert list((harness.there / "jobs").iterdir()) == []
    again = harness.run(run.file.id).file
    assert (again.base, again.photos, again.out) == (run.file.base, run.file.photos, run.file.out)
    assert again.settings.precision == "fp32"


def test_the_main_job_on_the_small_base_gives_there_what_it_gives_here(
    main, main_job_here, tmp_path, server, some_photos, monkeypatch
):
    """`run` trains on a machine over SSH; then, from photos to a judged grid, on rented ones, to train and to paint."""
    monkeypatch.setattr(remote_job, "POLL", 0.2)
    monkeypatch.setattr(remote_job, "FILES", 0.2)
    photos, job = some_photos("mara", 8), MainJob(tmp_path / "ssh")
    job.root.mkdir(parents=True)
    places.save(job.root, server.place())
    job.do(main, photos, "--on", "ssh:workshop", "--grid-steps", "0")  # no grid: it would be painted here
    assert job.said.status == 0, job.said.err
    job.has_the_lora_of(main_job_here)
    with _rented(tmp_path, server, monkeypatch) as runpod:
        job = MainJob(tmp_path / "rented")
        job.root.mkdir(parents=True)
        job.do(main, photos, "--on", "runpod", "--max-hours", "1", "--max-cost", "1")
        assert job.said.status in (0, 3, 4), job.said.err
        job.is_like(main_job_here)
        assert runpod.living() == []
    assert list((Path(server.place().folder) / "jobs").iterdir()) == []
