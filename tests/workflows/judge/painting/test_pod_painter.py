"""Pictures painted on a rented pod are those painted here, and whatever happens, no pod is left behind.

RunPod is `fake_runpod`; a real SSH server stands for the one in a pod, whose command (the watchdog) is the real one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from become_true import eventually
from fake_runpod import KEY, FakeRunpod
from faults import raises
from helper_folders import FOLDERS
from job_fixtures import NAME
from PIL import ImageChops
from rented import Rented
from ssh_server import MISSING, available

from lib_lora import cli
from lib_lora.queue.job_types import Rental, TestArguments, arguments_of, as_plain
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners import pod_terms, pods_in_use, remote_job, rented_pod
from lib_lora.remote.renting.pod_ledger import Painted, PodLedger, RunLimits
from lib_lora.remote.runpod.runpod_api import RunpodApi
from lib_lora.runs.run_lock import only_process
from lib_lora.training.plan.memory_fitting import painting_memory
from lib_lora.training.plan.presets import preset
from lib_lora.training.plan.run_file import load_run
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
from lib_lora.workflows.judge.painting.painting_quote import before_painting, of_grid
from lib_lora.workflows.judge.painting.pod_painter import PaintingRent, PodPainter, _Paces, pod_painter
from lib_lora.workflows.train.elsewhere import train_elsewhere
from lib_lora.workflows.train.elsewhere.renting import costing_pods
from lib_lora.workflows.worker.job_context import JobContext
from lib_lora.workflows.worker.job_painter import painter_for, rent_of

pytestmark = pytest.mark.once("how a pod is rented to paint, and given back, is ours")
needs_ssh = pytest.mark.skipif(not available(), reason=MISSING)

CHILD = """
import sys
from pathlib import Path
from rented import Rented
from lib_lora.queue.runners import remote_job, rented_pod
from lib_lora.training.plan.memory_fitting import painting_memory
from lib_lora.training.plan.presets import preset
from lib_lora.training.plan.run_file import load_run
from lib_lora.queue.job_types import Rental
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
from lib_lora.workflows.judge.painting.pod_painter import PaintingRent, pod_painter
root, run, rented = map(Path, sys.argv[1:])
Rented.load(rented).use(setattr)
rented_pod.POLL = 0.02
run = load_run(run)
made = pod_painter(root, run, "job-7", lambda: False, print, PaintingRent(Rental(), 0.0, lambda *_, **more: None))
made.paint(GridRun(run, lambda kind, **more: None).plan(GridRequest(2, 1.0, 100_000, count=1, side=64))["base"])
"""


def _silent(kind, **fields):
    pass


@pytest.fixture
def runpod(tmp_path, monkeypatch):
    """RunPod, without a pod that can be reached."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FakeRunpod(tmp_path / "pods").running() as made:
        made.runs = False
        api = RunpodApi(KEY, made.base, timeout=5, attempts=2, pause=lambda seconds: None)
        monkeypatch.setattr(pod_terms, "account", lambda root: api)
        yield made


@pytest.fixture
def pods(runpod, server, tmp_path, monkeypatch):
    """RunPod, whose pods are all reached at one SSH server; what is on a pod ends with it."""
    monkeypatch.setattr(remote_job, "POLL", 0.1)
    monkeypatch.setattr(rented_pod, "POLL", 0.02)
    monkeypatch.setattr(rented_pod, "_ASK_AGAIN", 0.2)
    there = Path(server.place().folder)

    def ends(pod):
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"SAMEFACE_JOB={there}/jobs/".encode() in (folder / "environ").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)
        shutil.rmtree(there / "jobs", ignore_errors=True)

    runpod.runs, runpod.ssh, runpod.when_ended = True, ("127.0.0.1", server.port), ends
    keys, python = str(server.folder / "authorized_keys"), server.place().python
    rented = Rented(runpod.base, keys, str(there), python=python)
    rented.use(monkeypatch.setattr)
    rented.save(tmp_path / "rented.json")
    yield runpod
    for pod in runpod.living():
        ends(pod)


class Painting:
    """A painter on a pod, what it says, and its run."""

    def __init__(self, root, run, **rental):
        self.said, self.events, self.stopped = [], [], False
        self.run = load_run(run)
        rent = PaintingRent(Rental(**rental), time.time(), lambda kind, **more: self.events.append((kind, more)))
        self.painter = pod_painter(root, self.run, "test", lambda: self.stopped, self.said.append, rent)

    def cells(self, steps=2):
        plan = GridRun(self.run, _silent).plan(GridRequest(2, 0.8, steps, count=1, side=64))
        return [plan["lora"][0], plan["base"][0]]


def states(root):
    return [entry.state for entry in PodLedger(root).entries()]


def left(root):
    """What is remembered of painters and pods."""
    return [path for path in (root / "remote").rglob("*") if path.name.startswith(("painting-", "pod", "sameface-p"))]


@needs_ssh
def test_the_pictures_are_those_painted_here_and_the_pod_is_gone_and_paid(pods, copied):
    made = Painting(copied.root, copied.run)
    cells = made.cells()
    there = made.painter.paint(cells[:1])
    [pod] = pods.living()
    assert pods_in_use.pods_in_use(copied.root) == {pod.body["name"]: pods_in_use.COMMAND}
    assert "a command that paints uses it" in costing_pods(copied.root)[0].line(pod_terms.rate_of(copied.root))
    there += made.painter.paint(cells[1:])
    assert pods.living() == [pod]  # the same one
    made.painter.close()
    for ours, theirs in zip(GridRun(made.run, _silent).painter.paint(cells), there, strict=True):
        assert max(most for _, most in ImageChops.difference(ours, theirs).getextrema()) <= 2
        assert ours.info["parameters"] == theirs.info["parameters"]
    assert (pods.living(), states(copied.root), left(copied.root)) == ([], ["ended"], [])
    [cost] = PodLedger(copied.root).costs()
    assert (cost.name, cost.character, cost.usd > 0) == (pod.body["name"], copied.run.parents[1].name, True)
    assert cost.preparing > 0
    assert made.painter.bill["billed"] > 0
    said = " | ".join(made.said)
    assert "Rented: RTX A4000 at 0.26 USD an hour" in said
    assert "RunPod's bill so far: less than 0.01 USD" in said
    costs = [round(more["hourly"], 2) for kind, more in made.events if kind == "cost"]
    assert costs == [0.26, 0.0]


@needs_ssh
def test_a_stop_and_an_error_leave_no_pod(pods, copied):
    made = Painting(copied.root, copied.run)
    with raises("remote-painting-failed"):
        made.painter.paint([replace(made.cells()[0], sampler="Nobody's")])
    made.stopped = True
    with raises("painting-stopped"):
        made.painter.paint(made.cells())
    made.painter.close()
    assert (pods.living(), states(copied.root), left(copied.root)) == ([], ["ended"], [])


@needs_ssh
def test_what_a_killed_painter_has_left_is_ended_by_the_next_one(pods, copied, tmp_path):
    words = [sys.executable, "-c", CHILD, str(copied.root), str(copied.run), str(tmp_path / "rented.json")]
    paths = os.pathsep.join([*FOLDERS, *sys.path])
    with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.DEVNULL) as child:
        eventually(lambda: (pods.living() and pods_in_use.pods_in_use(copied.root)) or child.poll(), 60.0)
        assert list(pods_in_use.pods_in_use(copied.root).values()) == [7]
        child.send_signal(signal.SIGKILL)
    [old] = pods.living()
    [noted] = copied.root.rglob("pod.json")
    memo = json.loads(noted.read_text())
    noted.write_text(json.dumps({**memo, "id": ""}), encoding="utf-8")  # as if it was killed a moment earlier
    assert pods_in_use.pods_in_use(copied.root) == {}
    made = Painting(copied.root, copied.run)
    assert len(made.painter.paint(made.cells()[:1])) == 1
    assert [pod.id == old.id for pod in pods.living()] == [False]
    assert f"The rented pod {old.body['name']} is deleted." in made.said
    made.painter.close()
    assert (pods.living(), states(copied.root), left(copied.root)) == ([], ["ended", "ended"], [])
    assert [cost.usd > 0 for cost in PodLedger(copied.root).costs()] == [True, True]


@needs_ssh
def test_a_pod_whose_painter_is_silent_ends_by_itself(pods, copied):
    """The worker there ends, since nobody asks, and then nothing of it has to be waited for."""
    made = Painting(copied.root, copied.run)
    made.painter.forgotten = 3.0
    made.painter.paint(made.cells()[:1])
    made.painter._job.there.close()
    eventually(lambda: not pods.living(), 30.0)
    assert len(made.painter.paint(made.cells()[:1])) == 1  # on another one, while what is left of the limits allows it
    assert len(pods.living()) == 1
    made.painter.close()
    assert (pods.living(), states(copied.root), left(copied.root)) == ([], ["ended", "ended"], [])


def test_the_limits_of_a_run_hold_for_its_training_and_its_pictures_together(runpod, copied):
    run, ledger = load_run(copied.run), PodLedger(copied.root)
    key = f"{run.character_folder.path.name}/{run.file.id}"
    name = ledger.intend("NVIDIA A40", "0.4", RunLimits(key, Decimal(5), 6.0, 0.0))
    ledger.created(name, "pod1")
    ledger.ended(name, "pod1")
    ledger.cost(name, key.split("/", maxsplit=1)[0], Decimal("4.97"), None, 240.0)
    made = Painting(copied.root, copied.run)
    with raises("rent-used-up", has=("0.03 USD", "paint on this computer", "--max-cost")):
        made.painter.paint(made.cells())
    made.painter.close()
    with raises("rent-used-up"):
        before_painting(copied.root, run, of_grid(run), Rental())
    assert (runpod.pods, left(copied.root)) == ({}, [])
    assert "0.51 USD: after 2 hours" in before_painting(
        copied.root, run, of_grid(run), Rental(hours=2, cap=2, anew=True)
    )


def test_two_painters_of_one_run_cannot_each_spend_its_limits(runpod, copied, monkeypatch):
    one, other = Painting(copied.root, copied.run), Painting(copied.root, copied.run)
    api = pod_terms.account(copied.root)
    monkeypatch.setattr(rented_pod, "_WAIT", 0.0)
    with only_process(one.run.folder, file=rented_pod.RENTING), raises("folder-locked"):
        one.painter._pod._rent(api)
    assert runpod.pods == {}
    pod = one.painter._pod._rent(api)
    with raises("rent-in-use"):
        other.painter._pod._rent(api)
    assert [one.id for one in runpod.living()] == [pod.id]
    assert one.painter._pod.found(api).id == pod.id  # which goes on with its own
    before_painting(copied.root, one.run, of_grid(one.run), Rental())  # what could be had if it ended now
    other.painter._pod._ledger.ended(one.painter._pod.memo.name, pod.id)
    assert other.painter._pod._rent(api).id != pod.id


def test_the_grid_of_run_is_painted_on_a_second_pod_while_the_limits_allow_it(runpod, copied, monkeypatch, capsys):
    given, run = [], load_run(copied.run)
    monkeypatch.setattr(train_elsewhere, "finish_run", lambda make, painter=None: given.append(painter))
    where = train_elsewhere.Elsewhere("runpod", Rental(anew=True))
    train_elsewhere._finished(copied.root, where, run)
    assert isinstance(given[0](run), PodPainter)
    assert "RunPod offers now" in capsys.readouterr().out
    ledger, key = PodLedger(copied.root), f"{run.character_folder.path.name}/{run.file.id}"
    trained = ledger.intend("NVIDIA A40", "0.4", RunLimits(key, Decimal(5), 6.0, 0.0))
    ledger.created(trained, "pod1")
    ledger.cost(trained, "mara", Decimal(5), None, 240.0)
    train_elsewhere._finished(copied.root, where, run)
    assert given[1] is None
    assert "painted on this computer, as no GPU is rented for it" in capsys.readouterr().out
    assert runpod.pods == {}


def test_a_job_rents_from_when_it_was_queued_and_its_result_has_the_bill(runpod, copied):
    queue, asked = Queue(copied.root), TestArguments(on="runpod", rental=Rental(cap=3, anew=True))
    job, said = queue.add(NAME, asked), []
    pipe = SimpleNamespace(stopping=lambda: False, check=lambda: None, wish="", pace=0.0)
    folder = queue.folder(job.id)
    context = JobContext(copied.root, NAME, folder, pipe, lambda kind, **more: said.append(kind), lambda run: None)
    with painter_for(context, load_run(copied.run), asked) as (painter, name):
        assert (isinstance(painter, PodPainter), name) == (True, "")
        assert (painter._rented_for.rental, painter._rented_for.asked) == (asked.rental, job.created)
        assert painter._job.folder.name.startswith(f"painting-job-{job.id}-")
        assert rent_of(painter) == {}
        painter._pod.bill = {"billed": 0.1}
    assert rent_of(painter) == {"rent": {"billed": 0.1}}
    assert rent_of(None) == {}


def test_what_it_costs_is_said_before_and_by_what_was_painted_on_such_a_gpu(runpod, copied, capsys):
    run, ledger = load_run(copied.run), PodLedger(copied.root)
    side = run.file.settings.resolution
    said = before_painting(copied.root, run, of_grid(run, 8, 10), Rental(gpus=["A40"]))
    assert "A40, 48 GB: 0.41 USD an hour" in said
    assert "How long 20 pictures take on the A40 is not known" in said
    assert "at most 2.43 USD: after 6 hours it is deleted" in said
    name = ledger.intend("NVIDIA A40", "0.4")
    ledger.cost(name, "mara", Decimal("0.1"), 3.0, 10.0, Painted(run.model().family, side, 100, 60.0))
    said = before_painting(copied.root, run, of_grid(run, 8, 10), Rental(gpus=["A40"]))
    assert "20 pictures take about 2 min on the A40" in said
    assert "3 min to prepare it, about 5 min at 0.41 USD an hour: 0.04 USD" in said
    assert "not known" in before_painting(copied.root, run, of_grid(run, 8, 10, side + 8), Rental(gpus=["A40"]))
    with raises("rent-above-limit"):
        cli.main(["grid", str(copied.run), "--on", "runpod", "--max-cost", "0.1", "--data", str(copied.root)])
    with raises("rental-without-runpod"):
        cli.main(["choose", str(copied.run), "--max-cost", "0.1", "--data", str(copied.root)])
    assert runpod.pods == {}


def test_a_gpu_for_pictures_holds_the_whole_model():
    xl = preset(None, "sdxl")
    assert painting_memory("sdxl", xl).whole == 12
    assert painting_memory("sd1", preset(None, "sd1")).whole < 12
    assert painting_memory("sdxl", replace(xl, precision="fp32")).whole > 16


def test_how_long_pictures_take_is_measured_between_those_that_come_apart(copied, monkeypatch):
    run, now = load_run(copied.run), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    paces = _Paces(run)
    cell = Painting(copied.root, copied.run).cells(10)[0]
    for moment in (100.0, 100.1, 102.0, 104.0, 106.0):
        now[0] = moment
        paces.came(cell)
    assert paces.painted() is None
    paces.begin()
    for moment in (500.0, 502.0):
        now[0] = moment
        paces.came(cell)
    assert paces.painted() == Painted(run.model().family, 64, 40, 7.9)


def test_jobs_name_what_may_be_rented_and_old_rows_are_read():
    asked = TestArguments(on="runpod", rental=Rental(gpus=["A40"], hours=1))
    assert arguments_of("test", as_plain(asked)) == asked
    old = {key: value for key, value in as_plain(TestArguments()).items() if key != "rental"}
    assert arguments_of("test", old) == TestArguments()
    for kind, values in (
        ("test", {"rental": {}}),
        ("choose", {"rental": {}, "on": "ssh:x"}),
        ("produce", {"production": "001", "rental": {}}),
    ):
        with raises("setting-invalid", has="rental"):
            arguments_of(kind, values)
