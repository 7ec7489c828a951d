"""Plans of any pictures: what is there is not painted again, and a plan is known by what it says."""

from dataclasses import replace

import pytest
from faults import raises
from PIL import Image

from lib_lora.files import read_json
from lib_lora.grid.paint_plan import PaintPlan, missing_of, paint_missing, planned_folders
from lib_lora.pictures import Cell

CELL = Cell("a castle", "", seed=1, width=64, height=64)
PLAN = PaintPlan({"sketch": [CELL, replace(CELL, seed=2)], "poster": [replace(CELL, prompt="a poster")]}, by="me")


class Brush:
    """Paints each cell in a colour of its seed, and remembers which."""

    def __init__(self):
        self.painted = []

    def paint(self, cells, each):
        for number, cell in enumerate(cells):
            self.painted.append(cell)
            each(number, Image.new("RGB", (8, 8), (cell.seed, 0, 0)))


@pytest.fixture
def painter():
    return Brush()


def paint(plan, folder, painter, kept=lambda cell: None):
    said = []
    paint_missing(plan, folder, lambda: painter, kept, lambda kind, **fields: said.append((kind, fields)))
    return [(fields["done"], fields["total"]) for _, fields in said]


def test_roles_are_painted_in_their_order_under_their_names(tmp_path, painter):
    assert paint(PLAN, tmp_path, painter) == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [cell.prompt for cell in painter.painted] == ["a castle", "a castle", "a poster"]
    names = sorted(path.name for path in (tmp_path / "cells").iterdir())
    assert names == ["01-poster.png", "01-sketch.png", "02-sketch.png"]
    assert PLAN.files(tmp_path)["sketch"][1] == tmp_path / "cells" / "02-sketch.png"
    assert PLAN.is_done(tmp_path)


def test_only_what_is_missing_is_painted(tmp_path, painter):
    paint(PLAN, tmp_path, painter)
    (tmp_path / "cells" / "02-sketch.png").unlink()
    painter.painted.clear()
    assert paint(PLAN, tmp_path, painter) == [(2, 3), (3, 3)]
    assert [cell.seed for cell in painter.painted] == [2]


def test_nothing_missing_asks_for_no_painter(tmp_path, painter):
    paint(PLAN, tmp_path, painter)
    paint_missing(PLAN, tmp_path, lambda: pytest.fail("asked for"), lambda cell: None, lambda kind, **fields: None)


def test_kept_pictures_are_copied_and_new_ones_kept(tmp_path, painter):
    def kept(cell):
        return tmp_path / "kept" / f"{cell.seed}.png" if cell.prompt == "a castle" else None

    (tmp_path / "kept").mkdir()
    paint(PLAN, tmp_path / "first", painter, kept)
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["1.png", "2.png"]
    for number in (1, 2):
        there = tmp_path / "first" / "cells" / f"0{number}-sketch.png"
        assert (tmp_path / "kept" / f"{number}.png").read_bytes() == there.read_bytes()
    assert [name for name, _ in missing_of(PLAN, tmp_path / "second", kept)] == ["01-poster.png"]


def test_a_plan_knows_its_folders_by_what_it_says(tmp_path, painter):
    for name in ("2", "10"):
        paint(PLAN, tmp_path / name, painter)
    paint(replace(PLAN, by="another"), tmp_path / "3", painter)
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "plan.json").write_text("[1", encoding="utf-8")
    assert [folder.name for folder in planned_folders(tmp_path, PLAN)] == ["10", "2"]
    assert "strength" not in read_json(tmp_path / "2" / "plan.json")["sketch"][0]


def test_what_a_cell_begins_from_stands_in_the_plan(tmp_path):
    begun = PaintPlan({"pose": [replace(CELL, start=tmp_path / "a.png", strength=0.5)]})
    assert begun.values()["pose"][0]["strength"] == 0.5
    assert begun.values() != PaintPlan({"pose": [CELL]}).values()


def test_a_lora_that_is_gone_is_said_before_anything_is_painted(tmp_path, painter):
    plan = PaintPlan({"poster": [CELL, replace(CELL, lora=tmp_path / "gone.safetensors")]})
    with raises("file-missing", has="gone.safetensors"):
        paint(plan, tmp_path, painter)
    assert painter.painted == []
