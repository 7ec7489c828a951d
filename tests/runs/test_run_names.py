"""A run is named in one way everywhere; and what there is can be listed."""

import json
import re
import shutil
from pathlib import Path

import pytest
from faults import raises
from PIL import Image

from lib_lora.character.store import load
from lib_lora.files import write_json
from lib_lora.models.families.identify import identify
from lib_lora.runs.run_names import checkpoint_named, grid_named, run_named
from lib_lora.training.plan.run_file import IdentifiedBase, TrainingSet, create_run
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workflows.judge.grid_folder import judged_of_grid, notes_of_grids
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train.main_job import result_values

DATA = Path(__file__).parents[1] / "data"
NAME = "Mara Müller 名前"
REPORT = {
    "version": 1,
    "made": "2026-11-27T12:00:00+00:00",
    "verdict": {"kind": "consistent", "headline": "THE FACE HOLDS", "drift": False, "judged": True},
    "facts": {"step": 3, "weight": 1.0, "retention": 0.912},
}


@pytest.fixture
def root(tmp_path):
    """A data folder: one character with three runs, of which the second has checkpoints and a judged grid."""
    root, photos = tmp_path / "data", tmp_path / "photos"
    photos.mkdir()
    shutil.copy(DATA / "personas" / "mara" / "00.jpg", photos)
    folder, _ = new_character(root, NewCharacter(NAME, "mrxa", "woman", "fictional"), photos)
    info = identify(DATA / "mini-face" / "mini-face.safetensors")
    runs = [
        create_run(folder.runs, load(folder), IdentifiedBase(info, "0" * 64), TrainSettings(steps=3), TrainingSet([]))
        for _ in range(3)
    ]
    for step in (2, 3):
        runs[1].checkpoint(step).parent.mkdir(exist_ok=True)
        runs[1].checkpoint(step).touch()
    write_json(runs[1].grids / "001" / "report.json", REPORT)
    write_json(runs[1].grids / "002" / "report.json", {"damaged": True})
    return root


def _folder(root, number):
    return root / "characters" / "mara-müller-名前" / "runs" / number


@pytest.mark.parametrize(
    ("which", "options", "number"),
    [
        (NAME, {}, "003"),
        (NAME, {"trained": True}, "002"),
        (NAME, {"identifier": "1"}, "001"),
        (f"{NAME}/001", {}, "001"),
        (f"{NAME}/1", {"trained": True}, "001"),
        (f"{NAME}\\002", {}, "002"),
        (f"{NAME}/002/", {"identifier": "2"}, "002"),
        ("mara-müller-名前/3", {}, "003"),
        ("characters/mara-müller-名前/runs/001", {}, "001"),
    ],
)
def test_a_run_has_these_names(root, which, options, number):
    assert run_named(root, which, **options).folder == _folder(root, number)


def test_a_run_by_its_folder_from_anywhere(root, monkeypatch, tmp_path):
    assert run_named(root, _folder(root, "001")).folder == _folder(root, "001")
    assert run_named(tmp_path / "elsewhere", str(_folder(root, "002"))).folder == _folder(root, "002")
    monkeypatch.chdir(_folder(root, "003").parent)
    assert run_named(tmp_path / "elsewhere", "003").folder == _folder(root, "003")
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir()  # a folder of photos that is called like the character is no run
    assert run_named(root, NAME).folder == _folder(root, "003")


def test_a_name_with_a_slash_is_no_run_of_another(root):
    """A character's folder is called "ada-001" for "Ada 001" and for "Ada/001"."""
    new_character(root, NewCharacter("Ada 001", "adax", "woman", "fictional"))
    new_character(root, NewCharacter("Ada", "adxx", "woman", "fictional"))
    with raises("run-none-yet", has="Ada/001"):
        run_named(root, "Ada/001")
    info = identify(DATA / "mini-face" / "mini-face.safetensors")
    folder, _ = new_character(root, NewCharacter("Ada", "adxx", "woman", "fictional"))
    create_run(folder.runs, load(folder), IdentifiedBase(info, "0" * 64), TrainSettings(), TrainingSet([]))
    assert run_named(root, "Ada/001").character_folder.path.name == "ada"


@pytest.mark.parametrize(
    ("which", "options", "said"),
    [
        ("nobody", {}, ("character-not-found",)),
        (f"{NAME}/7", {}, ("run-not-found", "7", "001", "002", "003")),
        (NAME, {"identifier": "x"}, ("run-not-found",)),
        (f"{NAME}/1", {"identifier": "2"}, ("run-ambiguous",)),
        ("nobody/001", {}, ("run-name-unknown",)),
        ("/gone/folder", {}, ("run-name-unknown",)),
        ("a\0b/1", {}, ("run-name-unknown",)),
        ("x" * 5000, {}, ("character-not-found",)),
        ("", {}, ("name-unusable",)),
    ],
)
def test_what_names_no_run_is_said(root, which, options, said):
    with raises(said[0], has=said[1:]):
        run_named(root, which, **options)


def test_a_folder_without_a_run_says_so(root, tmp_path):
    with raises("not-a-run-folder", has="run.yaml"):
        run_named(root, tmp_path)


def test_checkpoints_and_grids_are_named_too(root):
    run = run_named(root, f"{NAME}/2")
    assert (checkpoint_named(run, None), checkpoint_named(run, 2)) == (3, 2)
    with raises("checkpoint-not-found", has=("9", "2", "3")):
        checkpoint_named(run, 9)
    assert grid_named(root, Path(f"{NAME}/2")) == run.grids / "002"
    assert grid_named(root, run.folder) == run.grids / "002"
    assert grid_named(root, run.grids / "001") == run.grids / "001"
    assert grid_named(root, Path("gone")) == Path("gone")
    with raises("grid-none-yet"):
        grid_named(root, Path(f"{NAME}/1"))


def test_characters_are_listed_with_what_the_newest_test_said(main, root):
    damaged = root / "characters" / "zoe" / "character.yaml"
    damaged.parent.mkdir()
    damaged.write_text("trigger: [", encoding="utf-8")
    said = main("list", "--data", root)
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0].split("  ")[0] == "character"
    assert re.split(r"  +", lines[1]) == [NAME, "mrxa", "1", "3", "THE FACE HOLDS, 91% of the face"]
    assert "is not valid YAML" in lines[2]
    values = json.loads(main("list", "--json", "--data", root).out)
    mara, zoe = values["characters"]
    assert (mara["name"], mara["photos"], mara["photos_in_use"], mara["runs"]) == (NAME, 1, 1, 3)
    assert (mara["newest"]["run"], mara["newest"]["grid"], mara["newest"]["retention"]) == ("002", "001", 0.912)
    assert (mara["error"], zoe["name"], zoe["photos"]) == (None, "zoe", 0)
    assert "is not valid YAML" in zoe["error"]


def test_runs_are_listed_by_the_names_that_commands_take(main, root):
    _folder(root, "003").joinpath("run.yaml").write_text("[", encoding="utf-8")
    said = main("list", NAME, "--data", root)
    rows = [re.split(r"  +", line) for line in said.out.splitlines()]
    assert rows[0] == ["run", "begun (UTC)", "base", "preset", "steps", "newest test"]
    assert [row[0] for row in rows[1:]] == [f"{NAME}/00{number}" for number in (1, 2, 3)]
    assert rows[1][-2:] == ["0 of 3", "none yet"]
    assert rows[2][-2:] == ["3 of 3", "THE FACE HOLDS, 91% of the face"]
    assert "is not valid YAML" in said.out.splitlines()[3]
    first, second, third = json.loads(main("list", NAME, "--json", "--data", root).out)["runs"]
    assert (first["lora"], second["steps"], second["total"]) == (None, 3, 3)
    assert second["lora"] == str(_folder(root, "002") / "checkpoints" / "mara-müller-名前-002-000003.safetensors")
    assert run_named(root, second["name"]).folder == Path(second["folder"])
    assert third["error"]


def test_nothing_is_listed_where_nothing_is(main, tmp_path):
    said = main("list", "--data", tmp_path / "none")
    assert (said.status, said.out.startswith("There is no character in ")) == (0, True)
    assert json.loads(main("list", "--json", "--data", tmp_path).out)["characters"] == []
    new_character(tmp_path, NewCharacter("Ada", "adax", "woman", "fictional"))
    assert "Ada has no run yet; make one with: sameface train Ada" in main("list", "Ada", "--data", tmp_path).out


def test_what_came_of_a_training_is_reported(root):
    values = result_values(run_named(root, f"{NAME}/2"), Path("/out/x.safetensors"))
    assert (values["character"], values["run"], values["step"]) == (NAME, "002", 3)
    assert (Path(values["lora"]).name, values["delivered"]) == (
        "mara-müller-名前-002-000003.safetensors",
        str(Path("/out/x.safetensors")),
    )
    assert (values["test"]["verdict"], values["test"]["drift"]) == ("consistent", False)
    assert result_values(run_named(root, f"{NAME}/1"))["lora"] is None


# -- a test grid where pictures were asked for


@pytest.fixture
def grid(tmp_path):
    """A grid's folder as it is painted: three pictures with the LoRA, three without, one without the trigger."""
    folder = tmp_path / "grids" / "001"
    (folder / "cells").mkdir(parents=True)
    write_json(folder / "plan.json", {"lora": [{}] * 3, "base": [{}] * 3, "leak": [{}]})
    names = [f"{number:02d}-{role}.png" for role, count in (("lora", 3), ("base", 3), ("leak", 1))
             for number in range(1, count + 1)]  # fmt: skip
    for name in names:
        shutil.copy(DATA / "personas" / "mara" / "00.jpg", folder / "cells" / name)
    Image.new("RGB", (64, 64)).save(folder / "sheet.png")
    return folder


def test_of_a_grid_only_what_the_lora_painted_is_judged(grid):
    ours = [grid / "cells" / f"0{number}-lora.png" for number in (1, 2, 3)]
    assert judged_of_grid(grid) == judged_of_grid(grid / "cells") == ours
    assert notes_of_grids([grid, grid.parent]) == [
        f"{grid} is a test grid: its 3 pictures with the LoRA are judged; the 4 without the LoRA or the trigger word "
        "are left out."
    ]
    write_json(grid / "report.json", {"verdict": {"headline": "The face holds"}})
    [_, own] = notes_of_grids([grid / "cells"])
    assert own.startswith("The grid's own report says: The face holds.")  # its ruler is another one than `score`'s
    for path in ours:
        path.unlink()
    with raises("grid-incomplete"):
        judged_of_grid(grid)


@pytest.mark.parametrize("plan", [None, "[]", "{", '{"lora": 3}'])
def test_another_folder_is_no_grid(grid, plan):
    (grid / "plan.json").unlink()
    if plan is not None:
        (grid / "plan.json").write_text(plan, encoding="utf-8")
    assert judged_of_grid(grid) is None
    assert notes_of_grids([grid]) == []


def test_score_knows_its_own_grids(main, root, grid):
    said = main("score", NAME, grid, grid / "cells" / "01-base.png", "--json", "--data", root)
    values = json.loads(said.out)
    judged = [Path(row["path"]).name for row in values["pictures"]]
    assert judged == ["01-lora.png", "02-lora.png", "03-lora.png", "01-base.png"]  # what is named by itself is judged
    assert values["notes"][:-1] == notes_of_grids([grid])
    assert values["notes"][-1] == "No picture says that it was painted; they are judged as photos."
    plain = main("score", NAME, grid / "cells", "--data", root)
    assert plain.out.splitlines()[0] == notes_of_grids([grid / "cells"])[0]


def test_score_takes_the_name_of_a_run(main, root, grid):
    run = run_named(root, f"{NAME}/2")
    shutil.copytree(grid, run.grids / "003")
    write_json(run.grids / "003" / "report.json", REPORT)
    values = json.loads(main("score", NAME, f"{NAME}/2", "--json", "--data", root).out)
    assert {Path(row["path"]).parent for row in values["pictures"]} == {run.grids / "003" / "cells"}
    assert len(values["pictures"]) == 3
