"""A run that is opened again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from faults import raises

from lib_lora.runs.events import EventLog, read_events
from lib_lora.runs.reopen import check_base, reopen, trained_lora
from lib_lora.training.plan.run_file import Run, load_run, saved_steps

pytestmark = pytest.mark.once("which files of a run are read again is ours; test_loop.py resumes with these versions")


def test_a_run_is_found_by_its_folder_or_inside_the_data_folder(copied):
    file = load_run(copied.run).file
    assert reopen(copied.run) == Run(copied.run, file)
    assert reopen(copied.run.relative_to(copied.root), copied.root) == Run(copied.run, file)
    with raises("not-a-run-folder", has="run.yaml"):
        reopen(Path("characters/nobody/runs/001"), copied.root)


def test_nothing_is_written_where_nothing_changed(copied):
    before = (copied.run / "run.yaml").stat().st_mtime_ns
    reopen(copied.run, copied.root, base=copied.base)
    assert (copied.run / "run.yaml").stat().st_mtime_ns == before


def test_new_places_are_remembered(copied, tmp_path):
    base = Path(shutil.copy(copied.base, tmp_path / "neu ü.safetensors"))
    was = load_run(copied.run).file
    run = reopen(copied.run, base=base, out=copied.out)
    assert run == load_run(copied.run)
    assert run.file == replace(was, base=replace(was.base, path=str(base)), out=str(copied.out))
    assert copied.out.is_dir()


def test_another_model_is_not_taken_as_base(copied, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(copied.base.read_bytes() + b"x")
    before = (copied.run / "run.yaml").read_bytes()
    with raises("base-model-changed", has="SHA-256"):
        reopen(copied.run, base=other)
    with raises("base-model-missing", has="gone.safetensors"):
        reopen(copied.run, base=tmp_path / "gone.safetensors")
    assert (copied.run / "run.yaml").read_bytes() == before


def test_a_run_without_its_character_is_refused(copied, tmp_path):
    shutil.copytree(copied.run, tmp_path / "alone")
    with raises("run-folder-moved"):
        reopen(tmp_path / "alone")


def test_a_base_that_has_not_changed_is_not_read_again(copied, monkeypatch):
    run = load_run(copied.run)
    check_base(run)
    monkeypatch.setattr("lib_lora.models.reading.file_hashes.sha256", None)  # must not be called
    check_base(run)
    assert len(json.loads((copied.root / "hashes.json").read_text(encoding="utf-8"))) == 1


def test_a_trained_run_is_known_by_its_events_and_its_file(copied):
    run = load_run(copied.run)
    lora = run.checkpoint(3)
    assert trained_lora(run) == lora
    longer = Run(run.folder, replace(run.file, settings=replace(run.file.settings, steps=9)))
    assert trained_lora(longer) is None
    by_passes = Run(run.folder, replace(run.file, settings=replace(run.file.settings, steps=0)))
    assert trained_lora(by_passes) == lora
    lora.unlink()
    assert trained_lora(run) is None


def test_a_run_that_is_not_trained_to_its_end_is_not_trained(copied):
    run = load_run(copied.run)
    run.events.unlink()
    assert trained_lora(run) is None
    log = EventLog(run.events)
    log("state", state="training", step=0, total=3)
    log("checkpoint", step=3, file=run.checkpoint(3).name)
    log("state", state="stopped", step=2)
    assert trained_lora(run) is None
    log("state", state="trained")  # cut or foreign: without its step it says nothing
    assert trained_lora(run) is None


def test_a_finished_run_is_trained_longer(copied, main, fake_painter):
    """The advice "train 3 more steps" can be followed: the run goes on from where it ended."""
    run = load_run(copied.run)
    was = run.checkpoint(3).read_bytes()
    said = main("resume", copied.run, "--steps", "6")
    assert said.status == 0, said.err
    assert saved_steps(load_run(copied.run)) == [2, 3, 4, 6]
    assert run.checkpoint(3).read_bytes() == was
    assert run.checkpoint(6).read_bytes() != was
    steps = [event["step"] for event in read_events(run.events) if event["kind"] == "step"]
    assert steps == [1, 2, 3, 4, 5, 6]
    rates = [event["lr"] for event in read_events(run.events) if event["kind"] == "step"]
    assert rates[3:] == rates[:3]  # the schedule begins anew
    assert rates[0] > rates[2] > 0 or len(set(rates)) == 1
    assert load_run(copied.run).file.restart == 3


def test_a_stopped_run_that_is_made_longer_stretches_its_schedule(copied):
    run = load_run(copied.run)
    run.events.unlink()
    assert reopen(copied.run, steps=9).file.restart == 0


def test_without_the_file_of_its_last_step_a_finished_run_is_a_finished_one(copied):
    run = load_run(copied.run)
    run.checkpoint(3).unlink()
    with raises("run-has-more-steps", has=("3", "--steps")):
        reopen(copied.run, steps=3)
    assert reopen(copied.run, steps=6).file.restart == 3


def test_a_continued_run_that_was_stopped_keeps_its_schedule(copied):
    reopen(copied.run, steps=9)
    run = load_run(copied.run)
    run.checkpoint(5).write_bytes(run.checkpoint(3).read_bytes())  # as where it was stopped at step 5
    assert reopen(copied.run, steps=12).file.restart == 3


@pytest.mark.parametrize("steps", [1, 3])
def test_fewer_steps_than_there_are_is_a_mistake(copied, steps):
    before = (copied.run / "run.yaml").read_bytes()
    with raises("run-has-more-steps", has=("3", "--steps")):
        reopen(copied.run, steps=steps)
    assert (copied.run / "run.yaml").read_bytes() == before
