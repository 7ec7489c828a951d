"""The main job on a toy: what it leaves, what it says, and how it goes on after every kind of end."""

from __future__ import annotations

import gc
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest
import torch
import yaml
from diffusers import UNet2DConditionModel
from faults import raises
from PIL import Image

from lib_lora import errors
from lib_lora.cli import STOPPED
from lib_lora.errors import UserError
from lib_lora.files import size
from lib_lora.lora.file.integrity import HEADER_HASH
from lib_lora.lora.file.reading import read
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import load_run, save_run, step_to_use
from lib_lora.workflows.train import main_job

A1111_KEYS = ["description", "sd version", "activation text", "preferred weight", "negative text", "notes"]
NAME = "Mara Müller 名前"
STEM = "mara-müller-名前-001-000003"  # of the last checkpoint
DELIVERED = "mara-müller-名前"
COUNTS = {"base": 20, "lora": 20, "leak": 4}


def _steps(run: Path) -> list[int]:
    return [event["step"] for event in read_events(run / "events.jsonl") if event["kind"] == "step"]


def _states(run: Path) -> list[str]:
    return [event["state"] for event in read_events(run / "events.jsonl") if event["kind"] == "state"]


# -- what the main job leaves


def test_out_holds_the_lora_its_notes_and_its_preview(finished):
    names = [f"{DELIVERED}{end}" for end in (".json", ".png", ".safetensors")]
    assert sorted(path.name for path in finished.out.iterdir()) == names
    lora = read(finished.lora)
    assert lora.metadata["ss_output_name"] == DELIVERED
    assert lora.metadata["ss_steps"] == "3"
    assert lora.metadata["modelspec.trigger_phrase"] == "mrxa"
    assert lora.metadata["sameface.consent"] == "fictional"
    assert len(lora.layers) == 192 + 72
    assert all(bool(torch.any(layer.up != 0)) for layer in lora.layers.values())
    notes = json.loads(finished.lora.with_suffix(".json").read_text(encoding="utf-8"))
    assert [key for key in notes if key != "sameface"] == A1111_KEYS
    assert notes["sd version"] == "SD1"
    assert notes["activation text"] == "mrxa woman"
    assert notes["preferred weight"] == 0
    said = r"SameFace run 001, step 3, 4 photos, base Basis 名前\.safetensors; consent: fictional \(\d{4}-\d\d-\d\d\); "
    said += "licence: that of the base model"
    assert re.fullmatch(said, notes["notes"])
    with Image.open(finished.lora.with_suffix(".png")) as preview:
        assert preview.size == (128, 128)


def test_the_delivered_file_is_the_last_checkpoint(finished):
    checkpoints = sorted((finished.run / "checkpoints").iterdir())
    assert [path.name for path in checkpoints] == [f"{STEM[:-1]}2.safetensors", f"{STEM}.safetensors"]
    first, last, delivered = (read(path) for path in (*checkpoints, finished.lora))
    assert last.tensors.keys() == delivered.tensors.keys()
    assert all(torch.equal(last.tensors[key], delivered.tensors[key]) for key in last.tensors)
    assert not all(torch.equal(first.tensors[key], delivered.tensors[key]) for key in first.tensors)
    changed = {**dict.fromkeys(("ss_output_name", "modelspec.title"), DELIVERED), HEADER_HASH: ANY}
    assert delivered.metadata.items() >= {**last.metadata, **changed}.items()
    assert delivered.metadata["sameface.consent"] == "fictional"


def test_the_best_step_of_a_run_is_delivered_unless_it_is_damaged(copied, main, no_training):
    run = load_run(copied.run)
    save_run(replace(run, file=replace(run.file, best_step=2, grid_steps=0)))
    assert main("resume", copied.run).status == 0
    delivered = copied.out / f"{DELIVERED}.safetensors"
    assert read(delivered).metadata["ss_steps"] == "2"
    assert step_to_use(load_run(copied.run)) == 2
    run.checkpoint(2).write_bytes(run.checkpoint(2).read_bytes()[:-100])
    assert main("resume", copied.run).status == 0
    assert read(copied.out / f"{DELIVERED}-2.safetensors").metadata["ss_steps"] == "3"  # each name keeps its LoRA
    assert step_to_use(load_run(copied.run)) == 3
    assert [one["code"] for one in read_events(run.events) if one["kind"] == "warning"][-1] == "best-step-damaged"


def test_the_grid_lies_on_disk(finished):
    (grid,) = (finished.run / "grids").iterdir()
    names = [f"{n:02d}-{kind}.png" for kind, count in COUNTS.items() for n in range(1, count + 1)]
    assert sorted(path.name for path in (grid / "cells").iterdir()) == sorted(names)
    plan = json.loads((grid / "plan.json").read_text(encoding="utf-8"))
    for ours, plain in zip(plan["lora"], plan["base"], strict=True):
        assert (ours["lora"], ours["weight"], plain["lora"]) == (f"{STEM}.safetensors", 1.0, None)
        assert (ours["seed"], ours["steps"], ours["width"]) == (plain["seed"], 2, 128)
        assert "mrxa woman" in ours["prompt"]
        assert plain["prompt"] == ours["prompt"].replace("mrxa woman", "woman")
    assert [cell["seed"] for cell in plan["lora"]] == list(range(1000, 1020))
    assert all(cell["lora"] and "mrxa" not in cell["prompt"] for cell in plan["leak"])
    report = json.loads((grid / "report.json").read_text(encoding="utf-8"))
    assert len(report["photos"]) == 4
    assert Counter(row["role"] for row in report["pictures"]) == COUNTS
    assert sorted(row["path"] for row in report["pictures"]) == sorted(f"cells/{name}" for name in names)


def test_the_lora_changes_every_cell(finished):
    cells = finished.run / "grids" / "001" / "cells"
    for n in range(1, 21):
        with Image.open(cells / f"{n:02d}-lora.png") as ours, Image.open(cells / f"{n:02d}-base.png") as plain:
            assert ours.size == plain.size == (128, 128)
            assert ours.tobytes() != plain.tobytes()


def test_cells_say_how_they_were_painted(finished):
    with Image.open(finished.run / "grids" / "001" / "cells" / "02-lora.png") as picture:
        texts = dict(picture.text)
    assert texts["parameters"].split("\n") == [
        f"photo of mrxa woman, smiling, city street in the background, daylight, upper body <lora:{STEM}:1>",
        "Negative prompt: blurry, deformed, extra limbs, lowres",
        "Steps: 2, Sampler: Euler, CFG scale: 7, Seed: 1001, Size: 128x128, Model: Basis 名前",
    ]
    assert texts["DigitalSourceType"].endswith("/trainedAlgorithmicMedia")
    with Image.open(finished.run / "grids" / "001" / "cells" / "02-base.png") as picture:
        assert picture.text["parameters"].startswith(
            "photo of woman, smiling, city street in the background, daylight, upper body\n"
        )
    with Image.open(finished.lora.with_suffix(".png")) as preview:
        assert preview.info == {}  # the card's picture tells strangers nothing


def test_the_command_says_what_it_did(finished):
    out = finished.said.out
    assert "Left out: broken.jpg is " in out
    assert "Character Mara Müller 名前: 4 photos added, in" in out
    assert f"resume '{finished.run}'" in out
    assert f"LoRA: {finished.lora}\n" in out
    assert "Preparing (sd1, fp32 on cpu) ..." in out
    assert re.search(r"^photos/Bild ü 00\.jpg and \d more +640x640 +128x128", out, re.MULTILINE)
    assert re.search(r"^\[.\] NO VERDICT", out, re.MULTILINE)
    grid = finished.run / "grids" / "001"
    assert out.rstrip().endswith(f"The whole report: {grid / 'report.html'}\nAll in one picture: {grid / 'sheet.png'}")
    assert "Traceback" not in finished.said.err


def test_the_progress_line_shows_the_numbers_of_the_events(finished):
    events = {event["step"]: event for event in read_events(finished.run / "events.jsonl") if event["kind"] == "step"}
    assert list(events) == [1, 2, 3]
    for event in events.values():
        assert event["total"] == 3
        assert 0 < event["loss"] < 10
        assert event["seconds_per_step"] > 0
        # at first with the pictures of the likeness curve, until it is seen that nothing can be measured
        rest = event["seconds_left"] - event["seconds_per_step"] * (3 - event["step"])
        assert rest > 0 if event["step"] == 1 else rest == pytest.approx(0)
        assert event["peak_memory"] > 100e6
    shown = re.findall(
        r"step (\d) of 3, loss ([\d.]+), ([\d.]+) s/step, (\d+) s left, peak ([\d.]+ [MG]B)", finished.said.err
    )
    assert shown[-1][0] == "3"
    for step, loss, pace, left, peak in shown:
        event = events[int(step)]
        assert loss == f"{event['loss_average']:.4f}"
        assert pace == f"{event['seconds_per_step']:.2f}"
        assert left == f"{event['seconds_left']:.0f}"
        assert peak == size(event["peak_memory"])


def test_the_events_hold_the_whole_run(finished):
    events = list(read_events(finished.run / "events.jsonl"))
    assert _states(finished.run) == ["preparing", "training", "trained", "finished"]
    assert [event["done"] for event in events if event["kind"] == "painting"] == list(range(45))
    assert [event["file"] for event in events if event["kind"] == "delivered"] == [str(finished.lora)]
    assert [event["folder"] for event in events if event["kind"] == "grid"] == [str(finished.run / "grids" / "001")]
    kinds = [event["kind"] for event in events]
    assert kinds.index("delivered") < kinds.index("painting") < kinds.index("grid")
    assert "error" not in kinds


def test_the_run_file_knows_captions_class_pictures_and_faces(finished):
    file = yaml.safe_load((finished.run / "run.yaml").read_text(encoding="utf-8"))
    own = [photo for photo in file["photos"] if not photo["prior"]]
    prior = [photo for photo in file["photos"] if photo["prior"]]
    assert [photo["file"] for photo in own] == [f"photos/Bild ü {n:02d}.jpg" for n in range(4)]
    assert [photo["caption"] for photo in own][:2] == ["photo of mrxa woman", "photo of mrxa woman, laughing"]
    assert len(prior) == 2
    assert all(Path(photo["file"]).is_absolute() and "class #1 ü" in photo["file"] for photo in prior)
    assert {photo["caption"] for photo in prior} == {"photo of woman"}
    for photo in own:
        ((left, top, right, bottom),) = photo["regions"]
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert 0.02 < (right - left) * (bottom - top) < 0.8
    assert all(photo["regions"] == [] for photo in prior)
    chosen = file["settings"]
    assert (chosen["steps"], chosen["resolution"], chosen["lora"]["rank"], chosen["lora"]["alpha"]) == (3, 128, 4, 16)
    assert (file["out"], file["grid_steps"]) == (str(finished.out), 2)


# -- a second run, a stop, a move


def test_a_second_run_has_its_own_number_and_leaves_the_first_alone(copied, main, quick):
    before = {path: path.read_bytes() for path in copied.run.rglob("*") if path.is_file()}
    command = [*copied.command, "--data", copied.root, "--out", copied.out, "--grid-steps", "0"]
    said = main(*command, "--steps", "1", "--set", "face_weight=1")
    assert said.status == 0, said.err
    assert "0 photos added, 4 were there already" in said.out
    assert sorted(path.name for path in copied.run.parent.iterdir()) == ["001", "002"]
    second = copied.out / f"{DELIVERED}.safetensors"
    assert f"LoRA: {second}" in said.out
    assert read(second).metadata["ss_output_name"] == second.stem
    assert "Likeness" not in said.out
    assert not second.with_suffix(".png").exists()
    assert {path: path.read_bytes() for path in before} == before


@pytest.fixture
def stop_after_first_step(monkeypatch):
    """The user makes the stop file while the first step is being shown."""
    show = main_job.Terminal.__call__
    folders = []

    def stopping(self, kind, **fields):
        show(self, kind, **fields)
        if kind == "step" and fields["step"] == 1:
            (folders[-1] / "stop").touch()

    def remember(run):
        folders.append(run.folder)
        return sink(run)

    sink = main_job.sink
    monkeypatch.setattr(main_job, "sink", remember)
    monkeypatch.setattr(main_job.Terminal, "__call__", stopping)


def test_stopped_moved_and_resumed(toy, main, quick, some_photos, tmp_path, stop_after_first_step):
    """`new`, `train` stopped by the user, data folder and base moved, another base put in its place, `resume`."""
    root, base = tmp_path / "Daten ü", Path(shutil.copy(toy("sd1"), tmp_path / "base.safetensors"))
    said = main("new", "Ines", "--trigger", "inxs", "--class", "woman", "--consent", "myself",
                "--photos", some_photos("ines", 2), "--data", root)  # fmt: skip
    assert said.status == 0, said.err
    assert "2 photos added." in said.out
    said = main("train", "Ines", "--base", base, "--steps", "2", "--data", root, *quick)
    run = root / "characters" / "ines" / "runs" / "001"
    assert said.status == STOPPED
    assert said.err.rstrip().endswith(
        f"Stopped after step 1 of 2; everything is saved. Continue with: sameface resume '{run}'"
    )
    assert _states(run)[-1] == "stopped"
    assert not (run / "stop").exists()

    moved, kept = tmp_path / "anderswo 名前", tmp_path / "Modelle ü" / "base.safetensors"
    root.rename(moved)
    run = moved / "characters" / "ines" / "runs" / "001"
    kept.parent.mkdir()
    base.rename(kept)
    said = main("resume", run)
    assert (said.status, said.code, str(base) in said.err) == (2, "base-model-missing", True)
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1
    base.write_bytes(content)  # as large as the first, one bit is different
    said = main("resume", run)
    assert (said.status, said.code, str(base) in said.err) == (2, "base-model-changed", True)
    said = main("resume", run, "--base", base)
    assert said.status == 2
    assert _steps(run) == [1]

    out = tmp_path / "out"
    inside = Path("characters", "ines", "runs", "001")
    said = main("resume", inside, "--data", moved, "--base", kept, "--out", out)
    assert said.status == 0, said.err
    assert "Continuing after step 1." in said.out
    assert _steps(run) == [1, 2]
    assert [path.name for path in sorted(out.iterdir())] == ["ines.json", "ines.safetensors"]
    assert Path(load_run(run).file.base.path) == kept
    assert Path(load_run(run).file.out) == out


# -- a job that ended after its training


@pytest.fixture
def no_training(monkeypatch):
    """Whoever trains in this test fails it."""

    def train(run, emit):
        raise AssertionError("this run was trained before")

    monkeypatch.setattr(main_job, "train", train)


@pytest.fixture
def unpainted(copied, no_training):
    """The finished job as it was before its grid."""
    shutil.rmtree(copied.run / "grids")
    return copied


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "Out of memory while painting"),
        (UserError("There is no sampler 'X'.", code="some-fault"), "There is no sampler 'X'."),
    ],
)
def test_a_grid_that_fails_loses_nothing(unpainted, main, fake_painter, monkeypatch, error, said):
    """The LoRA is there, the events say why; `resume` paints what is missing, and trains nothing."""

    def failing(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("lib_lora.workflows.judge.grid_run.DiffusersPainter", failing)
        failed = main("resume", unpainted.run, "--out", unpainted.out)
    lora = unpainted.out / f"{DELIVERED}.safetensors"
    assert failed.status == 2
    assert failed.err.startswith(f"sameface: {said}")
    assert failed.err.endswith(f" The LoRA is finished: {lora}\n")
    assert failed.err.count("\n") == 1
    assert lora.read_bytes() == unpainted.lora.read_bytes()
    assert not lora.with_suffix(".png").exists()
    errors = [event["text"] for event in read_events(unpainted.run / "events.jsonl") if event["kind"] == "error"]
    assert len(errors) == 1
    assert errors[0].startswith(said)

    done = main("resume", unpainted.run)
    assert done.status == 0, done.err
    assert f"LoRA: {lora}\n" in done.out
    assert lora.with_suffix(".png").is_file()
    assert _states(unpainted.run)[-1] == "finished"
    assert [path.parent.name for path in unpainted.run.glob("grids/*/report.json")] == ["001"]  # where it was left off


def test_ctrl_c_while_painting_says_how_to_go_on(unpainted, main, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lib_lora.workflows.judge.grid_run.DiffusersPainter", interrupted)
    said = main("resume", unpainted.run, "--out", unpainted.out)
    assert said.status == STOPPED
    assert said.err == f"Stopped; what was done is kept. Continue with: sameface resume '{unpainted.run}'\n"
    assert _states(unpainted.run)[-1] == "stopped"
    assert (unpainted.out / f"{DELIVERED}.safetensors").is_file()


def test_a_finished_run_is_not_done_again(copied, main, no_training, monkeypatch):
    """Moved, with a new --out: all that is left to do is to deliver."""
    monkeypatch.setattr("lib_lora.workflows.judge.grid_run.DiffusersPainter", None)  # must not be called
    before = {path: path.read_bytes() for path in copied.run.rglob("*.png")}
    said = main("resume", copied.run, "--out", copied.out)
    assert said.status == 0, said.err
    names = [f"{DELIVERED}{end}" for end in (".json", ".png", ".safetensors")]
    assert sorted(path.name for path in copied.out.iterdir()) == names
    for name in names:
        assert (copied.out / name).read_bytes() == (copied.lora.parent / name).read_bytes()
    text = said.out[said.out.index("NO VERDICT") : said.out.index("The whole report:")]
    assert text in copied.said.out
    assert {path: path.read_bytes() for path in copied.run.rglob("*.png")} == before


def test_json_is_all_that_stands_on_standard_output(copied, main, no_training, monkeypatch):
    """What is said on the way goes to standard error; and a run is named by its character."""
    monkeypatch.setattr("lib_lora.workflows.judge.grid_run.DiffusersPainter", None)  # must not be called
    said = main("resume", f"{NAME}/001", "--out", copied.out, "--data", copied.root, "--json")
    assert said.status == 0, said.err
    values = json.loads(said.out)
    assert (values["character"], values["run"], values["step"]) == (NAME, "001", 3)
    assert values["folder"] == str(copied.run)
    assert values["lora"] == str(copied.run / "checkpoints" / f"{STEM}.safetensors")
    assert values["delivered"] == str(copied.out / f"{DELIVERED}.safetensors")
    assert values["test"]["judged"] is False
    assert "To continue after a stop: sameface resume" in said.err


def test_an_out_that_vanished_costs_nothing(unpainted, main, fake_painter):
    """Between training and delivery a file took the place of --out."""
    blocked = unpainted.root / "blocked"
    file = yaml.safe_load((unpainted.run / "run.yaml").read_text(encoding="utf-8"))
    (unpainted.run / "run.yaml").write_text(yaml.safe_dump({**file, "out": str(blocked / "Lora")}), encoding="utf-8")
    blocked.write_text("a file", encoding="utf-8")
    said = main("resume", unpainted.run)
    lora = unpainted.run / "checkpoints" / f"{STEM}.safetensors"
    assert said.status == 2
    assert said.err.startswith(f"sameface: Cannot write {blocked / 'Lora'}: ")
    advice = f"to put it elsewhere: sameface resume '{unpainted.run}' --out FOLDER"
    assert f"The LoRA is finished: {lora}; {advice}" in said.err
    assert main("resume", unpainted.run, "--out", unpainted.out).status == 0
    assert (unpainted.out / f"{DELIVERED}.safetensors").is_file()


def test_two_processes_do_not_share_a_run(copied, main, no_training):
    from lib_lora.runs.run_lock import only_process

    with only_process(copied.run):
        said = main("resume", copied.run)
    assert (said.status, said.code, str(copied.run) in said.err) == (2, "folder-locked", True)
    assert main("resume", copied.run, "--out", copied.out).status == 0


def test_the_training_has_left_the_memory_before_painting(
    toy, main, quick, some_photos, tmp_path, monkeypatch, fake_painter
):
    """A GPU that trains SDXL has no room for a second model."""

    def models() -> int:
        return sum(type(thing) is UNet2DConditionModel for thing in gc.get_objects())

    seen = []

    class Counting(fake_painter):
        def __init__(self, *arguments):
            seen.append(models())
            super().__init__(*arguments)

    monkeypatch.setattr("lib_lora.workflows.judge.grid_run.DiffusersPainter", Counting)
    gc.collect()
    before = models()
    said = main("run", some_photos("viktor", 2), "--base", toy("sd1"), "--name", "viktor", "--trigger", "vktx",
                "--class", "man", "--consent", "consented", "--steps", "1", "--grid-steps", "1",
                "--out", tmp_path / "out", "--data", tmp_path / "data", *quick)  # fmt: skip
    assert said.status == 0, said.err
    assert seen == [before]


def test_where_no_run_can_be_made_the_reason_is_raised():
    def make():
        raise UserError("There is no photo.", code="some-fault")

    with raises("some-fault", has="There is no photo"):
        main_job.by_main_process(make)


@pytest.mark.parametrize(
    ("platform", "said"),
    [
        ("linux", "sameface resume '/data/it'\"'\"'s $5 & more'"),
        ("win32", 'sameface resume "/data/it\'s $5 & more"'),
    ],
)
def test_the_resume_command_can_be_pasted(platform, said, monkeypatch):
    monkeypatch.setattr(errors.sys, "platform", platform)
    run = type("Run", (), {"folder": "/data/it's $5 & more"})()
    assert main_job.resume_command(run) == said
