"""The study of the training's settings: its arithmetic, its variants, nothing done twice. Trains nothing."""

import json
import math
import shutil

import pytest

from bench.training import settings_study as study
from lib_lora.models.families.sd1 import NARROW
from lib_lora.training.plan.presets import preset

STUDY = study.Study(250, [60, 120, 250], 8, "fp32", study.START)


def row(variant, person, seed, kept, **more):
    """A line of the results: `kept` is the retention by step."""
    points = [
        {"at": at, "step": at, "retention": value, "faces": 1.0, "variety": 0.9, "copies": 0}
        for at, value in kept.items()
    ]
    return {"variant": variant, "person": person, "seed": seed, "points": points, **more}


def cells(rows, variant, images):
    """The table's line of a variant and a number of images, by column."""
    text = study.table(rows, {"lr2": [110.2, 100.0]})
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    found = next(line for line in lines if line[:2] == [variant, str(images)])
    return dict(zip(lines[0], found))


@pytest.mark.parametrize("variant", study.VARIANTS)
def test_variants_are_valid_settings(variant):
    overrides = study.all_overrides(study.StudyJob(variant, "mara", 3), STUDY)
    train = preset(NARROW, "sd1", overrides, narrow=True)
    plain = preset(NARROW, "sd1", {**study.all_overrides(study.StudyJob("base", "mara", 3), STUDY)}, narrow=True)
    assert (train != plain) == (variant != "base")
    assert train.steps * train.batch_size == 1000
    steps, at = study.scaled(STUDY, study.VARIANTS[variant])
    assert all(step % train.save_every == 0 or step == steps for step in at)


def test_a_batch_of_another_size_sees_as_many_photos():
    assert study.scaled(STUDY, study.VARIANTS["batch2"]) == (500, [120, 240, 500])
    assert study.scaled(STUDY, study.VARIANTS["batch8"]) == (125, [30, 60, 125])


def test_what_is_in_the_file_is_not_done_again(tmp_path):
    options = study._options(
        [*("--work", str(tmp_path), "--variants", "base", "lr2"), *("--people", "mara", "ines", "--seeds", "1", "2")]
    )
    path = tmp_path / study.RESULTS
    assert len(study.planned(options, study.read_rows(path))) == 8
    study.add_row(path, row("base", "mara", 1, {60: 0.5}))
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"variant": "base", "person": "ines", "se')  # the machine went down
    study.add_row(path, row("lr2", "mara", 2, {}, error="broken"))
    assert [set(one["origin"]) for one in study.read_rows(path)] == [{*study.results_file.origin()}] * 2
    left = study.planned(options, study.read_rows(path))
    assert [(job.variant, job.person, job.seed) for job in left] == [
        *(("base", "ines", 1), ("base", "mara", 2), ("base", "ines", 2)),
        *(("lr2", "mara", 1), ("lr2", "ines", 1), ("lr2", "ines", 2)),
    ]


def test_a_folder_belongs_to_one_study(tmp_path):
    auto = study.Study(**{**vars(STUDY), "precision": "auto"})
    assert study.same_study(tmp_path, STUDY) == STUDY
    assert json.loads((tmp_path / study.STUDY_FILE).read_text(encoding="utf-8"))["at"] == [60, 120, 250]
    assert study.same_study(tmp_path, auto) == STUDY
    with pytest.raises(SystemExit, match="sampling"):
        study.same_study(tmp_path, study.Study(**{**vars(STUDY), "sampling": 20}))


def test_intervals():
    assert study.interval([]) is None
    assert math.isnan(study.interval([0.5]).low)
    found = study.interval([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)  # t of 2 degrees x 1 / sqrt 3
    assert 2 - found.low == pytest.approx(found.high - 2)


def test_differences_are_of_the_same_person_and_seed():
    rows = [
        *(row("base", "mara", seed, {60: 0.2, 250: 0.4 + seed / 10}) for seed in (1, 2)),
        row("base", "ines", 1, {60: 0.2, 250: 0.8}),
        *(row("lr2", "mara", seed, {60: 0.2, 250: 0.5 + seed / 10}) for seed in (1, 2)),
        row("lr2", "ines", 1, {60: 0.2, 250: 0.7}),
        row("lr2", "tomas", 1, {60: 0.2, 250: 0.9}),  # base has none
    ]
    last = cells(rows, "lr2", 1000)
    assert (last["n"], last["pairs"], last["people better"]) == ("4", "3", "1 of 2")
    # of .1, .1, -.1: the mean is 1/30, the deviation .11547, t 4.3027
    assert last["minus base, paired (95 %)"] == "+0.033 (-0.254 to +0.320)"
    assert last["kept (95 %)"].startswith("0.725 (")
    assert last["seconds"] == "110 (1.10)"
    assert (last["variety"], last["faces"], last["copies"]) == ("0.90", "1.00", "0.00")
    assert cells(rows, "base", 1000)["pairs"] == ""
    assert cells(rows, "lr2", 240)["seconds"] == ""


def test_images_to_reach_what_the_base_reaches():
    one, two = ("mara", 1), ("ines", 1)
    base = {60: {one: 0.1, two: 0.1}, 250: {one: 0.5, two: 0.7}}
    faster = {60: {one: 0.2}, 120: {one: 0.4}, 250: {one: 0.8}}  # only mara counts: 0.5 lies a quarter of the way
    assert study.images_to_reach(faster, base) == f"{(120 + 130 / 4) * 4:.0f}"
    assert study.images_to_reach(base, base) == "1000"
    assert study.images_to_reach({60: {one: 0.5}}, base) == "at most 240"
    assert study.images_to_reach({60: {one: 0.1}, 250: {one: 0.4}}, base) == "-"
    assert study.images_to_reach({}, base) == "-"
    assert study.images_to_reach({60: {("tomas", 1): 0.9}}, base) == "-"


def test_runs_without_faces_and_broken_ones_are_reported():
    rows = [
        row("base", "mara", 1, {60: 0.2}),
        row("lr2", "mara", 1, {60: None}),
        row("prodigy", "mara", 1, {}, error="The loss is no longer a number.", notes=["a warning"]),
    ]
    assert cells(rows, "lr2", 240)["n"] == "0"
    text = study.table(rows)
    assert "- prodigy (1 times): The loss is no longer a number." in text
    assert "- prodigy (1 times): a warning" in text


def test_a_table_of_nothing():
    assert study.table([]).startswith("| variant")


def test_paces_are_of_one_sitting_and_a_broken_variant_is_left_out(tmp_path, monkeypatch):
    from types import SimpleNamespace

    from lib_lora.errors import UserError
    from lib_lora.training import loop, session

    rounds = []

    def rehearse(opened, steps, each):
        rounds.append(opened.name)
        if opened.name == "lr4" and rounds.count("lr4") == 2:
            raise UserError("The loss is no longer a number.", code="some-fault")
        return [{"base": 1.0, "lr4": 1.0, "batch2": 0.5}[opened.name]] * len(steps)

    monkeypatch.setattr(study, "_take_in", lambda *_: None)
    monkeypatch.setattr(study, "_new_run", lambda job, *_: job.variant)
    total = {"base": 250, "lr4": 250, "batch2": 500, "rank8": 250}
    monkeypatch.setattr(session, "open_session", lambda name, _: SimpleNamespace(name=name, total=total[name]))
    monkeypatch.setattr(loop, "rehearse", rehearse)
    options = ["--work", str(tmp_path), "--pace", "--precision", "fp32", "--variants", "lr4", "batch2"]
    study.measure_pace(study._options(options))
    assert rounds == ["base", "lr4", "batch2"] * 2 + ["base", "batch2"] * 2
    found = json.loads((tmp_path / "pace.json").read_text(encoding="utf-8"))
    origins = found.pop("origin")
    assert found == {"base": [250.0, 250.0], "batch2": [250.0, 250.0]}
    assert {*origins} == {*found}
    assert len(origins["base"]["commit"]) in (0, 40)  # none outside a clone


@pytest.mark.parametrize("name", ["study.json", "pace.json"])
def test_what_was_measured_lies_beside_its_commit(name):
    found = json.loads((study.results_file.FOLDER / "settings" / name).read_text(encoding="utf-8"))
    origins = found.pop("origin")
    each = [origins] if name == "study.json" else [origins.pop(variant) for variant in found]
    assert all(len(one["commit"]) == 40 for one in each)
    assert name == "study.json" or origins == {}


def test_the_study_that_was_done_is_still_known(tmp_path):
    shutil.copy(study.results_file.FOLDER / "settings" / "study.json", tmp_path)
    assert study.same_study(tmp_path, study.Study(250, [60, 120, 250], 8, "auto", study.START)).precision == "fp32"
