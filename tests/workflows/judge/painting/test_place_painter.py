"""Pictures painted on another machine over SSH are those that are painted here; only what painting needs goes there."""

import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from become_true import eventually
from faults import raises
from job_fixtures import NAME
from PIL import Image, ImageChops
from ssh_server import MISSING, available

from lib_lora.errors import StoppedByUser
from lib_lora.files import write_text
from lib_lora.models.families.identify import identify
from lib_lora.pictures import Cell
from lib_lora.queue.job_types import TestArguments
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.remote_job import RemoteJob
from lib_lora.remote import openssh, places
from lib_lora.training.plan.estimate import last_measurement
from lib_lora.training.plan.presets import preset
from lib_lora.training.plan.run_file import load_run
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
from lib_lora.workflows.judge.painting.place_painter import PlacePainter, painter_on
from lib_lora.workflows.train.elsewhere import place_probe
from lib_lora.workflows.train.elsewhere.place_probe import probe_on
from lib_lora.workflows.worker import work
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(not available(), reason=MISSING),
    pytest.mark.once("how a painter elsewhere is reached is ours"),
]


@pytest.fixture
def painter(copied, server, monkeypatch):
    """A painter on the server, for a run of two steps."""
    monkeypatch.setattr(remote_job, "POLL", 0.1)
    places.save(copied.root, server.place())
    said: list[str] = []
    run = load_run(copied.run)
    made = painter_on(copied.root, "ssh:workshop", run, "test", lambda: made.stopped, said.append)
    made.stopped, made.said, made.run = False, said, run
    yield made
    made.close()


def _differs(one, other):
    """The largest difference of a colour, of 255."""
    return max(most for _, most in ImageChops.difference(one, other).getextrema())


def _silent(kind, **fields):
    pass


def test_the_pictures_are_those_that_are_painted_here(painter, server, tmp_path):
    here = GridRun(painter.run, _silent)
    plan = here.plan(GridRequest(2, 0.8, 2, count=2, side=64))
    start = tmp_path / "Schnitt ü.png"
    Image.effect_noise((64, 64), 90).convert("RGB").save(start)
    over = replace(plan["lora"][1], start=start, strength=0.5, more=((plan["lora"][1].lora, 0.3),))
    cells = [plan["lora"][0], plan["base"][0], over]
    come: list[int] = []
    there = painter.paint(cells[:2], lambda place, picture: come.append(place))
    there += painter.paint(cells[2:])  # the worker there still has the base model
    assert sorted(come) == [0, 1]
    for ours, theirs in zip(here.painter.paint(cells), there, strict=True):
        assert _differs(ours, theirs) <= 2  # another number of threads rounds otherwise
        assert ours.info["parameters"] == theirs.info["parameters"]
    assert _differs(there[0], there[1]) > 10
    folder = Path(server.place().folder)
    assert list(folder.glob("jobs/*/data/loras/*"))
    names = [path.name for path in folder.rglob("*")]
    assert not [name for name in names if "Bild" in name or name.startswith("character.yaml")]
    painter.close()
    assert list((folder / "jobs").iterdir()) == []
    assert painter.reconstruct(there[0]).size == there[0].size  # on this machine: nothing is sent for it


def test_a_test_of_the_queue_is_painted_there_and_judged_here(copied, server, monkeypatch):
    monkeypatch.setattr(remote_job, "POLL", 0.1)
    places.save(copied.root, server.place())
    (copied.root / "jobs" / "7").mkdir(parents=True)
    said: list[dict[str, object]] = []
    pipe = SimpleNamespace(stopping=lambda: False, check=lambda: None, wish="", pace=0.0)
    context = work.JobContext(
        copied.root,
        NAME,
        copied.root / "jobs" / "7",
        pipe,
        lambda kind, **fields: said.append(fields),
        lambda run: None,
    )
    result = work.do(TestArguments(run="001", quick=True, grid_steps=1, on="ssh:workshop"), context)
    assert (result["run"], result["step"]) == ("001", 3)
    assert len(list((copied.run / "grids" / result["grid"] / "cells").glob("*.png"))) == 20
    assert any(str(one.get("text", "")).startswith("Sending") for one in said)
    assert list((Path(server.place().folder) / "jobs").iterdir()) == []
    assert not list((copied.root / "remote").glob("painting-*"))


def test_an_error_there_is_said_here_and_a_stop_keeps_what_is_there(painter):
    plan = GridRun(painter.run, _silent).plan(GridRequest(2, 1.0, 1, count=1, side=64))
    with raises("remote-painting-failed", has=("sampler",)):
        painter.paint([replace(plan["base"][0], sampler="Nobody's")])
    painter.stopped = True
    with raises("painting-stopped"):
        painter.paint(plan["base"])


def test_a_stop_while_the_base_model_is_sent_is_quick_and_nothing_of_the_job_stays_there(painter, server, monkeypatch):
    folder, base = Path(server.place().folder), painter.run.file.base.sha256
    (folder / "files" / base).unlink(missing_ok=True)  # another test has sent it
    slow, start = ["-l", "4000"], openssh.start_transfer  # kbit a second

    def start_slowly(root, place, batch, links):
        options = openssh.options
        with monkeypatch.context() as patched:
            if any(base in line for line in batch):
                patched.setattr(openssh, "options", lambda *words: [*slow, *options(*words)])
            return start(root, place, batch, links)

    monkeypatch.setattr(openssh, "start_transfer", start_slowly)
    cells = GridRun(painter.run, _silent).plan(GridRequest(2, 1.0, 1, count=1, side=64))["base"]
    ended = []

    def paint():
        try:
            painter.paint(cells)
        except StoppedByUser:
            ended.append(time.monotonic())

    thread = threading.Thread(target=paint)
    thread.start()
    part = folder / "files" / f"{base}.part"
    eventually(lambda: part.is_file() and part.stat().st_size > 1 << 16, 120.0)
    painter.stopped, began = True, time.monotonic()
    thread.join(20)
    assert ended
    assert ended[0] - began < 3
    painter.close()
    assert [path for path in (folder / "jobs").glob("*") if "test" in path.name] == []
    assert not list((painter.run.character_folder.path.parents[1] / "remote").glob("painting-*"))
    assert 0 < part.stat().st_size < painter.run.model().path.stat().st_size  # the next one goes on from there


@pytest.fixture
def home(copied, server, monkeypatch):
    """A data folder with a character, and the base model's path."""
    monkeypatch.setattr(remote_job, "POLL", 0.1)
    places.save(copied.root, server.place())
    return copied.root, Path(load_run(copied.run).file.base.path)


def _probed(home, settings, stopping=lambda said: False):
    root, base = home
    wanted = {"resolution": 128, "optimizer": "adamw", "lora": {"rank": 4}, **settings}
    said: list[str] = []
    request = TrainingRequest(base, None, wanted)

    def emit(_kind, **more):
        said.append(more["text"])

    found = probe_on(root, "ssh:workshop", NAME, request, "probe-1", emit, lambda: stopping(said))
    train = preset(None, "sd1", wanted, narrow=identify(base).narrow)
    return found, said, train


def test_what_a_training_takes_there_is_measured_there(home, server):
    """And is not taken for what it takes here; nothing of it stays, there or here."""
    root, base = home
    there, before = server.place().folder, sorted(path for path in root.rglob("*") if "cache" not in path.parts)
    found, said, train = _probed(home, {})
    assert found.on == "ssh:workshop"
    assert found.seconds_per_step > 0
    assert found.precision in ("fp32", "bf16")  # "auto" was settled there
    assert any("Measuring on workshop" in text for text in said)
    assert last_measurement(root, base, train, on="ssh:workshop").seconds_per_step == found.seconds_per_step
    assert last_measurement(root, base, train) is None
    after = {path for path in root.rglob("*") if "cache" not in path.parts} - set(before)
    assert {path.name for path in after if path.is_file()} <= {"probes.json", "home.txt", "hashes.json"} | {
        path.name for path in (root / "remote").rglob("*")
    }
    assert not list(root.glob("remote/probing-*"))
    assert list((Path(there) / "jobs").iterdir()) == []


def test_a_measurement_is_stopped(home, server):
    with raises("job-stopped"):
        _probed(home, {}, lambda said: any("Measuring on" in text for text in said))
    assert list((Path(server.place().folder) / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[1",
        b"[]",
        b"{}",
        b'{"measured": {"seconds_per_step": "1"}}',
        b'{"measured": {"seconds_per_step": NaN, "peak_memory": 1, "load_seconds": 1, "steps": 1, "device": "x",'
        b' "precision": "fp32", "others": 0}}',
        b'{"measured": {"seconds_per_step": 1, "peak_memory": 1, "load_seconds": 1, "steps": 1, "device": 5,'
        b' "precision": "fp32", "others": 0}}',
    ],
)
def test_what_comes_back_of_a_measurement_is_not_trusted(answer):
    job = SimpleNamespace(read=lambda name: answer if name else b"last words", place=SimpleNamespace(name="x"))
    with raises("probe-unreadable"):
        place_probe._checked(job)


def test_a_machine_that_cannot_measure_says_why():
    content = b'{"error": "There is too little memory.", "measured": null}'
    job = SimpleNamespace(read=lambda name: content, place=SimpleNamespace(name="x"))
    with raises("probe-failed-there"):
        place_probe._checked(job)


def test_a_worker_that_ended_while_pictures_were_judged_is_started_again(tmp_path):
    alive, said, orders = [], [], []

    class Painter(PlacePainter):
        def _begin(self):
            alive[:], self._base = [True], "/there/base.safetensors"

        def _order(self, number, cells):
            orders.append(number)

        def _ended(self, number):
            return None

        def _come(self, number, count, have):
            paths = {place: tmp_path / f"{number}-{place}.png" for place in range(count)}
            for path in paths.values():
                Image.new("RGB", (8, 8)).save(path)
            return paths

    there = SimpleNamespace(
        place=SimpleNamespace(name="box"), ask=lambda what, job: {"running": bool(alive)}, close=lambda: None
    )
    run = SimpleNamespace(model=lambda: SimpleNamespace(path=Path("base.safetensors")))
    painter = Painter(RemoteJob(Workspace(tmp_path), "key", there, tmp_path / "job", said.append), run)
    cell = Cell("a", "", 1)
    for _ in range(2):
        painter.paint([cell])
    assert (orders, said) == (["0001", "0002"], [])
    alive.clear()  # nobody asked for too long
    assert len(painter.paint([cell])) == 1
    assert orders == ["0001", "0002", "0001"]  # the new worker's first plan
    assert said == ["The painter on box has ended in the meantime; another one is started."]


def test_no_gpu_is_rented_to_measure(home):
    root, base = home
    with raises("probe-rented"):
        probe_on(root, "runpod", NAME, TrainingRequest(base), "probe-1", _silent)


def test_only_what_a_dead_process_has_left_is_taken_for_left(tmp_path):
    """Neither what runs, nor what others have that no painter made, nor what this process is at work on."""
    workspace = Workspace(tmp_path)
    made = {}
    for part in ("mine", "ours", "dead", "alive"):
        key = remote_job.key_of(workspace, 0, f"-{part}")
        made[part] = RemoteJob(workspace, key, None, workspace.remote / f"painting-{part}", print)
        remote_job.own(made[part])
    owner = "owner.txt"
    write_text(made["dead"].folder / owner, "999999999@1.00/x")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        born = psutil.Process(other.pid).create_time()
        write_text(made["alive"].folder / owner, f"{other.pid}@{born:.2f}/x")
        probe = remote_job.key_of(workspace, 0, "-probe-7")
        keys = [*(one.key for one in made.values()), probe, "another-0-dead", "nonsense", ""]
        assert [key for key in keys if remote_job.is_left(made["mine"], key, "painting")] == [made["dead"].key]
    assert not made["dead"].folder.exists()
    # its computer shares the data folder, so its process cannot be seen from here
    write_text(made["dead"].folder / owner, "999999999@1.00/x\nanother-computer")
    assert not remote_job.is_left(made["mine"], made["dead"].key, "painting")
    write_text(made["dead"].folder / owner, f"999999999@1.00/x\n{socket.gethostname()}")
    assert remote_job.is_left(made["mine"], made["dead"].key, "painting")
    (made["dead"].folder / owner).mkdir(parents=True)  # which cannot be read
    assert not remote_job.is_left(made["mine"], made["dead"].key, "painting")
    assert made["ours"].folder.exists()
    assert remote_job.is_left(made["mine"], made["alive"].key, "painting")  # it has ended by now
