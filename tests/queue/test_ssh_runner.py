"""Training on another machine over SSH: a server of our own on the loopback, the real worker in an installation there.

The same run, trained at home and there, must give the same LoRA; and whatever is cut off on the way, nothing is lost.
"""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from safetensors.numpy import load_file
from ssh_server import MISSING, SshServer, available
from test_supervisor import FakeHost, eventually

from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners.runner_choice import ChosenRunner
from lib_lora.queue.supervisor import Supervisor, Timeouts
from lib_lora.remote import places
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(not available(), reason=MISSING),
    pytest.mark.once("how a worker elsewhere is reached is ours; what it trains with is tested on its own"),
]

ROOT = Path(__file__).parents[2]
PERSONAS = ROOT / "tests" / "data" / "personas"
SMALL = {"resolution": 128, "precision": "fp32", "optimizer": "adamw", "lora": {"rank": 2, "te": False}, "samples": 0}
SMALL |= {"batch_size": 1, "gradient_checkpointing": False, "steps": 4, "save_every": 2}
NAME = "Mara ü"


class Host(FakeHost):
    """Starts real workers; has no GPU."""

    def worker_command(self):
        return [sys.executable]

    def worker_environment(self):
        found = {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}
        found.pop("OMP_NUM_THREADS", None)  # as many threads as there
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server whose installation of SameFace is used by all tests here."""
    made = SshServer(tmp_path_factory.mktemp("ssh"))
    made.start()
    yield made
    made.stop()


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
def harness(tmp_path, toy, server):
    made = Harness(tmp_path, toy, server)
    yield made
    made.supervisor.close()


def _tensors(run, step):
    return load_file(run.checkpoint(step))


def test_the_same_lora_as_at_home(harness):
    at_home = harness.ended(harness.add(on="local"))
    began = time.monotonic()
    number = harness.add()
    there = harness.ended(number)
    print("there", time.monotonic() - began)
    for event in harness.events(number):
        print(event)
    assert (at_home.state, there.state, there.error) == ("finished", "finished", "")
    home_run, run = harness.run(at_home.run), harness.run(there.run)
    assert saved_steps(run) == saved_steps(home_run) == [2, 4]
    for step in (2, 4):
        ours, theirs = _tensors(home_run, step), _tensors(run, step)
        assert ours.keys() == theirs.keys()
        assert {name: abs(ours[name] - theirs[name]).max() for name in ours if (ours[name] != theirs[name]).any()} == {}
