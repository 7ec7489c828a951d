"""The commands: each does its part in the data folder it is given, and a mistake is one sentence."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import pytest
from faults import raises
from hypothesis import given
from hypothesis import strategies as st
from job_fixtures import Said
from PIL import Image, ImageFilter

import lib_lora
from lib_lora import cli
from lib_lora.cli import DRIFTS, NO_VERDICT, arguments
from lib_lora.errors import UserError
from lib_lora.training.plan.run_file import load_run

pytestmark = pytest.mark.once("words to workflows, which have their own tests; test_main_job.py repeats a whole job")

NAME = "Mara Müller 名前"
PERSONAS = Path(__file__).parents[1] / "data" / "personas"


# -- the commands


def test_new_train_info_do_their_parts_in_the_data_folder(main, toy, quick, some_photos, tmp_path, monkeypatch):
    """With SAMEFACE_DATA pointing elsewhere, which --data overrides."""
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setenv("SAMEFACE_DATA", str(elsewhere))
    photos, root, out = some_photos("viktor", 2), tmp_path / "Daten ü", tmp_path / "out"
    (photos / "cut.png").write_bytes(b"cut")
    said = main("new", "Viktor", "--trigger", "vktx", "--class", "man", "--consent", "consented",
                "--photos", photos, "--data", root)  # fmt: skip
    assert said.status == 0, said.err
    character = root / "characters" / "viktor"
    assert said.out == (
        "2 photos added.\n"
        "Left out: cut.png is not a readable picture; replace or remove it.\n"
        f"Viktor is in {character}\n"
        "See what is wrong with the photos: sameface audit Viktor\n"
    )
    said = main("train", "Viktor", "--base", toy("sd1"), "--preset", "sd15-face", "--steps", "1", "--out", out,
                "--data", root, *quick, "--set", "steps=7", "--set", "lora.te=false", "--set=unet_lr=1e-3")  # fmt: skip
    assert said.status == 0, said.err
    run = load_run(character / "runs" / "001")
    assert (run.file.settings.steps, run.file.settings.unet_lr, run.file.settings.lora.te) == (1, 1e-3, False)
    assert not run.grids.exists()
    lora = out / "viktor.safetensors"
    assert said.out.endswith(f"LoRA: {lora}\n")

    said = main("info", lora, "--json", "--data", root)
    facts = json.loads(said.out)
    assert (facts["family"], facts["webui_version"], facts["modules"], facts["ranks"]) == ("sd1", "SD1", 192, [4])
    assert (facts["trigger"], facts["consent"], facts["steps"]) == ("vktx", "consented", 1)
    assert facts["hashes"] == {"sshs_model_hash": True, "modelspec.hash_sha256": True}
    plain = main("info", lora)
    assert plain.status == 0
    assert any(line.split() == ["trigger", "vktx"] for line in plain.out.splitlines())
    assert not elsewhere.exists()


def test_the_data_folder_comes_from_the_environment_too(main, copied, monkeypatch):
    monkeypatch.setenv("SAMEFACE_DATA", str(copied.root))
    assert main("score", NAME, copied.photos / "Bild ü 00.jpg").status == NO_VERDICT  # four photos allow none


def test_score_takes_pictures_and_folders(main, copied, some_photos, tmp_path):
    same, other = some_photos("mara", 2, tmp_path / "gleich ü"), some_photos("viktor", 1, tmp_path / "anders")
    blank = tmp_path / "leer.png"
    Image.new("RGB", (200, 200), "white").save(blank)
    damaged = tmp_path / "kaputt.jpg"
    damaged.write_bytes(b"no picture")
    said = main("score", NAME, same, other / "Bild ü 00.jpg", blank, damaged, "--json", "--data", copied.root)
    assert said.status == NO_VERDICT, said.err
    values = json.loads(said.out)
    rows = values["pictures"]
    assert [row["path"] for row in rows] == [
        path.as_posix()
        for path in (same / "Bild ü 00.jpg", same / "Bild ü 01.jpg", other / "Bild ü 00.jpg", blank, damaged)
    ]
    likeness = [row["score"]["likeness"] for row in rows]
    assert min(likeness[:2]) > 0.7
    assert likeness[2] < 0.4
    assert likeness[3:] == [None, None]
    assert [row["status"] for row in rows] == ["unjudged", "unjudged", "unjudged", "no face", "unreadable"]
    assert rows[3]["score"]["reason"] == "no face found"
    assert rows[4]["score"]["reason"].startswith("kaputt.jpg is not a readable picture")
    assert values["verdict"]["because"].startswith("Only 4 photos show a face")

    plain = main("score", NAME, same, blank, "--data", copied.root)
    assert plain.status == NO_VERDICT
    assert "\n[?] NO VERDICT\n" in plain.out
    assert f"{likeness[0]:.2f}" in plain.out


@pytest.fixture
def known(main, copied, tmp_path):
    """The data folder with a character of many photos."""
    photos = tmp_path / "viele"
    shutil.copytree(PERSONAS / "mara", photos)
    said = main("new", "Mara 24", "--photos", photos, "--trigger", "mrxa", "--class", "woman", "--consent", "fictional",
                "--data", copied.root)  # fmt: skip
    assert said.status == 0, said.err
    return copied.root


def test_another_person_is_drift_and_scripts_see_it(main, known):
    said = main("score", "Mara 24", PERSONAS / "viktor", "--data", known)
    assert said.status == DRIFTS
    assert said.out.splitlines()[:2] == [
        "No picture says that it was painted; they are judged as photos.",
        "[X] NOT THIS PERSON",
    ]
    others = (PERSONAS / "ines", PERSONAS / "viktor")
    said = main("score", "Mara 24", PERSONAS / "viktor", "--impostors", *others, "--json", "--data", known)
    assert said.status == DRIFTS
    sources = [item["name"] for item in json.loads(said.out)["calibration"]["impostors"]]
    assert sources == ["given pictures", "cohort"]


def test_compare_names_the_better_folder(main, known, tmp_path):
    for name in ("scharf", "weich"):
        (tmp_path / name).mkdir()
    for number, photo in enumerate(sorted((PERSONAS / "mara").glob("*.jpg"))[:12]):
        shutil.copy(photo, tmp_path / "scharf")
        with Image.open(photo) as image:
            blurred = image.filter(ImageFilter.GaussianBlur(6 if number else 60))
            blurred.save(tmp_path / "weich" / photo.name)
    said = main("compare", tmp_path / "scharf", tmp_path / "weich", "--character", "Mara 24", "--data", known)
    assert said.status == DRIFTS
    assert said.out.startswith("scharf keeps more of the face (")
    said = main("compare", tmp_path / "weich", tmp_path / "scharf", "--character", "Mara 24", "--json", "--data", known)
    values = json.loads(said.out)
    assert (values["better"], values["paired"], values["b_better"]) == ("b", True, values["n"])
    assert values["n"] == 11  # one is too blurred to count
    assert 0 < values["low"] < values["difference"] < values["high"]
    said = main("compare", tmp_path / "scharf", tmp_path / "scharf", "--character", "Mara 24", "--data", known)
    assert said.code == "compare-same-set"
    said = main("compare", tmp_path / "scharf", tmp_path / "weich", "--data", known)
    assert said.code == "grid-report-missing"


def test_forget_deletes_the_embeddings_and_nothing_else(main, known):
    folder = known / "characters" / "mara-24"
    main("score", "Mara 24", PERSONAS / "viktor", "--data", known)
    before = {path for path in folder.rglob("*") if path.is_file()}
    assert any("embedding" in path.read_text(encoding="utf-8") for path in before if path.suffix == ".json")
    said = main("forget", "Mara 24", "--data", known)
    assert said.status == 0
    assert said.out.startswith("1 file with what was computed from the face of Mara 24 deleted")
    after = {path for path in folder.rglob("*") if path.is_file()}
    assert [path.name.startswith("template") for path in before - after] == [True]
    assert not any("embedding" in path.read_text(encoding="utf-8") for path in after if path.suffix == ".json")


# -- mistakes


@pytest.fixture
def mistake(main, copied, some_photos, toy, tmp_path):
    """A function that runs a command whose {words} stand for what is there, and sees that one sentence refuses it."""
    photos = some_photos("ines", 1, tmp_path / "photos")
    (tmp_path / "empty").mkdir()
    (tmp_path / "corrupt").mkdir()
    (tmp_path / "corrupt" / "a.jpg").write_bytes(b"no picture")
    (tmp_path / "file").write_text("a text", encoding="utf-8")
    places = {"photos": photos, "base": toy("sd1"), "tmp": tmp_path, "run": copied.run, "name": NAME}

    def run(command: str) -> Said:
        before = sorted((copied.root / "characters").rglob("*"))
        said = main(*(word.format(**places) for word in command.split(" ")), "--data", copied.root)
        assert said.status == 2
        assert "Traceback" not in said.out + said.err
        assert said.err.startswith("sameface: ")
        assert said.err.count("\n") == 1
        assert sorted((copied.root / "characters").rglob("*")) == before
        return said

    return run


WHO = "--trigger x1 --class woman --consent fictional"


@pytest.mark.parametrize(
    ("command", "code", "has"),
    [
        (f"new A {WHO}x --photos {{photos}}", "consent-unknown", "'fictionalx'"),
        (f"new A {WHO} --photos {{tmp}}/gone", "no-photo-readable", "{tmp}/gone"),
        (f"new A {WHO} --photos {{tmp}}/empty", "no-photo-readable", ""),
        (f"new A {WHO} --photos {{tmp}}/corrupt", "no-photo-readable", ""),
        (f"run {{tmp}}/corrupt --name A {WHO} --base {{base}}", "no-photo-readable", "a.jpg"),
        ("new {name} --trigger other --class woman --consent fictional --photos {photos}", "character-exists", ""),
        ("train nobody --base {base}", "character-not-found", ""),
        ("train {name} --base {tmp}/gone.safetensors", "file-missing", "gone.safetensors"),
        ("train {name} --base {tmp}/file", "checkpoint-wrong-format", "file"),
        ("train {name} --base {base} --preset sdxl-face", "preset-of-other-family", "'sd15-face'"),
        ("train {name} --base {base} --preset sd15_face", "preset-unknown", "'sd15_face'"),
        ("train {name} --base {base} --set lora.rnk=4", "setting-unknown", "lora.rank"),
        ("train {name} --base {base} --set learning_rate_unet=1", "setting-unknown", "'learning_rate_unet'"),
        ("train {name} --base {base} --set rank", "set-without-value", "lora.rank"),
        ("train {name} --base {base} --set lora.rank=x", "setting-wrong-type", "'x'"),
        ("train {name} --base {base} --set lora=[1", "set-unreadable", ""),
        ("train {name} --base {base} --set steps=-1", "setting-invalid", ""),
        ("train {name} --base {base} --out {tmp}/file", "out-is-a-file", ""),
        ("grid nobody", "character-not-found", ""),
        ("grid {name} --run 7", "run-not-found", ": 001"),
        ("grid {name} --step 1", "checkpoint-not-found", ": 2, 3"),
        ("score nobody {photos}", "character-not-found", ""),
        ("score {name} {photos} {tmp}/gone.png", "picture-missing", "{tmp}/gone.png"),
        ("score {name} {photos} {tmp}/empty", "picture-missing", "{tmp}/empty"),
        ("info {tmp}/gone.safetensors", "file-missing", "gone.safetensors"),
        ("info {base}", "not-a-lora", ""),
        ("info {tmp}/file", "lora-wrong-suffix", ""),
        ("resume {tmp}/empty", "not-a-run-folder", ""),
        ("resume {run} --base {tmp}/file", "base-model-changed", ""),
        ("resume {run} --out {tmp}/file", "out-is-a-file", ""),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(mistake, command, code, has, tmp_path):
    said = mistake(command.replace("{name}", "mara-müller-名前"))
    assert said.code == code
    assert has.replace("{tmp}", str(tmp_path)) in said.err


@pytest.mark.parametrize(
    "command",
    [
        "run photos --name a --trigger b --class c --consent fictional",  # no --base
        "run photos --name a --trigger b --class c --consent fictional --base x --grid-steps -1",
        "grid mara --grid-steps 0",
        "train mara --base x --steps 0",
        "grid mara --weight nan",
        "grid mara --weight inf",
        "grid mara --weight much",
        "train mara --base x --prediction z",
        "score mara",
        "unknown",
        "",
    ],
)
def test_wrong_arguments_are_refused_with_the_usage(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(command.split())
    assert caught.value.code == 2
    assert "usage: sameface" in capsys.readouterr().err


PARSERS = cli.parsers()[1]
SILENT = {
    "ui",
    "worker",
    "paint-plans",
    "rehearse",
}  # they answer nothing: one shows a page, the other works for the program that started it


@pytest.mark.parametrize("command", PARSERS)
def test_every_command_has_help_and_takes_a_data_folder_and_json(command, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main([command, "--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert "--data DIR" in said
    assert ("--json" in said) == (command not in SILENT)


def test_the_worker_is_not_shown(capsys):
    for words in (["--help"], ["worke"], ["nonsense"]):
        with pytest.raises(SystemExit):
            cli.main(words)
        said = capsys.readouterr()
        assert "worker" not in said.out + said.err
    assert "list" in PARSERS


def test_the_version_is_said(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"SameFace {lib_lora.__version__}\n")


# -- settings on the command line


def _overrides(*items, steps=None):
    return arguments.overrides(argparse.Namespace(set=list(items), steps=steps))


def test_values_are_what_they_look_like():
    assert _overrides(
        "lora.rank=16",
        "unet_lr=1e-4",
        "warmup=.1",
        "lora.te=false",
        "class_photos=null",
        "lora.alpha=8.5",
        "preset='4'",
    ) == {
        "lora": {"rank": 16, "te": False, "alpha": 8.5},
        "unet_lr": "1e-4",  # YAML 1.1 sees no number in it; the settings do
        "warmup": 0.1,
        "class_photos": None,
        "preset": "4",
    }


@pytest.mark.parametrize(
    "text",
    [
        "photo of a woman: smiling",
        "/home/ü/my #1 folder",
        r"C:\Bilder\Mara: neu",
        "~/Bilder",
        "2024-02-30",
        "2024-02-03",
        "- a",
        "a = b",
        "*",
        "!!bool x",
        "!!timestamp x",
        "名前",
        "a\nb",
    ],
)
def test_text_is_taken_as_it_is(text):
    assert _overrides(f"class_caption={text}") == {"class_caption": text}


def test_the_last_word_counts_and_steps_beats_set():
    assert _overrides("a.b=1", "a.b=2", "a.c=3", "steps=5", steps=7) == {"a": {"b": 2, "c": 3}, "steps": 7}
    assert _overrides("a=1", "a=2") == {"a": 2}
    assert _overrides("steps=5") == {"steps": 5}
    assert _overrides(steps=0) == {"steps": 0}
    assert _overrides("lora={rank: 4}", "lora.alpha=2") == {"lora": {"rank": 4, "alpha": 2}}


@pytest.mark.parametrize(
    "item", ["", "=", "=1", "a", "a.=1", ".a=1", "a..b=1", "a=[1", 'a="x', "a={b: 1", "a=[!!bool x]"]
)
def test_what_is_no_setting_is_named(item):
    with raises(("set-unreadable", "set-without-value"), has="--set") as caught:
        _overrides(item)
    assert item in str(caught.value)


def test_a_value_is_no_table():
    with raises("set-conflicts-with-group", has=("--set", "lora.rank", "4")):
        _overrides("lora=3", "lora.rank=4")


WORD = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
PLAIN = st.one_of(st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False))


def _tables(values):
    return st.dictionaries(WORD, values, min_size=1, max_size=3)


TABLE = st.recursive(_tables(PLAIN), _tables, max_leaves=5)


def _items(table, prefix=""):
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={_written(value)}"


def _written(value):
    if isinstance(value, float) and "." not in repr(value):  # YAML 1.1 asks for a point: 1.0e-05
        return repr(value).replace("e", ".0e", 1)
    return json.dumps(value)


@given(TABLE)
def test_any_settings_come_back_as_they_were_written(table):
    assert _overrides(*_items(table)) == table


@given(st.lists(st.text(max_size=40), max_size=4))
def test_any_text_is_read_or_refused_in_one_sentence(items):
    try:
        values = _overrides(*items)
    except UserError as error:
        complaint = str(error)
    else:
        complaint = "--set: none"
        assert len(values) <= len(items)
    assert complaint.startswith("--set")


@given(st.text(max_size=60).filter(lambda text: text.strip() and text.strip()[0] not in "[{\"'"))
def test_text_stays_text_or_becomes_a_plain_value(text):
    value = _overrides(f"key={text}")["key"]
    if isinstance(value, str):
        assert value == text.strip()
    else:
        assert value is None or isinstance(value, (bool, int, float))


def test_deep_nesting_is_refused_not_crashed():
    with raises("set-unreadable"):
        _overrides("a=" + "[" * 50_000)


def test_a_grid_of_a_character_without_runs_is_one_sentence(main, copied):
    shutil.rmtree(copied.run)
    said = main("grid", NAME, "--data", copied.root)
    assert (said.status, said.code) == (2, "run-none-yet")
