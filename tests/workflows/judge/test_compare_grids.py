"""Two folders of pictures, or two grids, of one character: what pairs with what, and what scripts see."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from faults import raises
from PIL import Image, ImageFilter
from remembering import Remembering

from lib_lora.cli import DRIFTS, NO_VERDICT
from lib_lora.faces.engines.opencv_engine import SFaceEngine
from lib_lora.likeness.report import report as reports
from lib_lora.likeness.report.report import Report
from lib_lora.workflows.judge.compare_grids import compare_sets
from lib_lora.workflows.judge.scoring import judge_files
from lib_lora.workspace.workspace import Workspace

pytestmark = pytest.mark.once("which picture pairs with which; what measures is repeated in likeness")

PERSONAS = Path(__file__).parents[2] / "data" / "personas"
SHOWN = range(12, 19)


@pytest.fixture(scope="module")
def eye() -> Remembering:
    return Remembering(SFaceEngine())


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A data folder with mara, of whom there are nine photos."""
    from lib_lora.character.store import Character, Consent, create

    root = tmp_path_factory.mktemp("Daten ü 名前")
    folder = create(root, Character("Mara ü", "mrxa", "woman", Consent("fictional", "2026-11-25")))
    for number in range(9):
        shutil.copy(PERSONAS / "mara" / f"{number:02d}.jpg", folder.photos)
    return root


def _folder(path: Path, persona: str = "mara", blur: float = 0, numbers=SHOWN, form: str = "png") -> Path:
    """Pictures in a folder, small, as they would come from two checkpoints."""
    path.mkdir()
    for number in numbers:
        with Image.open(PERSONAS / persona / f"{number:02d}.jpg") as picture:
            picture.resize((320, 320)).filter(ImageFilter.GaussianBlur(blur)).save(path / f"{number:02d}.{form}")
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> dict[str, Path]:
    """sharp and soft show the same pictures, other shows another person's."""
    home = tmp_path_factory.mktemp("Bilder ü")
    return {
        "sharp": _folder(home / "scharf ü"),
        "soft": _folder(home / "weich", blur=2.5),
        "other": _folder(home / "fremd", "viktor"),
    }


def _compare(root, a, b, eye, name="Mara ü"):
    return compare_sets(root, a, b, name, eye)


# -- folders of pictures


def test_the_sharper_folder_wins_in_pairs_of_one_file_name(root, sets, eye):
    result = _compare(root, sets["sharp"], sets["soft"], eye)
    values = result.values
    assert (values["a"], values["b"], values["better"], values["paired"]) == ("scharf ü", "weich", "a", True)
    assert (values["n"], values["b_better"]) == (len(SHOWN), 0)
    assert values["high"] < 0
    assert result.drift  # B keeps less than A
    assert result.text.startswith("scharf ü keeps more of the face (")
    assert "B is more alike in 0 of 7 pairs." in result.text
    assert "7 pairs of one file name)" in result.text
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_the_other_way_round_b_is_better_and_holds(root, sets, eye):
    result = _compare(root, sets["soft"], sets["sharp"], eye)
    assert (result.values["better"], result.values["b_better"]) == ("b", len(SHOWN))
    assert result.values["low"] > 0
    assert result.drift is (result.values["kind_b"] != "consistent")


def test_names_pair_whatever_the_format(root, sets, eye, tmp_path):
    jpeg = _folder(tmp_path / "jpeg", form="jpg")
    result = _compare(root, sets["sharp"], jpeg, eye)
    assert (result.values["paired"], result.values["n"]) == (True, len(SHOWN))
    assert abs(result.values["difference"]) < 0.02


def test_other_names_are_two_heaps(root, sets, eye, tmp_path):
    shutil.copytree(sets["soft"], tmp_path / "umbenannt")
    for path in (tmp_path / "umbenannt").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    result = _compare(root, sets["sharp"], tmp_path / "umbenannt", eye)
    assert (result.values["paired"], result.values["b_better"]) == (False, None)
    assert "pairs" not in result.text
    assert "two sets of at least 7 pictures" in result.text


def test_another_person_is_worse_and_drift(root, sets, eye):
    result = _compare(root, sets["sharp"], sets["other"], eye)
    assert (result.values["better"], result.values["kind_b"]) == ("a", "not this person")
    assert result.drift
    assert result.values["difference"] < -0.3
    assert result.values["retention_b"] < 0.3 < result.values["retention_a"]


def test_a_broken_picture_costs_its_pair_only(root, sets, eye, tmp_path):
    shutil.copytree(sets["soft"], tmp_path / "kaputt")
    (tmp_path / "kaputt" / "13.png").write_bytes(b"no picture")
    assert _compare(root, sets["sharp"], tmp_path / "kaputt", eye).values["n"] == len(SHOWN) - 1


def test_folders_of_one_name_are_distinguished_by_their_parents(root, sets, eye, tmp_path):
    for name in ("eins", "zwei"):
        (tmp_path / name).mkdir()
        shutil.copytree(sets["sharp"], tmp_path / name / "bilder")
    result = _compare(root, tmp_path / "eins" / "bilder", tmp_path / "zwei" / "bilder", eye)
    assert (result.values["a"], result.values["b"]) == ("eins/bilder", "zwei/bilder")
    assert (result.values["better"], result.values["p"]) == ("", 1.0)
    assert result.text.startswith("No sure difference between eins/bilder and zwei/bilder (+0.000, p = 1.00")
    assert "step" not in result.text  # nothing is known of any


# -- reports


@pytest.fixture(scope="module")
def judged(root, sets, eye) -> dict[str, Report]:
    """The same pictures as reports, as a grid has them."""
    folder = Workspace(root).character("Mara ü")
    return {
        name: judge_files(eye, folder, "Mara ü", sorted(sets[name].iterdir()), named=True)[0]
        for name in ("sharp", "soft")
    }


def test_grids_are_compared_by_their_reports_without_an_engine(root, judged, tmp_path):
    for name, report in judged.items():
        (tmp_path / name).mkdir()
        reports.save(report, tmp_path / name / "report.json")
    by_folder = compare_sets(root, tmp_path / "sharp", tmp_path / "soft", engine=_NoEngine())
    assert (by_folder.values["better"], by_folder.values["n"]) == ("a", len(SHOWN))
    by_file = compare_sets(root, tmp_path / "sharp" / "report.json", tmp_path / "soft", engine=_NoEngine())
    assert by_file.values["p"] == by_folder.values["p"]
    assert (by_file.values["a"], by_file.values["b"]) == ("sharp", "soft")
    with raises("compare-same-set"):
        compare_sets(root, tmp_path / "sharp" / "report.json", tmp_path / "sharp")


class _NoEngine:
    id, licence = "none", ""

    def faces(self, image):
        raise AssertionError("a picture was looked at")


def test_a_report_and_a_folder_of_the_same_pictures(root, judged, sets, eye, tmp_path):
    reports.save(judged["sharp"], tmp_path / "report.json")
    result = _compare(root, tmp_path / "report.json", sets["soft"], eye)
    assert result.values["a"] == tmp_path.name
    assert (result.values["better"], result.values["n"]) == ("a", len(SHOWN))


@pytest.mark.parametrize(
    ("change", "code", "named"),
    [
        ({"engine": "another"}, "compare-other-engines", "one.json and two.json"),
        ({"ruler": "of other photos"}, "compare-other-photos", "one.json and two.json"),
        ({"subject": reports.Subject("Ines")}, "compare-other-characters", "Ines"),
        ({"pictures": []}, "compare-too-few-faces", "(7 and 0; 5 are needed"),
    ],
)
def test_what_cannot_be_compared_is_said(root, judged, tmp_path, change, code, named):
    reports.save(judged["sharp"], tmp_path / "one.json")
    reports.save(replace(judged["soft"], **change), tmp_path / "two.json")
    with raises(code, has=named):
        compare_sets(root, tmp_path / "one.json", tmp_path / "two.json")


# -- mistakes


def test_mistakes_are_one_sentence(root, sets, eye, tmp_path):
    (tmp_path / "leer").mkdir()
    (tmp_path / "damaged.json").write_text("{", encoding="utf-8")
    (tmp_path / "text.txt").write_text("a text", encoding="utf-8")
    sharp = sets["sharp"]
    for a, b, name, code in (
        (sharp, sharp, "Mara ü", "compare-same-set"),
        (sharp, tmp_path / "gone", "Mara ü", "compare-set-missing"),
        (sharp, tmp_path / "text.txt", "Mara ü", "compare-set-missing"),
        (sharp, tmp_path / "leer", "Mara ü", "folder-without-pictures"),
        (sharp, tmp_path / "leer", None, "grid-report-missing"),
        (sharp, tmp_path / "leer", "nobody", "character-not-found"),
        (tmp_path / "damaged.json", sharp, "Mara ü", "json-invalid"),
    ):
        with raises(code):
            _compare(root, a, b, eye, name)


def test_relative_paths_are_named_as_they_are(root, sets, eye, monkeypatch):
    monkeypatch.chdir(sets["sharp"])
    result = _compare(root, Path(), Path("../weich"), eye)
    assert (result.values["a"], result.values["b"]) == ("scharf ü", "weich")


def test_one_folder_written_in_two_ways_is_one_set(root, sets, eye):
    with raises("compare-same-set"):
        _compare(root, sets["sharp"], sets["soft"] / ".." / sets["sharp"].name, eye)


def test_photos_without_a_face_are_named_as_the_cause(sets, eye, tmp_path):
    from lib_lora.character.store import Character, Consent, create

    folder = create(tmp_path, Character("grey", "grxa", "woman", Consent("fictional", "2026-11-25")))
    Image.new("RGB", (200, 200), "grey").save(folder.photos / "grey.png")
    with raises("no-measurable-face", photos=1):
        compare_sets(tmp_path, sets["sharp"], sets["soft"], "grey", eye)


# -- the command


def test_the_command_prints_json_alone_and_tells_scripts(main, root, sets, eye, monkeypatch):
    monkeypatch.setattr("lib_lora.cli.judge_commands.engine_of", lambda options: eye)
    command = ["compare", sets["sharp"], sets["soft"], "--character", "Mara ü", "--data", root]
    said = main(*command, "--json")
    assert said.status == DRIFTS
    assert json.loads(said.out)["better"] == "a"
    plain = main(*command)
    assert plain.status == DRIFTS
    assert [line[:9] for line in plain.out.splitlines()] == ["scharf ü ", "  A schar", "  B weich", "B minus A"]


def test_where_neither_side_has_a_verdict_scripts_see_that(main, root, sets, eye, monkeypatch, tmp_path):
    monkeypatch.setattr("lib_lora.cli.judge_commands.engine_of", lambda options: eye)
    folder = Workspace(root).character("Mara ü")
    report, _ = judge_files(eye, folder, "Mara ü", sorted(sets["sharp"].iterdir()), named=True)
    refused = replace(report, verdict=replace(report.verdict, kind="not measurable", drift=False, judged=False))
    for name in ("eins", "zwei"):
        (tmp_path / name).mkdir()
        reports.save(refused, tmp_path / name / "report.json")
    assert main("compare", tmp_path / "eins", tmp_path / "zwei", "--data", root).status == NO_VERDICT
    reports.save(report, tmp_path / "eins" / "report.json")
    assert main("compare", tmp_path / "eins", tmp_path / "zwei", "--data", root).status == 0
