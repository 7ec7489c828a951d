"""Another LoRA beside the character's: painted at growing weights, measured in pairs, judged, kept."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import pytest
from faults import raises
from PIL import Image

from lib_lora.files import read_json
from lib_lora.grid.prompts import PROMPTS
from lib_lora.likeness.comparing.combined_page import PAGE_FILE
from lib_lora.likeness.comparing.combined_report import as_text
from lib_lora.training.plan.run_file import Run
from lib_lora.workflows.combine.combine import CombineRequest, combine
from lib_lora.workflows.judge import grid_run
from lib_lora.workflows.judge.grid_run import GridRequest
from lib_lora.workflows.judge.test_grid import find_run, paint_and_score
from lib_lora.workspace.grid_files import COMBINED_FILE

pytestmark = pytest.mark.once("which pictures are painted and compared is ours; what measures is repeated in likeness")

PERSONAS = Path(__file__).parents[2] / "data" / "personas"
SHOWN = range(12, 20)  # of mara's pictures; none of them is among the photos
OTHERS = ("clara", "lena", "viktor", "tomas")


def _silent(kind, **fields):
    pass


@cache
def picture_of(persona: str, number: int) -> Image.Image:
    with Image.open(PERSONAS / persona / f"{number:02d}.jpg") as photo:
        return photo.convert("RGB").resize((160, 160))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No page of a test grid is made, and no sheet."""
    monkeypatch.setattr("lib_lora.likeness.report.report_html.render", lambda report, picture, photos: "")
    monkeypatch.setattr("lib_lora.workflows.judge.grid_report.sheet_of", lambda report, picture: Image.new("L", (8, 8)))


@pytest.fixture
def run(judgeable) -> Run:
    return judgeable


@pytest.fixture
def ink(run, tmp_path) -> Path:
    """A LoRA for the run's base model."""
    return shutil.copy(run.checkpoint(2), tmp_path / "ink ü.safetensors")


@pytest.fixture
def paint(monkeypatch, fake_painter):
    """paint(until, alone): shows the character up to a weight of the other LoRA, strangers above it, and without the
    other one where `alone` says so. Returns the further LoRAs and the seed of each picture that was painted."""

    def use(until: float, alone: bool = True) -> list[tuple[tuple, int]]:
        painted = []

        class Painter(fake_painter):
            def picture(self, cell):
                weight = cell.more[0][1] if cell.more else 0.0
                painted.append((tuple((path.name, one) for path, one in cell.more), cell.seed))
                if cell.lora is not None and "mrxa" in cell.prompt and weight <= until and alone:
                    return picture_of("mara", SHOWN[cell.seed % len(SHOWN)])
                return picture_of(OTHERS[cell.seed % len(OTHERS)], cell.seed % 2)

        monkeypatch.setattr(grid_run, "DiffusersPainter", Painter)
        return painted

    return use


def done(run, eye, ink, emit=_silent, **asked):
    request = CombineRequest(ink, 3, **{"weights": (1.0, 0.25, 0.5), "count": 18, "grid_steps": 1, **asked})
    return combine(run, emit, request, engine=eye)


def test_the_weight_is_found_up_to_which_the_face_survives(run, eye, ink, paint):
    painted = paint(until=0.5)
    found = done(run, eye, ink)
    verdict = found.report.verdict
    assert (verdict.kind, verdict.weight, verdict.action, verdict.value) == ("survives up to", 0.5, "use_weight", 0.5)
    assert [(one.weight, one.kind) for one in found.report.points] == [
        (0.0, "alone"), (0.25, "survives"), (0.5, "survives"), (1.0, "lost"),
    ]  # fmt: skip
    # the test of the LoRA alone, then each weight on the same prompts and seeds; those without it are there by then
    beside = [(more, seed) for more, seed in painted if more]
    assert beside == [(((ink.name, weight),), seed) for weight in (0.25, 0.5, 1.0) for seed in range(1000, 1018)]
    assert len(painted) - len(beside) == 2 * len(PROMPTS) + 4
    # it is kept, with its page, and said
    kept = read_json(found.folder / COMBINED_FILE)
    assert (kept["lora"], kept["step"], kept["weight"], kept["grid"]) == (ink.name, 3, 1.0, "002")
    assert len(kept["pictures"]) == 72
    assert all((found.folder / one["path"]).is_file() for one in kept["pictures"])
    page = (found.folder / PAGE_FILE).read_text(encoding="utf-8")
    assert verdict.headline in page
    assert page.count("data:image/jpeg") == 72
    text = as_text(found.report)
    assert verdict.headline in text
    assert text.count("\n") == 8
    # nothing names a folder: a run that is moved knows its pictures
    assert str(ink.parent) not in (found.folder / "plan.json").read_text(encoding="utf-8")


def test_nothing_is_painted_twice_unless_the_file_is_another(run, eye, ink, paint):
    painted = paint(until=1.0)
    first = done(run, eye, ink, weights=(0.5, 1.0))
    assert first.report.verdict.kind == "survives"
    painted.clear()
    assert done(run, eye, ink, weights=(0.5, 1.0)).folder == first.folder
    assert painted == []
    more = done(run, eye, ink, weights=(0.5, 0.75))
    assert more.folder != first.folder
    assert {one for one, _ in painted} == {((ink.name, 0.75),)}
    painted.clear()
    shutil.copy(run.checkpoint(3), ink)  # another LoRA under the same name
    done(run, eye, ink, weights=(0.5,))
    assert [one for one, _ in painted] == [((ink.name, 0.5),)] * 18


def test_without_a_face_that_holds_nothing_is_painted_with_the_other(run, eye, ink, paint):
    painted = paint(until=1.0, alone=False)
    found = done(run, eye, ink)
    assert (found.report.verdict.kind, found.report.points) == ("does not hold alone", [])
    assert not any(more for more, _ in painted)
    assert found.report.verdict.headline in (found.folder / PAGE_FILE).read_text(encoding="utf-8")


def test_progress_is_counted_over_both(run, eye, ink, paint):
    paint(until=1.0)
    said = []
    done(run, eye, ink, lambda kind, **fields: said.append((kind, fields)))
    counts = [(fields["done"], fields["total"]) for kind, fields in said if kind == "painting"]
    assert counts[-1] == (98, 98)  # 44 of the test, 18 at each of three weights
    assert counts == sorted(counts, key=lambda one: one[0])


@pytest.mark.parametrize("weights", [(), (0.0, 1.0), (-1.0,), (float("nan"),), (11.0,)])
def test_weights_that_are_none_are_refused(ink, weights):
    with raises("combined-weights-wrong"):
        CombineRequest(ink, 3, weights=weights)


def test_a_wrong_file_is_said_before_anything_is_painted(run, eye, ink, paint):
    painted = paint(until=1.0)
    ink.write_bytes(ink.read_bytes()[:-7])
    with raises("safetensors-truncated", has=ink.name):
        done(run, eye, ink)
    ink.unlink()
    with raises("file-missing"):
        done(run, eye, ink)
    assert painted == []
    assert not run.combined.exists()


def test_a_lora_that_is_marked_as_showing_a_child_is_not_painted_with(run, eye, ink, paint):
    from lib_lora.workflows.judge.grid_run import GridRequest, GridRun

    painted = paint(until=1.0)
    ink.with_suffix(".json").write_text('{"sameface": {"civitai": {"minor": true}}}')
    with raises("model-shows-child", has=ink.name):
        done(run, eye, ink)
    with raises("model-shows-child", has=ink.name):
        GridRun(run, _silent).plan(GridRequest(3, more=((ink, 0.5),)))
    assert painted == []


def test_a_test_with_another_lora_says_nothing_of_the_run_alone(run, eye, ink, paint):
    from lib_lora.runs.records import run_records
    from lib_lora.workflows.judge.grid_report import tested

    paint(until=0.5)
    alone = paint_and_score(run, GridRequest(3, steps=5, count=7), _silent, False, engine=eye)
    beside = paint_and_score(run, GridRequest(3, steps=5, count=7, more=((ink, 1.0),)), _silent, False, engine=eye)
    assert [(one.file, one.weight) for one in beside.report.subject.more] == [(ink.name, 1.0)]
    assert beside.report.verdict.drift
    assert beside.report.facts.training.step is None
    assert (beside.report.verdict.action, beside.report.verdict.value) == ("none", None)
    assert "ink ü (now 1)" in beside.report.verdict.advice
    assert (beside.report.tested, [one.step for one in alone.report.tested]) == ([], [3])
    records = run_records.grids(run.folder)
    assert [(one.step, one.more) for one in records[:2]] == [(3, ("ink ü:1",)), (3, ())]
    assert run_records.best([(run_records.run(run.folder), records[:2])]) is records[1]
    assert [one.retention for one in tested(run, alone.report.ruler)] == [alone.report.facts.identity.retention]
    # the same again is the same grid, and one with another weight is not
    again = paint_and_score(run, GridRequest(3, steps=5, count=7, more=((ink, 1.0),)), _silent, False, engine=eye)
    assert again.folder == beside.folder
    plan = json.loads((beside.folder / "plan.json").read_text(encoding="utf-8"))
    [[name, weight, digest]] = plan["lora"][0]["more"]
    assert (name, weight, len(digest)) == (ink.name, 1.0, 64)
    assert "more" not in plan["base"][0]
    assert find_run(run.workspace.root, run.file.character.name, None, None)[1] == 3
