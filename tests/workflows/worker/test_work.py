"""What a worker does for each kind of job, and what it leaves: events, the run in the queue, the result."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import types
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from conversions import count_conversions
from fake_comfyui import fake_comfyui
from faults import check_sentence, raises
from PIL import Image

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import read_json
from lib_lora.queue.job_types import AuditArguments, TrainArguments, arguments_of
from lib_lora.queue.queue import Queue
from lib_lora.queue.running.worker_pipe import WorkerPipe
from lib_lora.runs.events import EventLog, read_events
from lib_lora.training.plan.run_file import Run, load_run, save_run, saved_steps, step_to_use
from lib_lora.training.plan.step_measurement import StepMeasurement
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.combine.combine import CombineRequest
from lib_lora.workflows.judge import grid_run
from lib_lora.workflows.judge.choose import ChoiceRequest
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
from lib_lora.workflows.produce import production_request
from lib_lora.workflows.produce.production_request import ProduceRequest, ProduceSettings
from lib_lora.workflows.produce.prompts.prompt_list import PromptRow
from lib_lora.workflows.train import main_job
from lib_lora.workflows.worker import work, work_train
from lib_lora.workspace import preferences

pytestmark = pytest.mark.once("jobs to workflows, which have their own tests; test_main_job.py repeats a whole job")

NAME = "Mara Müller 名前"
PERSONAS = Path(__file__).parents[2] / "data" / "personas"
OLD_QUEUES = Path(__file__).parents[2] / "data" / "old-queues"
SMALL = {"resolution": 128, "precision": "fp32", "optimizer": "adamw", "lora": {"rank": 2, "te": False}, "samples": 0}
SMALL |= {"save_every": 100, "batch_size": 1, "gradient_checkpointing": False}  # quick


@pytest.fixture
def pipe():
    """Nobody is at its other end."""
    reading, writing = os.pipe()
    yield WorkerPipe(reading, writing)
    os.close(reading)
    os.close(writing)


@pytest.fixture
def at_work(copied, pipe):
    """Put a job into the queue of the finished main job's data folder, and do it: at_work("audit", resolution=512).

    `at_work.code` is that of the error that ended the job; empty where none did.
    """
    queue = Queue(copied.root)

    def do(kind: str, **arguments):
        job = queue.add(NAME, arguments_of(kind, arguments))
        assert queue.take("light" if kind in ("audit", "fill") else "heavy", "a test").id == job.id
        outcome = work.work(copied.root, job.id, pipe)
        do.code = outcome["code"]
        folder = queue.folder(job.id)
        assert read_json(folder / "result.json") == outcome
        do.events = list(read_events(folder / "events.jsonl"))
        do.job = queue.get(job.id)
        assert do.events[-1]["kind"] == "state"
        assert do.events[-1]["state"] == outcome["state"]
        if outcome["error"]:
            check_sentence(outcome["error"], do.code)  # which the list of jobs shows
        assert bool(do.code) == bool(outcome["error"])
        queue.end(job.id, outcome["state"], outcome["error"], outcome["result"])
        if outcome["state"] == "paused":
            queue.wish(job.id, "stop")  # it would be the first in line
        return outcome

    return do


def _of(events, kind):
    return [event for event in events if event["kind"] == kind]


# -- the list of jobs of an older version


@pytest.mark.parametrize(("version", "trains"), [("2026-11-26", True), ("2026-11-27", False)])
def test_jobs_that_an_older_version_has_queued_are_done(version, trains, copied, pipe):
    """Of lists whose reading tests/queue/test_old_queues.py holds: captions, and a run of then that is trained on."""
    copied.character.rename(copied.root / "characters" / "mara")  # the character of those lists
    (copied.root / "jobs.sqlite").unlink(missing_ok=True)
    with closing(sqlite3.connect(copied.root / "jobs.sqlite")) as db:
        db.executescript((OLD_QUEUES / f"{version}.sql").read_text(encoding="utf-8"))
        db.commit()
    queue = Queue(copied.root)
    assert [job.id for job in queue.abandoned(lambda owner: False)] == [2]
    queue.resume(2)
    queue.pause_all(False)
    for lane, number, kind in (("light", 2, "fill"), ("heavy", 4, "train"))[: 1 + trains]:
        job = queue.take(lane, "a test")
        assert (job.id, job.kind) == (number, kind)
        outcome = work.work(copied.root, job.id, pipe)
        assert (outcome["state"], outcome["error"]) == ("finished", "")
        queue.end(job.id, outcome["state"], outcome["error"], outcome["result"])
    run = load_run(copied.root / "characters" / "mara" / "runs" / "001")
    assert saved_steps(run)[-1] == (10 if trains else 3)
    assert {job.id for job in queue.jobs() if job.state == "waiting"} == {3, 5, 6, 7} | (set() if trains else {4})


# -- photos and captions


def test_an_audit_says_how_it_goes_and_what_was_found(at_work, copied):
    shutil.rmtree(copied.character / "cache")
    (copied.character / "audit.json").unlink(missing_ok=True)
    outcome = at_work("audit")
    assert outcome == {
        "state": "finished",
        "error": "",
        "code": "",
        "result": {"good": False, "headline": outcome["result"]["headline"]},
    }
    assert "of 4 photos good" in outcome["result"]["headline"]
    assert [(event["done"], event["total"]) for event in _of(at_work.events, "progress")] == [
        (0, 0), (1, 4), (2, 4), (3, 4), (4, 4),
    ]  # fmt: skip
    assert at_work("audit", drop=["Bild ü 03.jpg"])["state"] == "finished"
    assert at_work("audit", drop=["none.jpg"]) == {
        "state": "failed",
        "error": "This character has no photo none.jpg; use the names in its photos folder.",
        "code": "photo-not-found",
        "result": {},
    }


def test_captions_are_counted(at_work, copied):
    (copied.character / "photos" / "Bild ü 00.txt").unlink(missing_ok=True)
    outcome = at_work("fill", only=["Bild ü 00.jpg"])
    assert outcome == {"state": "finished", "error": "", "code": "", "result": {"written": 1}}
    assert (copied.character / "photos" / "Bild ü 00.txt").is_file()
    assert _of(at_work.events, "progress")
    at_work("fill", captioner="nobody")
    assert at_work.code == "captioner-unknown"


def test_the_webuis_captioner_is_asked_through_the_pipe(at_work, copied, pipe, monkeypatch):
    asked = []

    def ask(what, **fields):
        asked.append((what, fields["captioner"]))
        yield {"done": True, "phrases": ["red coat"]}

    monkeypatch.setattr(pipe, "ask", ask)
    (copied.character / "photos" / "Bild ü 00.txt").unlink(missing_ok=True)
    outcome = at_work("fill", only=["Bild ü 00.jpg"], captioner="webui-tags")
    assert outcome == {"state": "finished", "error": "", "code": "", "result": {"written": 1}}
    assert "red coat" in (copied.character / "photos" / "Bild ü 00.txt").read_text(encoding="utf-8")
    assert asked == [("caption", "webui-tags")]


# -- probing


def test_a_probe_is_left_to_who_knows_how(at_work, copied, monkeypatch):
    asked = []

    def probe(*arguments):
        asked.append(arguments)
        arguments[-1]("progress", done=1, total=5, text="Measuring")
        return StepMeasurement("a processor", 0.5, steps=5)

    monkeypatch.setitem(sys.modules, "lib_lora.workflows.train.speed_probe", types.SimpleNamespace(probe=probe))
    outcome = at_work("probe", base=str(copied.base), preset="sd15-face", settings={"batch_size": 2})
    measured = asdict(StepMeasurement("a processor", 0.5, steps=5))
    assert outcome["result"] == {name: value for name, value in measured.items() if name != "on"}
    assert asked[0][:-1] == (copied.root, NAME, TrainingRequest(copied.base, "sd15-face", {"batch_size": 2}))
    assert _of(at_work.events, "progress")[0]["text"] == "Measuring"


# -- training


def test_a_new_run_is_trained_and_known_to_the_queue(at_work, copied, capfd):
    outcome = at_work("train", base=str(copied.base), settings={**SMALL, "steps": 2}, few=True)
    assert outcome == {
        "state": "finished",
        "error": "",
        "code": "",
        "result": {"run": "002", "steps": 2, "step": 2, "lora": "mara-müller-名前-002-000002.safetensors"},
    }
    run = load_run(copied.run.with_name("002"))
    assert run.checkpoint(2).is_file()
    assert (run.file.out, run.file.grid_steps) == (None, 0)
    assert at_work.job.run == "002"
    assert [event["run"] for event in _of(at_work.events, "run")] == ["002"]
    for events in (at_work.events, list(read_events(run.events))):
        assert [event["step"] for event in _of(events, "step")] == [1, 2]
    assert "2/2" not in capfd.readouterr().err  # no progress bar in the log


def test_the_result_names_the_step_to_use_which_the_training_noted(copied):
    before = load_run(copied.run)  # as the worker has it from before the training
    save_run(replace(before, file=replace(before.file, best_step=2)))
    assert work_train._result(before) == {"run": "001", "steps": 3, "step": 2, "lora": before.checkpoint(2).name}


def test_a_run_that_stopped_early_goes_on_to_the_steps_that_it_had_been_asked_for(at_work, copied):
    run = load_run(copied.run)
    settings = replace(run.file.settings, steps=4)
    save_run(replace(run, file=replace(run.file, settings=settings, ended=3, best_step=2)))
    assert at_work("train", run="001", steps=4)["result"]["steps"] == 4
    assert step_to_use(load_run(copied.run)) == 4


def test_a_run_goes_on_and_a_job_that_asks_for_the_same_steps_again_does_too(at_work, copied):
    first = at_work("train", run="001", steps=4)
    assert not _of(at_work.events, "delivered")  # into the folder of the command that made the run
    assert first["result"] == {"run": "001", "steps": 4, "step": 4, "lora": "mara-müller-名前-001-000004.safetensors"}
    assert [event["step"] for event in _of(at_work.events, "step")] == [4]
    again = at_work("train", run="001", steps=4)
    assert again["result"] == first["result"]
    assert not _of(at_work.events, "step")
    at_work("train", run="001", steps=3)
    assert at_work.code == "run-has-more-steps"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "base-model-not-chosen"),
        ({"run": "7"}, "run-not-found"),
        ({"run": "../001"}, "run-not-found"),
        ({"base": "/nowhere/x.safetensors"}, "file-missing"),
        ({"base": "{base}", "settings": {"stepz": 3}}, "setting-unknown"),
    ],
)
def test_what_cannot_be_trained_is_one_sentence(at_work, copied, arguments, code):
    if "base" in arguments:
        arguments = {**arguments, "base": arguments["base"].format(base=copied.base)}
    outcome = at_work("train", **arguments)
    assert (outcome["state"], outcome["result"], at_work.code) == ("failed", {}, code)


@pytest.mark.parametrize(("wish", "state"), [("pause", "paused"), ("stop", "stopped"), ("", "stopped")])
def test_a_wish_in_the_middle_saves_and_ends(at_work, copied, pipe, monkeypatch, wish, state):
    """Without a wish it is the parent that is gone."""
    log = EventLog.__call__

    def wishing(self, kind, **fields):
        log(self, kind, **fields)
        if kind == "step" and fields["step"] == 2:
            pipe.wish, pipe.gone = wish, not wish

    monkeypatch.setattr(EventLog, "__call__", wishing)
    outcome = at_work("train", base=str(copied.base), settings={**SMALL, "steps": 3}, few=True)
    assert outcome == {"state": state, "error": "", "code": "", "result": {}}
    run = load_run(copied.run.with_name("002"))
    assert saved_steps(run) == [2]
    assert at_work.job.run == "002"
    if wish == "pause":
        pipe.wish = ""
        assert at_work("train", run="002")["result"]["steps"] == 3
        assert [event["step"] for event in _of(at_work.events, "step")] == [3]


def test_a_wish_before_the_first_step_is_not_forgotten(at_work, copied, pipe):
    pipe.wish = "stop"
    assert at_work("train", base=str(copied.base), settings={**SMALL, "steps": 5}, few=True)["state"] == "stopped"
    assert not _of(at_work.events, "step")


def _lacking(run: Run, emit) -> Path:
    try:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    except RuntimeError as error:
        raise UserError("Out of memory at step 0; use less.", code="out-of-memory") from error


@pytest.fixture
def runs_out(monkeypatch):
    """Memory runs out in all trainings but those of `batch_size` 1 and gradient_checkpointing."""
    tried, really = [], main_job.train

    def train(run, emit):
        chosen = run.file.settings
        tried.append((chosen.batch_size, chosen.accumulation, chosen.gradient_checkpointing))
        return (really if tried[-1][0] == 1 and tried[-1][2] else _lacking)(run, emit)

    monkeypatch.setattr(main_job, "train", train)
    return tried


def test_where_memory_runs_out_at_first_it_begins_again_with_less(at_work, copied, runs_out):
    settings = {**SMALL, "steps": 1, "batch_size": 2, "accumulation": 2, "gradient_checkpointing": False}
    outcome = at_work("train", base=str(copied.base), settings=settings, few=True)
    assert outcome["state"] == "finished"
    assert runs_out == [(2, 2, False), (1, 4, True)]
    run = load_run(copied.run.with_name("002"))
    assert (run.file.settings.batch_size, run.file.settings.accumulation) == (1, 4)
    for events in (at_work.events, list(read_events(run.events))):
        [warning] = [event for event in _of(events, "warning") if "memory" in event["text"]]
        assert "batch_size 1 and accumulation 4" in warning["text"]
    assert not copied.run.with_name("003").exists()


def test_where_no_less_is_possible_or_something_is_saved_it_is_said(at_work, copied, runs_out, monkeypatch):
    monkeypatch.setattr(main_job, "train", _lacking)
    settings = {**SMALL, "steps": 2, "batch_size": 1, "gradient_checkpointing": True}
    outcome = at_work("train", base=str(copied.base), settings=settings, few=True)
    assert (outcome["state"], outcome["code"]) == ("failed", "out-of-memory")
    outcome = at_work("train", run="001", steps=9)
    assert (outcome["state"], outcome["code"]) == ("failed", "out-of-memory")
    assert not [event for event in _of(at_work.events, "warning") if "again" in event["text"]]


def test_the_worker_converts_a_row_once_and_says_what_it_cannot_read(copied, pipe, monkeypatch):
    queue, arguments = Queue(copied.root), TrainArguments(base="x", settings={"steps": 3})
    seen, got = count_conversions(monkeypatch), []
    job = queue.add(NAME, arguments)
    assert seen == []
    really = work.do
    monkeypatch.setattr(work, "do", lambda asked, context: got.append(asked) or {})
    assert work.work(copied.root, job.id, pipe)["state"] == "finished"
    assert (got, seen) == ([arguments], [TrainArguments])
    monkeypatch.setattr(work, "do", really)
    with queue._file.open(write=True) as db:
        db.execute("UPDATE jobs SET arguments = ? WHERE id = ?", ('{"bse": "x"}', job.id))
    outcome = work.work(copied.root, job.id, pipe)
    assert (outcome["state"], outcome["result"]) == ("failed", {})
    assert "did you mean 'base'" in outcome["error"]


# -- the test grid


def test_a_grid_is_painted_here_and_judged(at_work, copied, fake_painter):
    outcome = at_work(
        "test", run="1", step=2, weight=0.8, grid_steps=3, quick=True, first_seed=77, cfg=5, sampler="DDIM"
    )
    assert outcome["state"] == "finished", outcome
    result = outcome["result"]
    assert {key: result[key] for key in ("run", "grid", "step", "weight", "judged", "drift", "retention")} == {
        "run": "001", "grid": "002", "step": 2, "weight": 0.8, "judged": False, "drift": False, "retention": None,
    }  # fmt: skip
    assert result["verdict"] == "not measurable"
    assert result["headline"]
    plan = read_json(copied.run / "grids" / "002" / "plan.json")
    assert {(cell["steps"], cell["cfg"], cell["sampler"]) for cell in plan["lora"]} == {(3, 5.0, "DDIM")}
    assert [cell["seed"] for cell in plan["lora"]] == list(range(77, 85))
    assert "by" not in plan
    assert [event["done"] for event in _of(at_work.events, "painting")] == list(range(8 + 8 + 4 + 1))
    assert not [event for event in read_events(copied.run / "events.jsonl") if event.get("folder", "").endswith("002")]


def test_a_grid_is_painted_by_the_webui(at_work, copied, pipe, monkeypatch):
    monkeypatch.setattr(grid_run, "DiffusersPainter", None)  # must not be called
    asked = _answer(pipe, monkeypatch)
    outcome = at_work("test", painter="webui", grid_steps=2, quick=True)
    assert outcome["state"] == "finished", outcome
    assert [one["ask"] for one in asked] == ["paint"]  # no face in them, so nothing is passed through the VAE
    assert asked[0]["base"] == str(copied.base)
    assert Path(asked[0]["folder"]).parent.name == str(at_work.job.id)
    assert [one["lora"] is None for one in asked[0]["pictures"]] == [True] * 8 + [False] * 12
    folder = copied.run / "grids" / outcome["result"]["grid"]
    with Image.open(folder / "cells" / "01-lora.png") as picture:
        assert picture.text["parameters"] == "painted elsewhere, 12"
        assert picture.text["DigitalSourceType"]
    assert read_json(folder / "plan.json")["by"] == "webui"
    # what has been painted there is known; what diffusers painted with this plan would not be
    asked.clear()
    assert at_work("test", painter="webui", grid_steps=2, quick=True)["result"] == outcome["result"]
    assert asked == []


def test_another_base_model_is_named_in_the_report(at_work, copied, pipe, monkeypatch, tmp_path):
    other = tmp_path / "Anderes ü.safetensors"
    shutil.copy(copied.base, other)
    asked = _answer(pipe, monkeypatch)
    outcome = at_work("test", painter="webui", base=str(other), grid_steps=2, quick=True)
    assert asked[0]["base"] == str(other)
    report = read_json(copied.run / "grids" / outcome["result"]["grid"] / "report.json")
    assert report["subject"]["base"] == other.name
    at_work("test", painter="worker", base=str(other))
    assert at_work.code == "base-model-needs-webui"


def test_a_wish_ends_the_painting_and_keeps_what_is_there(at_work, copied, pipe, monkeypatch):
    def wish(number):
        if number == 4:
            pipe.wish = "pause"

    _answer(pipe, monkeypatch, wish)
    outcome = at_work("test", painter="webui", grid_steps=2, quick=True)
    assert (outcome["state"], outcome["error"], outcome["result"]) == ("paused", "", {})
    cells = copied.run / "grids" / "002" / "cells"
    assert len(list(cells.iterdir())) == 5
    pipe.wish = ""
    asked = _answer(pipe, monkeypatch)
    assert at_work("test", painter="webui", grid_steps=2, quick=True)["result"]["grid"] == "002"
    assert len(asked[0]["pictures"]) == 20 - 5


def _answer(pipe, monkeypatch, each=lambda number: None):
    asked = []

    def ask(what, **fields):
        asked.append({"ask": what, **fields})
        for number, picture in enumerate(fields["pictures"]):
            path = Path(fields["folder"]) / f"{number}.png"
            Image.new("RGB", (picture["width"], picture["height"]), "grey").save(path)
            each(number)
            yield {"number": number, "file": str(path), "infotext": f"painted elsewhere, {number}"}
        yield {"done": True}

    monkeypatch.setattr(pipe, "ask", ask)
    return asked


@pytest.mark.parametrize("kind", ["test", "choose"])
def test_a_grid_that_cannot_be_painted_is_one_sentence(at_work, copied, kind):
    at_work(kind, run="9")
    assert at_work.code == "run-not-found"


# -- choosing


def test_a_step_is_chosen(at_work, copied, pipe, monkeypatch):
    asked = []

    def choose_cell(run, emit, request, engine, painter, painter_id):
        asked.append((run.file.id, request, type(painter).__name__, painter_id))
        emit("progress", done=0, total=9, text="Step 2 at weight 0.7")
        values = {"step": 2, "weight": 0.7, "certainty": "sure", "sentence": "Keep it.", "screened": []}
        return types.SimpleNamespace(values={**values, "report": str(run.grids / "004" / "report.json")})

    monkeypatch.setattr(work, "choose_cell", choose_cell)
    outcome = at_work("choose", steps=[2], weights=[0.7], painter="webui")
    assert outcome["result"] == {
        "run": "001", "step": 2, "weight": 0.7, "certainty": "sure", "sentence": "Keep it.", "grid": "004",
    }  # fmt: skip
    assert asked == [("001", ChoiceRequest([2], [0.7], 20), "RemotePainter", "webui")]
    at_work("choose")
    assert asked[-1][-2:] == ("NoneType", "")


def test_another_lora_is_tried_with_the_character(at_work, copied, pipe, monkeypatch, tmp_path):
    asked = []

    def combine(run, emit, request, grid_run, engine):
        asked.append((run.file.id, request, grid_run.by))
        verdict = types.SimpleNamespace(kind="survives", headline="The face survives ink", judged=True)
        return types.SimpleNamespace(folder=run.combined / "004", report=types.SimpleNamespace(verdict=verdict))

    monkeypatch.setattr(work, "workflow_of_combining", combine)
    lora = tmp_path / "ink.safetensors"
    outcome = at_work("combine", lora=str(lora), step=2, weight=0.8, weights=[0.5], count=9, painter="webui")
    assert outcome["result"] == {
        "run": "001", "combined": "004", "step": 2, "weight": 0.8, "lora": "ink", "kind": "survives",
        "headline": "The face survives ink", "judged": True,
    }  # fmt: skip
    assert asked == [("001", CombineRequest(lora, 2, 0.8, [0.5], 9, 20), "webui")]


def test_a_grid_is_painted_with_another_lora(at_work, copied, fake_painter, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "renew_previews", lambda *_: pytest.fail("it shows another LoRA too"))
    lora = shutil.copy(next((copied.run / "checkpoints").glob("*-000002.safetensors")), tmp_path / "ink.safetensors")
    outcome = at_work("test", step=3, grid_steps=1, quick=True, loras=[{"file": str(lora), "weight": 0.4}])
    assert outcome["state"] == "finished", outcome
    plan = read_json(copied.run / "grids" / outcome["result"]["grid"] / "plan.json")
    assert {(cell["more"][0][0], cell["more"][0][1]) for cell in plan["lora"]} == {("ink.safetensors", 0.4)}
    lora.write_bytes(b"")
    outcome = at_work("test", step=3, grid_steps=1, quick=True, loras=[{"file": str(lora), "weight": 0.4}])
    assert (outcome["state"], outcome["code"]) == ("failed", "file-empty")


@pytest.mark.parametrize("kind", ["audit", "fill", "test", "choose"])
def test_the_face_engine_is_the_one_that_is_set(at_work, copied, kind):
    path = copied.root / "settings.json"
    path.write_text('{"engine": "magic"}', encoding="utf-8")
    try:
        at_work(kind)
        assert at_work.code == "face-engine-unknown"
    finally:
        path.unlink()


# -- how a job ends


def _raising(error):
    def job():
        raise error

    return job


@pytest.mark.parametrize(
    ("error", "wish", "ended"),
    [
        (StoppedByUser("x", code="work-stopped"), "pause", ("paused", "", "")),
        (StoppedByUser("x", code="work-stopped"), "", ("stopped", "", "")),
        (KeyboardInterrupt(), "stop", ("stopped", "", "")),
        (UserError("Do this.", code="some-fault"), "", ("failed", "some-fault", "Do this.")),
        (
            ZeroDivisionError("by\nzero"),
            "",
            ("failed", "job-failed-inside", "It failed with ZeroDivisionError (by zero); the job's log says"),
        ),
        (AssertionError(), "", ("failed", "job-failed-inside", "It failed with AssertionError; the job's log")),
        (RuntimeError("CUDA out of memory."), "", ("failed", "out-of-memory", "Out of memory; close other programs")),
    ],
)
def test_every_end_is_reported(pipe, error, wish, ended, capsys):
    pipe.wish = wish
    outcome = work.came_of(_raising(error), pipe)
    assert (outcome["state"], outcome["code"], outcome["result"]) == (ended[0], ended[1], {})
    assert outcome["error"].startswith(ended[2])
    assert bool(outcome["error"]) == bool(ended[2])
    log = capsys.readouterr().err
    assert ("Traceback" in log) == (ended[0] == "failed" and not isinstance(error, UserError))
    assert ("Do this." in log) == isinstance(error, UserError)


def test_the_result_of_an_earlier_start_does_not_outlive_the_next(copied, pipe, monkeypatch):
    queue = Queue(copied.root)
    job = queue.add(NAME, AuditArguments())
    there = queue.folder(job.id) / "result.json"
    there.parent.mkdir(parents=True)
    there.write_text(json.dumps({"state": "finished"}), encoding="utf-8")
    seen = []
    monkeypatch.setattr(work, "do", lambda *_: seen.append(there.exists()) or {})
    work.work(copied.root, job.id, pipe)
    assert seen == [False]
    assert there.exists()


def test_a_job_that_is_not_there_is_one_sentence(tmp_path, pipe):
    with raises("job-not-found"):
        work.work(tmp_path, 3, pipe)


def test_who_waits_for_a_dying_worker_waits_longer_than_it_may_live():
    from lib_lora.queue.running import worker_pipe

    assert work_train.PATIENCE > worker_pipe.PATIENCE


# -- who paints is part of what is kept


def test_a_picture_of_the_webui_is_never_taken_for_one_of_diffusers(judgeable, fake_painter):
    """Three studios, one plan: each paints its own pictures without the LoRA, once."""
    other = judgeable.folder / "other.safetensors"
    shutil.copy(judgeable.file.base.path, other)
    painted = []

    class Counting(fake_painter):
        def paint(self, cells, each=None):
            painted.append(sum(cell.lora is None for cell in cells))
            return super().paint(cells, each)

    painter = Counting(None, None, None)
    studios = [
        GridRun(judgeable, lambda *_, **__: None, painter, by, base)
        for by, base in (("", None), ("webui", None), ("webui", other))
    ]
    folders = [room.paint(room.plan(GridRequest(3, 1.0, 1, 5))) for room in studios]
    assert len(set(folders)) == 3
    assert painted == [5, 5, 5]
    assert [room.paint(room.plan(GridRequest(3, 1.0, 1, 5))) for room in studios] == folders
    assert [room.paint(room.plan(GridRequest(3, 0.9, 1, 5))) not in folders for room in studios] == [True] * 3
    assert painted == [5, 5, 5, 0, 0, 0]


def test_the_runs_own_base_is_no_other_one(judgeable):
    own = Path(judgeable.file.base.path)
    assert GridRun(judgeable, lambda *_, **__: None, base=own).by == ""


def test_another_family_is_refused(judgeable, toy):
    with raises("base-model-of-other-family", has=("sd2", "sd1")):
        GridRun(judgeable, lambda *_, **__: None, base=toy("sd2v"))


def test_grids_on_another_base_tell_no_trend(judgeable, fake_painter, eye, monkeypatch):
    from lib_lora.workflows.judge.test_grid import paint_and_score

    class Everywhere(fake_painter):
        def picture(self, cell):
            who = "viktor" if cell.lora is None else "mara"
            return Image.open(PERSONAS / who / f"{cell.seed % 8:02d}.jpg").convert("RGB")

    other = judgeable.folder / "other.safetensors"
    shutil.copy(judgeable.file.base.path, other)
    silent = lambda *_, **__: None  # noqa: E731
    painter = Everywhere(None, None, None)
    elsewhere = GridRun(judgeable, silent, painter, "webui", other)
    there = paint_and_score(judgeable, GridRequest(2, 1.0, 1, count=8), silent, grid_run=elsewhere, engine=eye).report
    assert there.facts.identity.retention is not None
    own = GridRun(judgeable, silent, painter, "webui")
    report = paint_and_score(judgeable, GridRequest(3, 1.0, 1, count=8), silent, grid_run=own, engine=eye).report
    assert [(one.step, one.weight) for one in report.tested] == [(3, 1.0)]


# -- goes on after something has changed


def test_a_run_that_is_trained_is_finished_although_its_base_is_gone(copied, pipe):
    queue = Queue(copied.root)
    base = copied.root / "moved away.safetensors"
    shutil.copy(copied.base, base)
    run = load_run(copied.run)
    job = queue.add(NAME, TrainArguments(base=str(base)))
    queue.take("heavy", "a test")
    queue.note_run(job.id, run.file.id)
    queue.end(job.id, "interrupted")
    base.unlink()
    again = queue.resume(job.id)
    assert (again.arguments.run, again.arguments.base) == (run.file.id, None)
    outcome = work.work(copied.root, job.id, pipe)
    assert (outcome["state"], outcome["error"]) == ("finished", "")
    assert outcome["result"]["steps"] == saved_steps(run)[-1]


def test_a_training_says_how_long_its_steps_are(at_work, pipe, copied):
    assert pipe.pace == 0.0
    outcome = at_work("train", run="001", steps=4)
    assert outcome["state"] == "finished"
    assert pipe.pace == _of(at_work.events, "step")[-1]["seconds_per_step"] > 0


def test_the_lock_of_a_run_with_long_steps_is_waited_for_longer(copied, pipe):
    queue = Queue(copied.root)
    context = work.JobContext(copied.root, NAME, queue.folder(1), pipe, lambda *_, **__: None, lambda run: None)
    log = EventLog(load_run(copied.run).events)
    log("step", step=3, seconds_per_step=0.5)
    usual = work_train._patience(TrainArguments(run="001"), context)
    log("step", step=3, seconds_per_step=100.0)
    assert usual == 76.5
    assert work_train._patience(TrainArguments(base="x"), context) == work_train.PATIENCE
    assert work_train._patience(TrainArguments(run="001"), context) == 375.0


# -- productions


def produced(copied, by="", count=2):
    """A production of the main job's LoRA, small and quick to paint."""
    settings = ProduceSettings(count=count, tries=2, steps=1)
    request = ProduceRequest([PromptRow("in a café", width=64, height=64)], settings, by=by)
    _, plan = production_request.plan_of(copied.root, NAME, request)
    return production_request.begun(copied.root, NAME, plan)


def test_a_production_is_painted_and_judged_by_the_worker(at_work, copied):
    made = produced(copied)
    outcome = at_work("produce", production=made.id)
    assert outcome["state"] == "finished", outcome
    painted = {"production": "001", "run": "001", "kept": 0, "wanted": 2, "painted": 4}  # it has learnt no face
    assert outcome["result"] == painted
    assert at_work.job.run == "001"
    assert [event["done"] for event in _of(at_work.events, "production")][-1] == 2
    assert len(list(made.pictures.iterdir())) == 4


def test_a_production_is_painted_by_the_webui_if_it_was_begun_so(at_work, copied, pipe, monkeypatch):
    asked = _answer(pipe, monkeypatch)
    made = produced(copied, by="webui")
    assert at_work("produce", production=made.id)["result"]["painted"] == 4
    assert {one["ask"] for one in asked} == {"paint"}
    assert asked[0]["base"] == str(copied.base)
    with Image.open(made.pictures / "00001-01.png") as picture:
        assert picture.text["parameters"].startswith("painted elsewhere")


def test_a_production_that_is_stopped_goes_on_with_what_is_missing(at_work, copied, pipe, monkeypatch):
    def wish(number):
        if number == 1:
            pipe.wish = "stop"

    _answer(pipe, monkeypatch, wish)
    made = produced(copied, by="webui", count=4)
    assert at_work("produce", production=made.id)["state"] == "stopped"
    before = {path.name for path in made.pictures.iterdir()}
    assert 0 < len(before) < 8
    pipe.wish = ""
    asked = _answer(pipe, monkeypatch)
    assert at_work("produce", production=made.id)["result"]["painted"] == 8
    assert sum(len(one["pictures"]) for one in asked) == 8 - len(before)


def test_a_production_is_painted_by_comfyui_if_it_was_begun_so(at_work, copied, tmp_path):
    with fake_comfyui() as comfy:
        comfy.folder, comfy.checkpoints = tmp_path / "ComfyUI" / "models" / "loras", [copied.base.name]
        comfy.folder.mkdir(parents=True)
        (comfy.folder.parents[1] / "main.py").touch()
        preferences.save(copied.root, preferences.Settings(comfyui=str(comfy.folder)))
        made = produced(copied, by="comfyui")
        outcome = at_work("produce", production=made.id, comfyui=comfy.address)
    assert (outcome["state"], outcome["error"]) == ("finished", "")
    assert outcome["result"]["painted"] == len(comfy.painted) == 4


def test_a_comfyui_that_does_not_answer_is_a_sentence(at_work, copied):
    made = produced(copied, by="comfyui")
    assert at_work("produce", production=made.id, comfyui="127.0.0.1:1")["state"] == "failed"
    assert at_work.code == "comfyui-unreachable"
    assert list(made.pictures.iterdir()) == []


def test_a_production_that_is_gone_is_a_sentence(at_work):
    assert at_work("produce", production="007")["state"] == "failed"
    assert at_work.code == "production-not-found"
