"""The test grid after training, and its scores."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults import raises
from PIL import Image

from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.likeness.verdict.facts import Facts
from lib_lora.likeness.verdict.verdict import judge
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import load_run, saved_steps
from lib_lora.workflows.judge import grid_report, grid_run
from lib_lora.workflows.judge.grid_report import read_report
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
from lib_lora.workflows.judge.test_grid import find_run, finished_grid, paint_and_score
from lib_lora.workflows.photos import character_template

pytestmark = pytest.mark.once(
    "what is kept and told of a grid; painting and measuring are repeated where they are done"
)

PERSONAS = Path(__file__).parents[2] / "data" / "personas"


CELLS = 20 + 20 + 4


def _silent(kind, **fields):
    pass


def _json(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def run(copied):
    return load_run(copied.run)


# -- which checkpoint


def test_the_newest_run_with_a_checkpoint_is_found(copied):
    root, name = copied.root, "Mara Müller 名前"
    shutil.copytree(copied.run, copied.run.with_name("009"))
    for later in ("010", "1000"):
        shutil.copytree(copied.run, copied.run.with_name(later), ignore=shutil.ignore_patterns("checkpoints"))
    (copied.run.parent / "1001").mkdir()  # a run that was being made when the machine went down
    run, step = find_run(root, name, None, None)
    assert (run.folder.name, step) == ("009", 3)
    assert find_run(root, name, "001", 2)[0].folder == copied.run
    assert find_run(root, name, "1", None) == (load_run(copied.run), 3)
    with raises("checkpoint-none-yet", has="1000"):
        find_run(root, name, "1000", None)
    with raises("run-not-found", has=("7", "001", "009", "010", "1000")):
        find_run(root, name, "7", None)


@pytest.mark.parametrize("step", [0, 1, 4, -3])
def test_a_step_that_was_not_saved_is_named(copied, step):
    with raises("checkpoint-not-found", has=(step, "2", "3")):
        find_run(copied.root, "Mara Müller 名前", None, step)


def test_a_character_without_runs_or_without_a_folder_for_them(copied):
    shutil.rmtree(copied.run)
    with raises("run-none-yet"):
        find_run(copied.root, "Mara Müller 名前", None, None)
    shutil.rmtree(copied.run.parent)
    with raises("run-none-yet"):
        find_run(copied.root, "Mara Müller 名前", None, None)
    with raises("character-not-found"):
        find_run(copied.root, "nobody", None, None)


def test_foreign_files_are_no_checkpoints(run):
    lora = run.checkpoint(3)
    for name in ("other-000009.safetensors", f"{run.file.stem}-9.safetensors", f"{run.file.stem}-best.safetensors"):
        shutil.copy(lora, lora.with_name(name))
    lora.with_name(f"{run.file.stem}-000008.safetensors.123.tmp").write_bytes(b"half")
    assert saved_steps(run) == [2, 3]
    shutil.copy(lora, run.checkpoint(1_000_000))
    assert saved_steps(run) == [2, 3, 1_000_000]


# -- painting and judging


def test_a_grid_of_another_checkpoint_and_weight(run, fake_painter):
    """Cell 3 shows the character: it is measured, becomes the preview, and the events say so."""
    heard = []
    done = paint_and_score(run, GridRequest(2, 0.5, 7), lambda kind, **fields: heard.append((kind, fields)))
    assert done.folder == run.grids / "002"
    assert done.preview == run.grids / "002" / "cells" / "03-lora.png"
    plan = _json(done.folder / "plan.json")
    assert [len(plan[role]) for role in ("lora", "base", "leak")] == [20, 20, 4]
    for role, lora, weight in (
        ("lora", run.checkpoint(2).name, 0.5),
        ("base", None, 1.0),
        ("leak", run.checkpoint(2).name, 0.5),
    ):
        assert {(cell["lora"], cell["weight"], cell["steps"]) for cell in plan[role]} == {(lora, weight, 7)}
    with Image.open(done.preview) as picture:
        assert f" <lora:{run.file.stem}-000002:0.5>\n" in picture.text["parameters"]
        assert picture.text["DigitalSourceType"].endswith("trainedAlgorithmicMedia")
    values = _json(done.folder / "report.json")
    rows = [row for row in values["pictures"] if row["role"] == "lora"]
    assert [row["score"]["likeness"] is None for row in rows] == [n != 2 for n in range(20)]
    likeness = rows[2]["score"]["likeness"]
    assert 0.7 < likeness < 1
    assert values["facts"]["counted"] == 1
    assert values["facts"]["likeness"] == pytest.approx(likeness)
    assert values["facts"]["retention"] is None
    assert values["verdict"]["kind"] == "not measurable"
    assert values["verdict"]["because"].startswith("Only 4 photos show a face")
    assert f"{likeness:.2f}" in done.text
    assert [fields["done"] for kind, fields in heard if kind == "painting"] == list(range(CELLS + 1))
    assert heard[-1][0] == "grid"
    assert heard[-1][1]["likeness"] == pytest.approx(likeness)
    assert (heard[-1][1]["retention"], heard[-1][1]["verdict"]) == (None, "not measurable")


def test_a_report_holds_no_embedding_and_opens_offline(run, fake_painter):
    done = paint_and_score(run, GridRequest(3, 1.0, 1), _silent)
    written = (done.folder / "report.json").read_text(encoding="utf-8")
    template = _json(character_template.template_path(run.character_folder, SFaceEngine()))
    for reference in template["references"]:
        assert reference["embedding"][:40] not in written
        assert reference["crop"][:80] not in written
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") >= CELLS
    assert template["vector"][:40] not in page
    with Image.open(done.folder / "sheet.png") as sheet:
        assert sheet.width > 5 * 128


def test_the_most_alike_picture_that_counts_is_the_preview(run, fake_painter, monkeypatch):
    """A face of 35 pixels looks most like the character, and means least."""

    class Several(fake_painter):
        def picture(self, cell):
            if cell.lora is None or cell.name not in ("street, smiling", "three-quarter view", "beach"):
                return Image.new("RGB", (128, 128), "grey")
            if cell.name == "street, smiling":
                picture = Image.new("RGB", (128, 128), "grey")
                picture.paste(self.photo("mara").resize((44, 44)), (32, 32))
                return picture
            return self.photo("viktor" if cell.name == "beach" else "ines")

    monkeypatch.setattr(grid_run, "DiffusersPainter", Several)
    done = paint_and_score(run, GridRequest(3, 1.0, 1), _silent)
    scores = {row.path: row.score for row in done.report.of("lora")}
    small, one, other = (scores[f"cells/{n:02d}-lora.png"] for n in (2, 5, 6))
    assert small.reason.startswith("the face is only ")
    assert small.likeness > max(one.likeness, other.likeness) + 0.1
    best = "05" if one.likeness > other.likeness else "06"
    assert done.preview.name == f"{best}-lora.png"


def test_photos_without_a_face_do_not_cost_the_pictures(run, fake_painter):
    """A drawn character, say: the grid is there to be looked at, and the report says why it has no numbers."""
    for path in run.character_folder.photos.glob("*.jpg"):
        Image.new("RGB", (64, 64), "grey").save(path)
    done = paint_and_score(run, GridRequest(3, 1.0, 1), _silent)
    assert done.report.verdict.kind == "not measurable"
    assert done.report.verdict.because.startswith("No face can be measured in any of the 4 photos")
    assert done.preview.name == "01-lora.png"
    assert len(list((done.folder / "cells").iterdir())) == CELLS
    assert {row.status for row in done.report.pictures} == {"unjudged"}
    assert read_report(done.folder) == done


def test_a_grid_that_is_there_is_painted_again_only_if_asked(run, fake_painter, monkeypatch):
    first = paint_and_score(run, GridRequest(3, 1.0, 5), _silent)
    assert paint_and_score(run, GridRequest(3, 1.0, 5), _silent, again=True).folder.name == "003"
    monkeypatch.setattr(grid_run, "DiffusersPainter", None)  # must not be called
    known = paint_and_score(run, GridRequest(3, 1.0, 5), _silent, again=False)
    assert known.folder.name == "003"
    assert known.report.facts == first.report.facts
    with pytest.raises(TypeError):
        paint_and_score(run, GridRequest(3, 1.0, 6), _silent, again=False)


def test_pictures_without_the_lora_are_painted_once_for_all_checkpoints(run, fake_painter, monkeypatch):
    asked = []

    class Listening(fake_painter):
        def paint(self, cells, each=None):
            asked.append([cell.lora for cell in cells])
            return super().paint(cells, each)

    monkeypatch.setattr(grid_run, "DiffusersPainter", Listening)
    paint_and_score(run, GridRequest(2, 1.0, 5), _silent)
    done = paint_and_score(run, GridRequest(3, 0.8, 5), _silent)
    assert [cells.count(None) for cells in asked] == [20, 0]
    assert len(done.report.of("base")) == 20
    paint_and_score(run, GridRequest(3, 0.8, 6), _silent)
    assert asked[2].count(None) == 20


def test_a_stopped_painting_goes_on_where_it_was(run, fake_painter, monkeypatch):
    class Stopped(fake_painter):
        def paint(self, cells, each=None):
            def until(number, picture):
                if number == 30:
                    raise KeyboardInterrupt
                each(number, picture)

            return super().paint(cells, until)

    monkeypatch.setattr(grid_run, "DiffusersPainter", Stopped)
    with pytest.raises(KeyboardInterrupt):
        paint_and_score(run, GridRequest(3, 1.0, 5), _silent)
    assert len(list((run.grids / "002" / "cells").iterdir())) == 30
    monkeypatch.setattr(grid_run, "DiffusersPainter", fake_painter)
    heard = []
    done = paint_and_score(run, GridRequest(3, 1.0, 5), lambda kind, **fields: heard.append((kind, fields)))
    assert done.folder.name == "002"
    assert [fields["done"] for kind, fields in heard if kind == "painting"] == list(range(30, CELLS + 1))


def test_an_older_grid_of_the_run_tells_the_trend(run, fake_painter, monkeypatch):
    """Two checkpoints on the same pictures: the second report knows the first."""
    for number in range(4, 8):
        shutil.copy(PERSONAS / "mara" / f"{number:02d}.jpg", run.character_folder.photos / f"more {number}.jpg")

    class Everywhere(fake_painter):
        def picture(self, cell):
            if cell.lora is None:
                return Image.open(PERSONAS / "viktor" / f"{cell.seed % 8:02d}.jpg").convert("RGB")
            return Image.open(PERSONAS / "mara" / f"{cell.seed % 8:02d}.jpg").convert("RGB")

    monkeypatch.setattr(grid_run, "DiffusersPainter", Everywhere)
    first = paint_and_score(run, GridRequest(2, 1.0, 1, count=8), _silent)
    second = paint_and_score(run, GridRequest(3, 1.0, 1, count=8), _silent)
    assert first.report.facts.identity.retention == pytest.approx(1, abs=0.2)
    assert [(one.step, one.weight) for one in second.report.tested] == [(2, 1.0), (3, 1.0)]
    assert second.report.facts.training.fallen == pytest.approx(0, abs=1e-6)
    assert (second.report.facts.training.earlier, second.report.facts.training.later) == (2, None)
    # every picture is a photo: that is what copying looks like
    assert second.report.verdict.kind == "overtrained"
    assert second.report.verdict.action == "test_step"
    assert second.report.verdict.value == 2


def test_a_step_that_was_trained_too_far_sends_back_whatever_its_advice(monkeypatch):
    def judged(rule, action="none", value=None):
        return SimpleNamespace(verdict=replace(judge(Facts()), rule=rule, action=action, value=value))

    found = {
        (50, 1.0): judged("undertrained", "test_step", 100), (100, 1.0): judged("collapsed"),
        (150, 1.0): judged("faces break, earlier step tested", "use_step", 50), (200, 2.0): judged("too high a weight"),
    }  # fmt: skip
    monkeypatch.setattr(grid_report, "_newest", lambda *_: found)
    assert grid_report.sent_back(None, "") == [(100, 1.0), (150, 1.0), (200, 2.0)]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1}', '{"version": 99}'])
def test_a_damaged_report_is_no_report(run, fake_painter, damage):
    done = paint_and_score(run, GridRequest(3, 1.0, 1), _silent)
    plan, ruler = GridRun(run, _silent).plan(GridRequest(3, 1.0, 1)), done.report.ruler
    assert finished_grid(run, plan, ruler) == read_report(done.folder)
    assert finished_grid(run, plan, "another engine's, or of other photos") is None
    (done.folder / "report.json").write_text(damage, encoding="utf-8")
    assert finished_grid(run, plan, ruler) is None
    with raises(("json-invalid", "report-of-other-version", "setting-missing"), has="report.json"):
        read_report(done.folder)
    assert paint_and_score(run, GridRequest(3, 1.0, 1), _silent, again=False).report.facts == done.report.facts


def test_a_failure_is_said_in_the_events_whatever_it_is(run, monkeypatch):
    class Broken:
        def __init__(self, *arguments):
            raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(grid_run, "DiffusersPainter", Broken)
    heard = []
    with pytest.raises(ZeroDivisionError):
        paint_and_score(run, GridRequest(3, 1.0, 1), lambda kind, **fields: heard.append((kind, fields)))
    assert heard[-1] == ("error", {"code": "internal-error", "text": "a mistake of ours"})


def test_a_vanished_or_damaged_checkpoint_is_one_sentence(run):
    run.checkpoint(3).write_bytes(run.checkpoint(3).read_bytes()[:5000])
    with raises("checkpoint-damaged", has=run.checkpoint(3).name):
        paint_and_score(run, GridRequest(3, 1.0, 1), _silent)
    run.checkpoint(3).unlink()
    with raises("file-missing", has=run.checkpoint(3).name):
        paint_and_score(run, GridRequest(3, 1.0, 1), _silent)


def test_grids_painted_at_once_get_a_folder_each(run, monkeypatch):
    """Between looking for the next number and taking it, another process takes it."""
    make = type(run.grids).mkdir
    taken = []

    def slow(self, *arguments, **options):
        if self.name == "002" and not taken:
            taken.append(self)
            make(self)
        make(self, *arguments, **options)

    monkeypatch.setattr(type(run.grids), "mkdir", slow)
    assert grid_run.new_folder(run).name == "003"
    assert (run.grids / "003" / "cells").is_dir()
    assert list((run.grids / "002").iterdir()) == []


# -- scoring


def test_the_template_is_made_anew_when_the_photos_change(copied, monkeypatch):
    run = load_run(copied.run)
    engine = SFaceEngine()
    first = character_template.template_of(run.character_folder, engine)
    path = character_template.template_path(run.character_folder, engine)
    written = path.stat().st_mtime_ns
    assert character_template.template_of(run.character_folder, engine) == first
    assert path.stat().st_mtime_ns == written
    path.write_text("{", encoding="utf-8")
    assert character_template.template_of(run.character_folder, engine) == first
    next(run.character_folder.photos.glob("*.jpg")).unlink()
    assert len(character_template.template_of(run.character_folder, engine).references) == 3


def test_events_of_a_grid_go_into_the_runs_file(copied, main, fake_painter):
    before = len(list(read_events(copied.run / "events.jsonl")))
    said = main("grid", "Mara Müller 名前", "--run", "1", "--step", "2", "--weight", "0.5", "--grid-steps", "3",
                "--data", copied.root)  # fmt: skip
    assert said.status == 4, said.err  # four photos allow no verdict
    assert said.out.startswith("[?] NO VERDICT")
    assert "picture 44 of 44\n" in said.err
    new = list(read_events(copied.run / "events.jsonl"))[before:]
    assert [event["kind"] for event in new] == ["painting"] * (CELLS + 1) + ["progress", "grid"]
