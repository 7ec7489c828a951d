"""The seam to other machines: a runner whose workers have another data folder and other checkpoints does all that the
local one does, through the interface alone."""

import json
import shutil
import sqlite3
from pathlib import Path

import job_files
import pytest
from elsewhere import ElsewhereRunner
from PIL import Image
from supervisor_harness import FakeHost, eventually

from lib_lora.queue.job_types import TestArguments, TrainArguments
from lib_lora.queue.queue import Queue
from lib_lora.queue.running.supervisor import Supervisor, Timeouts
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workspace.workspace import Workspace

PERSONAS = Path(__file__).parents[1] / "data" / "personas"
SMALL = {"resolution": 128, "precision": "fp32", "optimizer": "adamw", "lora": {"rank": 2, "te": False}, "samples": 0}
SMALL |= {"batch_size": 1, "gradient_checkpointing": False, "steps": 1}


class PaintingHost(FakeHost):
    """Paints a photo of the character in every cell, and keeps what it was asked for."""

    def __init__(self, folder):
        super().__init__(folder)
        self.painting = True

    def paint(self, pictures, base, each, stop):
        for number, picture in enumerate(pictures):
            self.painted.append((picture, base))
            each(number, Image.open(PERSONAS / "mara" / f"{number % 20:02d}.jpg").convert("RGB"), "by the host")


@pytest.fixture
def harness(tmp_path, toy):
    """A data folder with a character of three photos, and a supervisor whose workers are elsewhere."""
    home, base = tmp_path / "zu Hause ü", tmp_path / "modelle" / "Basis 名前.safetensors"
    base.parent.mkdir()
    shutil.copy(toy("sd1"), base)
    new_character(
        home,
        NewCharacter("Mara ü", "mrxa", "woman", "fictional"),
        [PERSONAS / "mara" / f"{number:02d}.jpg" for number in range(3)],
    )
    runner, host = ElsewhereRunner(home, tmp_path / "woanders"), PaintingHost(tmp_path)
    supervisor = Supervisor(home, host, runner, Timeouts(poll=0.1, again=0.1))
    supervisor.start()
    yield Queue(home), supervisor, runner, host, base
    supervisor.close()


def _done(queue, number):
    eventually(lambda: queue.get(number).ended, 300.0, lambda: queue.get(number))
    return queue.get(number)


@pytest.mark.once("who runs a worker, and which files it needs, is ours; test_main_job.py repeats a whole job")
def test_a_training_elsewhere_and_its_test_painted_here(harness):
    queue, supervisor, runner, host, base = harness
    job = queue.add("Mara ü", TrainArguments(base=str(base), settings=SMALL, few=True, then_test=False))
    supervisor.wake()
    trained = _done(queue, job.id)
    assert (trained.state, trained.error, trained.run) == ("finished", "", "001")
    assert trained.arguments.base == str(base)  # for whoever asks here
    run = load_run(Workspace(queue.root).character("Mara ü").run("001").path)
    assert saved_steps(run) == [1]
    assert run.file.base.path == str(base)
    kinds = {event["kind"] for event in read_events(queue.folder(job.id) / "events.jsonl")}
    assert {"state", "run", "step", "checkpoint"} <= kinds

    test = queue.add("Mara ü", TestArguments(run="001", quick=True, grid_steps=1, painter="webui"))
    supervisor.wake()
    tested = _done(queue, test.id)
    assert (tested.state, tested.error) == ("finished", "")
    grid = run.grids / tested.result["grid"]
    assert (grid / "report.json").is_file()
    assert len(list((grid / "cells").glob("*.png"))) == len(host.painted)
    assert {painted_with for _, painted_with in host.painted} == {base}
    assert {picture.lora for picture, _ in host.painted} == {None, run.checkpoint(1)}
    assert any(name.startswith(f"jobs/{test.id}/pictures/") for name in runner.carried)
    assert load_run(run.folder).file.base.path == str(base)


def test_rows_hold_names_and_older_rows_paths(tmp_path):
    queue, base = Queue(tmp_path / "data"), tmp_path / "models" / "base.safetensors"
    arguments = {"base": str(base), "settings": {"class_photos": str(tmp_path / "women")}}
    job = queue.add("Mara", TrainArguments(**arguments))
    with sqlite3.connect(queue.path) as db:
        stored = json.loads(db.execute("SELECT arguments FROM jobs").fetchone()[0])
    assert (stored["base"], stored["settings"]) == ("base.safetensors", {"class_photos": "women"})
    assert stored["files"] == {"base.safetensors": str(base), "women": str(tmp_path / "women")}
    assert (job.arguments.base, job.arguments.settings) == (arguments["base"], arguments["settings"])
    assert queue.named(job.id)[1] == {"base.safetensors": base, "women": tmp_path / "women"}
    with sqlite3.connect(queue.path) as db:
        db.execute("UPDATE jobs SET arguments = ?, seal = ''", (json.dumps(arguments),))
    assert queue.get(job.id).arguments.base == str(base)


def test_two_files_of_one_name_are_two(tmp_path):
    queue = Queue(tmp_path / "data")
    places = [tmp_path / "a" / "x.safetensors", tmp_path / "b" / "x.safetensors"]
    job = queue.add("Mara", TrainArguments(base=str(places[0]), settings={"class_photos": str(places[1])}))
    assert [job.arguments.base, job.arguments.settings["class_photos"]] == [str(one) for one in places]
    named, files = queue.named(job.id)
    assert [named["base"], named["settings"]["class_photos"]] == ["x.safetensors", "x-2.safetensors"]
    assert files == {"x.safetensors": places[0], "x-2.safetensors": places[1]}


def _stored(queue, arguments=None):
    with sqlite3.connect(queue.path) as db:
        if arguments is not None:
            db.execute("UPDATE jobs SET arguments = ?, seal = ''", (json.dumps(arguments),))
        return json.loads(db.execute("SELECT arguments FROM jobs").fetchone()[0])


def test_what_lies_directly_in_the_data_folder_is_found_there_also_after_a_move(tmp_path):
    queue = Queue(tmp_path / "data")
    places = [queue.root / "base.safetensors", queue.root / "women"]  # neither needs to be there yet
    job = queue.add("Mara", TrainArguments(base=str(places[0]), settings={"class_photos": str(places[1])}))
    assert [job.arguments.base, job.arguments.settings["class_photos"]] == [str(one) for one in places]
    named, files = queue.named(job.id)
    assert (named["base"], files) == ("base.safetensors", {})
    places[1].mkdir()
    for path in (places[0], places[1] / "a.png"):
        path.touch()
    assert job_files.needed(Workspace(queue.root), job) == ["base.safetensors", "women/a.png"]
    other = Queue(tmp_path / "other")
    other.accept(job, named, files)
    assert other.get(job.id).arguments.base == str(other.root / "base.safetensors")
    queue.root.rename(tmp_path / "moved")
    assert Queue(tmp_path / "moved").get(job.id).arguments.base == str(tmp_path / "moved" / "base.safetensors")


def test_an_incomplete_path_is_mistaken_for_no_other_file(tmp_path):
    queue = Queue(tmp_path / "data")
    (queue.root / "models").mkdir(parents=True)
    (queue.root / "models" / "x.safetensors").touch()
    for name, given in (
        ("one", (str(tmp_path / "x.safetensors"), "x.safetensors")),
        ("two", ("x.safetensors", str(queue.root / "x.safetensors"))),
        ("three", (str(queue.root / "x.safetensors"), str(tmp_path / "x.safetensors"))),
        ("four", ("models/x.safetensors", str(queue.root / "models" / "x.safetensors"))),
    ):
        job = queue.add(name, TrainArguments(base=given[0], settings={"class_photos": given[1]}))
        assert (job.arguments.base, job.arguments.settings["class_photos"]) == given, name


def test_an_older_row_is_the_same_job(tmp_path):
    queue = Queue(tmp_path / "data")
    inside, outside = queue.root / "models" / "x.safetensors", tmp_path / "women"
    inside.parent.mkdir(parents=True)
    inside.touch()
    arguments = {"base": str(inside), "settings": {"class_photos": str(outside)}}
    job = queue.add("Mara", TrainArguments(**arguments))
    plain = {key: value for key, value in _stored(queue).items() if key != "files"}
    absolute = {**plain, **arguments}
    names = {**plain, "base": "models/x.safetensors", "files": {"women": str(outside)}}
    for older in (absolute, names):
        _stored(queue, older)
        assert queue.get(job.id).arguments == job.arguments
        assert queue.add("Mara", TrainArguments(**arguments)).id == job.id
