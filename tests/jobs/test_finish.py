"""The test grid after training, and its scores."""

import json
import shutil

import pytest
from PIL import Image

from lib_lora.errors import UserError
from lib_lora.jobs import finish, scoring
from lib_lora.jobs.events import read_events
from lib_lora.jobs.finish import find_run, paint_and_score, saved_steps
from lib_lora.jobs.report import finished_grid, read_report
from lib_lora.training.run import load_run


def _silent(kind, **fields):
    pass


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
    with pytest.raises(UserError, match="1000 has no checkpoint yet"):
        find_run(root, name, "1000", None)
    with pytest.raises(UserError, match="has no run 7; there are: 001, 009, 010, 1000"):
        find_run(root, name, "7", None)


@pytest.mark.parametrize("step", [0, 1, 4, -3])
def test_a_step_that_was_not_saved_is_named(copied, step):
    with pytest.raises(UserError, match=rf"has no checkpoint of step {step}; there are: 2, 3\."):
        find_run(copied.root, "Mara Müller 名前", None, step)


def test_a_character_without_runs_or_without_a_folder_for_them(copied):
    shutil.rmtree(copied.run)
    with pytest.raises(UserError, match="has no run yet; make one with: "):
        find_run(copied.root, "Mara Müller 名前", None, None)
    shutil.rmtree(copied.run.parent)
    with pytest.raises(UserError, match="has no run yet; make one with: "):
        find_run(copied.root, "Mara Müller 名前", None, None)
    with pytest.raises(UserError, match="There is no character in"):
        find_run(copied.root, "nobody", None, None)


def test_foreign_files_are_no_checkpoints(run):
    lora = run.checkpoint(3)
    for name in ("other-000009.safetensors", f"{run.file.stem}-9.safetensors", f"{run.file.stem}-best.safetensors"):
        shutil.copy(lora, lora.with_name(name))
    lora.with_name(f"{run.file.stem}-000008.safetensors.123.tmp").write_bytes(b"half")
    assert saved_steps(run) == [2, 3]
    shutil.copy(lora, run.checkpoint(1_000_000))
    assert saved_steps(run) == [2, 3, 1_000_000]


# -- painting and scoring


def test_a_grid_of_another_checkpoint_and_weight(run, fake_painter):
    """Cell 3 shows the character: it is measured, becomes the preview, and the events say so."""
    heard = []
    report = paint_and_score(run, 2, 0.5, 7, lambda kind, **fields: heard.append((kind, fields)))
    assert report.folder == run.grids / "002"
    assert report.preview == run.grids / "002" / "cells" / "03-lora.png"
    plan = json.loads((report.folder / "plan.json").read_text(encoding="utf-8"))
    assert {(cell["lora"], cell["weight"], cell["steps"]) for cell in plan["with_lora"]} == {
        (run.checkpoint(2).name, 0.5, 7)
    }
    with Image.open(report.preview) as picture:
        assert f" <lora:{run.file.stem}-000002:0.5>\n" in picture.text["parameters"]
    values = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))
    likeness = [score["likeness"] for score in values["with_lora"]]
    assert [number is None for number in likeness] == [n != 2 for n in range(8)]
    assert 0.7 < likeness[2] < 1
    assert values["summary"]["with_lora"]["counted"] == 1
    assert values["summary"]["with_lora"]["mean"] == pytest.approx(likeness[2])
    assert f"{likeness[2]:.3f}" in report.text
    assert values["summary"]["retention"] is None
    assert values["summary"]["retention_reason"] == "only 4 photos could be compared with each other; 8 are needed"
    assert [fields["done"] for kind, fields in heard if kind == "painting"] == list(range(17))
    said = {"folder": str(report.folder), "likeness": pytest.approx(likeness[2]), "retention": None}
    assert heard[-1] == ("grid", said)


def test_the_most_alike_picture_that_counts_is_the_preview(run, fake_painter, monkeypatch):
    """A face of 35 pixels looks most like the character, and means least."""

    class Several(fake_painter):
        faces = ()

        def paint(self, cells, progress=None):
            pictures = super().paint(cells, progress)
            pictures[1] = Image.new("RGB", (128, 128), "grey")
            pictures[1].paste(self.photo("mara").resize((44, 44)), (32, 32))
            pictures[4] = self.photo("viktor")
            pictures[5] = self.photo("ines")
            return pictures

    monkeypatch.setattr(finish, "DiffusersPainter", Several)
    report = paint_and_score(run, 3, 1.0, 1, _silent)
    scores = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))["with_lora"]
    assert scores[1]["reason"].startswith("the face is only ")
    assert scores[1]["likeness"] > max(scores[4]["likeness"], scores[5]["likeness"]) + 0.1
    best = 4 if scores[4]["likeness"] > scores[5]["likeness"] else 5
    assert report.preview.name == scores[best]["image"] == f"{best + 1:02d}-lora.png"


def test_photos_without_a_face_do_not_cost_the_pictures(run, fake_painter):
    """A drawn character, say: the grid is there to be looked at, and the report says why it has no numbers."""
    for path in run.character_folder.photos.glob("*.jpg"):
        Image.new("RGB", (64, 64), "grey").save(path)
    report = paint_and_score(run, 3, 1.0, 1, _silent)
    assert report.text.startswith("Likeness: not measured. In none of the 4 photos a face can be measured")
    assert report.preview.name == "01-lora.png"
    assert len(list((report.folder / "cells").iterdir())) == 16
    values = json.loads((report.folder / "report.json").read_text(encoding="utf-8"))
    assert values["summary"] is None
    assert values["reason"].startswith("In none of the 4 photos")
    assert read_report(report.folder) == report


def test_a_grid_that_is_there_is_painted_again_only_if_asked(run, fake_painter, monkeypatch):
    first = paint_and_score(run, 3, 1.0, 5, _silent)
    assert paint_and_score(run, 3, 1.0, 5, _silent, again=True).folder.name == "003"
    monkeypatch.setattr(finish, "DiffusersPainter", None)  # must not be called
    known = paint_and_score(run, 3, 1.0, 5, _silent, again=False)
    assert known.folder.name == "003"
    assert known.text.replace("003", "002") == first.text
    with pytest.raises(TypeError):
        paint_and_score(run, 3, 1.0, 6, _silent, again=False)


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"summary": null}', '{"summary": {"engine": 1}, "reason": "", "preview": "x"}']
)
def test_a_damaged_report_is_no_report(run, damage):
    folder = run.grids / "001"
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert finished_grid(run, plan) == read_report(folder)
    (folder / "report.json").write_text(damage, encoding="utf-8")
    assert finished_grid(run, plan) is None
    with pytest.raises(UserError, match=r"report\.json"):
        read_report(folder)


def test_a_failure_is_said_in_the_events_whatever_it_is(run, monkeypatch):
    class Broken:
        def __init__(self, *arguments):
            raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(finish, "DiffusersPainter", Broken)
    heard = []
    with pytest.raises(ZeroDivisionError):
        paint_and_score(run, 3, 1.0, 1, lambda kind, **fields: heard.append((kind, fields)))
    assert heard == [("error", {"text": "a mistake of ours"})]


def test_a_vanished_or_damaged_checkpoint_is_one_sentence(run):
    run.checkpoint(3).write_bytes(run.checkpoint(3).read_bytes()[:5000])
    with pytest.raises(UserError, match=run.checkpoint(3).name):
        paint_and_score(run, 3, 1.0, 1, _silent)
    run.checkpoint(3).unlink()
    with pytest.raises(UserError, match=run.checkpoint(3).name):
        paint_and_score(run, 3, 1.0, 1, _silent)


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
    assert finish._new_folder(run).name == "003"
    assert (run.grids / "003" / "cells").is_dir()
    assert list((run.grids / "002").iterdir()) == []


# -- scoring


def test_the_template_is_made_anew_when_the_photos_change(copied, monkeypatch):
    run = load_run(copied.run)
    engine = scoring.SFaceEngine()
    first = scoring.template_of(run.character_folder, engine)
    path = run.character_folder.cache / "template.json"
    written = path.stat().st_mtime_ns
    assert scoring.template_of(run.character_folder, engine) == first
    assert path.stat().st_mtime_ns == written
    path.write_text("{", encoding="utf-8")
    assert scoring.template_of(run.character_folder, engine) == first
    next(run.character_folder.photos.glob("*.jpg")).unlink()
    assert len(scoring.template_of(run.character_folder, engine).references) == 3


def test_events_of_a_grid_go_into_the_runs_file(copied, main, fake_painter):
    before = len(list(read_events(copied.run / "events.jsonl")))
    said = main("grid", "Mara Müller 名前", "--run", "1", "--step", "2", "--weight", "0.5", "--grid-steps", "3",
                "--data", copied.root)  # fmt: skip
    assert said.status == 0, said.err
    assert said.out.startswith("Likeness to the photos")
    assert "100%" in said.err
    new = list(read_events(copied.run / "events.jsonl"))[before:]
    assert [event["kind"] for event in new] == ["painting"] * 17 + ["grid"]
