"""The real worker on the node of a stand-in for a Ray cluster: storage that is a URL, and *Measure*.

What trains on the node is this checkout, as if it had been installed there. What a real cluster does is tested in
`test_ray_runner`.
"""

import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray_nodes
from fake_ray import FakeRay
from faults import raises
from remote_harness import NAME, SETTINGS
from s3_server import BUCKET, packages, s3_served
from safetensors.numpy import load_file
from supervisor_harness import FakeHost, eventually

from lib_lora.models.families.identify import identify
from lib_lora.queue.job_types import ProbeArguments, TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.runner_choice import ChosenRunner
from lib_lora.queue.running.supervisor import Supervisor, Timeouts
from lib_lora.remote import installation, places
from lib_lora.remote.ray_cluster import ray_connection
from lib_lora.remote.ray_cluster.shared_storage import opened
from lib_lora.runs.lent_run import loan_of
from lib_lora.training.loop import train
from lib_lora.training.plan.estimate import last_measurement
from lib_lora.training.plan.presets import preset
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.train.prepare import start_run
from lib_lora.workflows.train.speed_probe import MEASURED
from lib_lora.workflows.worker import work
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="what runs on a node needs Linux"),
    pytest.mark.long,
    pytest.mark.once("how a worker elsewhere is reached is ours; what it trains with is tested on its own"),
]

ROOT = Path(__file__).parents[2]
SMALL = {**SETTINGS, "batch_size": 1, "gradient_checkpointing": False, "save_every": 4, "steps": 8}
SMALL["likeness_curve"] = False  # each worker would look for faces in three photos, and find them too few
RUN = "002"


class Host(FakeHost):
    """Starts real workers; has no GPU."""

    def worker_command(self):
        return [sys.executable]

    def worker_environment(self):
        return {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}  # as there


MEASURES = """#!/bin/sh
exec {python} -S - "$@" <<'END'
import json, pathlib, sys, time
data = pathlib.Path(sys.argv[sys.argv.index("--data") + 1])
assert "rehearse" in sys.argv and list(data.rglob("*.jpg"))
path = data / {name!r}
path.parent.mkdir(exist_ok=True)
path.with_name("new.tmp").write_text(json.dumps({found}))
path.with_name("new.tmp").replace(path)
END
"""
MEASURED_THERE = {
    "seconds_per_step": 0.25,
    "peak_memory": 5_000_000_000,
    "load_seconds": 3.0,
    "steps": 4,
    "device": "NVIDIA A40",
    "precision": "bf16",
    "others": 0.0,
}


def installed(root, there, script=None):
    """Let this checkout, or a script, be SameFace on the node."""
    version = there / "versions" / installation.built(root).sha256[:16]
    program = version / "venv" / "bin" / "python"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(script or f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (version / "ready.json").write_text("{}", encoding="utf-8")


@pytest.fixture
def cluster(tmp_path, prepared, monkeypatch):
    """A cluster, and a home."""
    monkeypatch.setattr(remote_job, "POLL", 0.2)
    monkeypatch.setattr(remote_job, "FILES", 0.2)
    monkeypatch.setattr(ray_connection, "STALE", 6.0)
    made = FakeRay(tmp_path / "cluster")
    made.start()
    made.root = tmp_path / "zu Hause ü"
    shutil.copytree(prepared, made.root)
    made.base = Path(load_run(Workspace(made.root).character(NAME).run("001").path).file.base.path)
    installed(made.root, made.there)
    yield made
    made.stop()


def trained(root):
    """The run, trained on the cluster to its end."""
    host, queue = Host(root), Queue(root)
    supervisor = Supervisor(root, host, ChosenRunner(root, lambda: host), Timeouts(poll=0.1, again=0.1))
    supervisor.start()
    try:
        number = queue.add(NAME, TrainArguments(run=RUN, few=True, then_test=False, on="ray:studio")).id
        supervisor.wake()
        eventually(lambda: queue.get(number).ended, 200.0, lambda: queue.get(number))
    finally:
        supervisor.close()
    job = queue.get(number)
    assert (job.state, job.error) == ("finished", "")
    return load_run(Workspace(root).character(NAME).run(RUN).path)


@pytest.fixture
def s3(monkeypatch):
    """The URL of storage on S3, which both sides reach with the variables of this process."""
    if why := ray_nodes.missing():
        pytest.skip(why)
    monkeypatch.setattr("sys.path", [*sys.path, str(packages())])
    with s3_served() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield f"s3://{BUCKET}/sameface"


def test_storage_on_s3_from_the_upload_to_the_lora_which_is_that_of_home(tmp_path, cluster, s3, one_thread):
    root, drivers = cluster.root, tmp_path / "drivers"
    drivers.symlink_to(packages())  # what its folder is called, the installation takes for packages of this Python
    cluster.environment["PYTHONPATH"] = str(drivers)
    request = TrainingRequest(cluster.base, overrides=SMALL, few=True, elsewhere=True)
    assert start_run(root, NAME, request).file.id == RUN
    other = tmp_path / "trained at home"
    shutil.copytree(root, other)
    here = load_run(Workspace(other).character(NAME).run(RUN).path)
    train(here, lambda *_, **__: None)
    places.save(root, cluster.place(storage=s3))
    there = trained(root)
    assert saved_steps(there) == saved_steps(here) == [4, 8]
    for step in saved_steps(here):
        ours, theirs = load_file(here.checkpoint(step)), load_file(there.checkpoint(step))
        assert ours.keys() == theirs.keys()
        assert not [name for name in ours if (ours[name] != theirs[name]).any()]
    assert loan_of(there.folder) is None
    storage = opened(s3)
    assert storage.names("jobs") == []
    assert len(storage.names("files")) == 2  # the base model, the wheel
    assert cluster.jobs == {}
    assert not any(path.is_file() for path in cluster.storage.rglob("*"))


def probed(cluster, stopping=lambda: False):
    """Measure on the cluster, as a job does; what came of it, and what was said."""
    places.save(cluster.root, cluster.place())
    said = []
    (cluster.root / "jobs" / "7").mkdir(parents=True, exist_ok=True)
    pipe = SimpleNamespace(stopping=stopping, check=lambda: None, wish="", pace=0.0)
    context = work.JobContext(
        cluster.root,
        NAME,
        cluster.root / "jobs" / "7",
        pipe,
        lambda kind, **fields: said.append((kind, fields.get("text"))),
        lambda run: None,
    )
    wanted = {"resolution": 128, "optimizer": "adamw", "lora": {"rank": 4}}
    return work.do(ProbeArguments(base=str(cluster.base), settings=wanted, on="ray:studio"), context), said, wanted


def nothing_is_left(cluster):
    assert [path for path in (cluster.storage / "jobs").rglob("*") if path.is_file()] == []
    assert cluster.jobs == {}
    eventually(lambda: not any((cluster.there / "jobs").glob("*")), 20.0, lambda: list(cluster.there.rglob("*")))
    assert not list(cluster.root.glob("remote/probing-*"))


def measures(cluster, found):
    """Let a script stand for what measures on the node; the real one is tested over SSH."""
    script = MEASURES.format(python=sys.executable, name=MEASURED, found=found)
    installed(cluster.root, cluster.there, script)


def test_what_a_training_takes_on_a_cluster_is_measured_there(cluster):
    measures(cluster, {"error": "", "measured": MEASURED_THERE})
    found, said, wanted = probed(cluster)
    assert found == {**MEASURED_THERE, "on": "ray:studio"}
    assert ("progress", "Measuring on studio") in said
    assert [one for one in said if one[0] == "warning"] == []
    train = preset(None, "sd1", wanted, narrow=identify(cluster.base).narrow)
    known = last_measurement(cluster.root, cluster.base, train, on="ray:studio")
    assert known.seconds_per_step == 0.25
    assert last_measurement(cluster.root, cluster.base, train) is None  # it says nothing of this machine
    assert cluster.asked.count("POST /api/jobs/") == 1
    nothing_is_left(cluster)


def test_a_node_that_cannot_measure_says_why(cluster):
    measures(cluster, {"error": "There is too little memory.", "measured": None})
    with raises("probe-failed-there", has="too little memory"):
        probed(cluster)
    nothing_is_left(cluster)


def test_a_measurement_that_waits_for_a_node_is_stopped(cluster):
    cluster.room = False
    began = time.monotonic()
    with raises("job-stopped"):
        probed(cluster, lambda: bool(cluster.jobs) and time.monotonic() - began > 1.0)
    nothing_is_left(cluster)
