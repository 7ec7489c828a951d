"""What a grid consists of, how it is written down, and that nothing is painted twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from faults import raises
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.grid.prompts import PROMPTS
from lib_lora.pictures import save_picture
from lib_lora.training.plan.run_file import Run, load_run
from lib_lora.workflows.judge import grid_run
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun, new_folder, painted, unfinished

pytestmark = pytest.mark.once(
    "which pictures a grid has and keeps is ours; test_picture_origin.py repeats how they are written"
)


def _silent(kind, **fields):
    pass


@pytest.fixture
def run(copied) -> Run:
    return load_run(copied.run)


@pytest.fixture
def room(run, fake_painter) -> GridRun:
    return GridRun(run, _silent)


def test_a_plan_is_the_prompts_with_and_without_the_lora_and_a_few_without_the_trigger(run, room):
    plan = room.plan(GridRequest(2, 0.8, 7))
    assert [len(part) for part in (plan["lora"], plan["base"], plan["leak"])] == [len(PROMPTS), len(PROMPTS), 4]
    assert [cell.seed for cell in plan["lora"]] == [cell.seed for cell in plan["base"]] == list(range(1000, 1020))
    assert {(cell.lora, cell.weight, cell.steps) for cell in plan["lora"] + plan["leak"]} == {
        (run.checkpoint(2), 0.8, 7)
    }
    assert {(cell.lora, cell.weight) for cell in plan["base"]} == {(None, 1.0)}
    assert all("mrxa" in cell.prompt for cell in plan["lora"])
    assert not any("mrxa" in cell.prompt for cell in [*plan["base"], *plan["leak"]])
    names = [name for name, _ in plan.items()]
    assert names[0] == "01-base.png"
    assert [name.split("-")[1] for name in names] == ["base.png"] * 20 + ["leak.png"] * 4 + ["lora.png"] * 20
    assert len(set(names)) == 44


def test_a_plan_of_another_size_sampler_and_guidance(room):
    plan = room.plan(GridRequest(2, 1.0, 7, sampler="Euler a", cfg=5.5, side=192))
    cells = plan["lora"] + [*plan["base"], *plan["leak"]]
    assert {(cell.width, cell.height, cell.sampler, cell.cfg) for cell in cells} == {(192, 192, "Euler a", 5.5)}


@pytest.mark.parametrize(("count", "leaks"), [(1, 1), (3, 3), (8, 4), (25, 4)])
def test_fewer_and_more_prompts(room, count, leaks):
    plan = room.plan(GridRequest(2, 1.0, 1, count, 4_294_967_290))
    assert (len(plan["lora"]), len(plan["base"]), len(plan["leak"])) == (count, count, leaks)
    assert len({(cell.prompt, cell.seed) for cell in plan["lora"]}) == count
    assert all(0 <= cell.seed < 2**32 for cell in plan["lora"])


def test_a_plan_knows_its_pictures_and_names_no_folder(run, room):
    plan = room.plan(GridRequest(3, 0.8, 1, 5))
    folder = room.paint(plan)
    assert all(path.is_file() for paths in plan.files(folder).values() for path in paths)
    written = (folder / "plan.json").read_text(encoding="utf-8")
    assert str(run.folder) not in written  # a run that is moved or given away knows its grids
    assert run.checkpoint(3).name in written


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"lora": [], "base": []}',
                                  '{"lora": [], "base": [], "leak": 1}',
                                  '{"lora": [3], "base": [], "leak": []}', '{"lora": [{}], "base": [], "leak": []}',
                                  '{"lora": [{"prompt": "a", "negative": "", "seed": "x"}], "base": [], "leak": []}',
                                  '{"lora": [], "base": [], "leak": [], "more": []}'])  # fmt: skip
def test_a_grid_with_a_damaged_plan_is_none_of_it(run, room, text):
    plan = room.plan(GridRequest(3, 1.0, 1, 5))
    folder = room.paint(plan)
    (folder / "plan.json").write_text(text, encoding="utf-8")
    assert list(painted(run, plan)) == []
    assert room.paint(plan) != folder


def test_the_newest_grid_of_a_plan_comes_first_and_the_unfinished_one_goes_on(run, room):
    plan = room.plan(GridRequest(3, 1.0, 1, 5))
    first = room.paint(plan)
    assert room.paint(plan) == first
    second = room.paint(plan, again=True)
    shutil.move(second, run.grids / "1000")
    assert [folder.name for folder in painted(run, plan)] == ["1000", first.name]
    assert unfinished(run, plan) is None
    (first / "cells" / "02-lora.png").unlink()
    assert unfinished(run, plan) == first
    assert room.paint(plan) == first
    assert (first / "cells" / "02-lora.png").is_file()
    for asked in ((3, 0.9, 1, 5), (2, 1.0, 1, 5), (3, 1.0, 2, 5), (3, 1.0, 1, 6), (3, 1.0, 1, 5, 1001)):
        other = room.plan(GridRequest(*asked))
        assert list(painted(run, other)) == []


def test_folders_are_numbered_on_whatever_else_lies_there(run):
    for name in ("007", "notes", "12a", "0"):
        (run.grids / name).mkdir()
    (run.grids / "choice.json").write_text("{}", encoding="utf-8")
    assert new_folder(run).name == "008"
    (run.grids / "999").mkdir()
    assert new_folder(run).name == "1000"
    shutil.rmtree(run.grids)
    assert new_folder(run).name == "001"


def test_what_is_all_there_needs_no_painter(run, fake_painter, monkeypatch):
    heard = []
    GridRun(run, _silent).paint(GridRun(run, _silent).plan(GridRequest(3, 1.0, 1, 5)))
    monkeypatch.setattr(grid_run, "DiffusersPainter", None)  # must not be called
    later = GridRun(run, lambda kind, **fields: heard.append((kind, fields)))
    folder = later.paint(later.plan(GridRequest(3, 1.0, 1, 5)))
    assert heard == [("painting", {"done": 14, "total": 14, "folder": str(folder)})]


def test_a_model_that_cannot_be_loaded_is_said_before_the_first_bar(run, monkeypatch):
    def broken(*arguments):
        raise UserError("no such model", code="some-fault")

    monkeypatch.setattr(grid_run, "DiffusersPainter", broken)
    heard = []
    room = GridRun(run, lambda kind, **fields: heard.append(kind))
    with raises("some-fault", has="no such model"):
        room.paint(room.plan(GridRequest(3, 1.0, 1, 5)))
    assert heard == []


def test_pictures_without_the_lora_serve_every_run_of_the_character(run, fake_painter, monkeypatch):
    GridRun(run, _silent).paint(GridRun(run, _silent).plan(GridRequest(3, 1.0, 1, 5)))
    shutil.copytree(run.folder, run.folder.with_name("002"))
    other = load_run(run.folder.with_name("002"))
    shutil.rmtree(other.grids)
    asked = []

    class Listening(fake_painter):
        def paint(self, cells, each=None):
            asked.extend(cells)
            return super().paint(cells, each)

    monkeypatch.setattr(grid_run, "DiffusersPainter", Listening)
    room = GridRun(other, _silent)
    room.paint(room.plan(GridRequest(3, 0.7, 1, 5)))
    assert len(asked) == 5 + 4
    assert all(cell.lora is not None for cell in asked)
    asked.clear()
    shutil.rmtree(run.character_folder.cache / "base")  # the cache may be deleted at any time
    room.paint(room.plan(GridRequest(3, 0.6, 1, 5)))
    assert [cell.lora is None for cell in asked].count(True) == 5


def test_a_picture_says_how_it_was_painted_and_that_it_was(room, tmp_path):
    plan = room.plan(GridRequest(3, 0.8, 7, 5))
    for name, cell in (("with.png", plan["lora"][1]), ("without.png", plan["base"][1])):
        save_picture(tmp_path / name, Image.new("RGB", (8, 8)), cell)
    with Image.open(tmp_path / "with.png") as picture:
        text = picture.text
    cell = plan["lora"][1]
    assert text["parameters"] == (
        f"{cell.prompt} <lora:{cell.lora.stem}:0.8>\nNegative prompt: {cell.negative}\nSteps: 7, Sampler: Euler, "
        f"CFG scale: 7, Seed: 1001, Size: {cell.width}x{cell.height}"
    )
    assert text["DigitalSourceType"] == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    with Image.open(tmp_path / "without.png") as picture:
        assert "<lora:" not in picture.text["parameters"]
    assert not list(Path(tmp_path).glob("*.tmp"))


def test_plans_are_plain_json(room):
    values = room.plan(GridRequest(3, 0.8, 7, 5)).values()
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_a_damaged_checkpoint_is_not_painted_with(run, room):
    path = run.checkpoint(2)
    path.write_bytes(path.read_bytes()[:-4])
    with raises("checkpoint-damaged"):
        room.paint(room.plan(GridRequest(2, 0.8, 7)))
