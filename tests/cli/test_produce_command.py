"""The commands about many pictures, on a model that has learnt nothing; tests/workflows/produce has what they do."""

import json

import pytest
from job_fixtures import NAME


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "Prompts ü.csv"
    path.write_text("prompt;size\nin a café, {red|blue} coat;64x64\nat the sea;64x72\n", encoding="utf-8")
    return path


def test_pictures_are_painted_judged_listed_and_not_painted_twice(main, copied, prompts, tmp_path):
    data = ("--data", copied.root)
    words = ("produce", NAME, "--prompts", prompts, "--count", 3, "--tries", 2, "--grid-steps", 1)
    made = main(*words, "--json", *data)
    values = json.loads(made.out)
    assert made.status == 1  # a model that has learnt nothing paints no face
    assert (values["kept"], values["given_up"], values["painted"], values["wanted"]) == (0, 3, 6, 3)
    assert values["reasons"] == [["no face", 6]]
    pictures = sorted((copied.root / "characters").rglob("productions/001/pictures/*.png"))
    assert [path.name for path in pictures] == [f"0000{n}-0{tries}.png" for n in (1, 2, 3) for tries in (1, 2)]
    before = [path.stat().st_mtime_ns for path in pictures]
    again = main(*words, "--json", *data)
    assert json.loads(again.out)["painted"] == 6
    assert [path.stat().st_mtime_ns for path in pictures] == before
    assert "0 of 3" in main("productions", NAME, *data).out
    shown = main("productions", NAME, 1, *data)
    assert "Why others failed: no face 6." in shown.out
    assert (pictures[0].parents[1] / "production.html").is_file()
    none = main("productions", NAME, "--export", tmp_path / "out", *data)
    assert (none.status, none.code) == (2, "production-empty")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--prompts", "missing.txt"), "file-missing"),
        (("--run", "009"), "run-not-found"),
        (("--step", "7"), "checkpoint-not-found"),
        (("--side", "100"), "side-invalid"),
        (("--on", "ssh:nowhere"), "place-not-found"),
    ],
)
def test_what_cannot_be_is_one_sentence(main, copied, prompts, words, code):
    given = words if "--prompts" in words else ("--prompts", prompts, *words)
    said = main("produce", NAME, *given, "--data", copied.root)
    assert (said.status, said.code) == (2, code)
    assert not list((copied.root / "characters").rglob("productions/*/pictures/*"))


def test_a_wildcard_that_is_not_there_is_said_before_anything_is_made(main, copied, tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("in __places__", encoding="utf-8")
    said = main("produce", NAME, "--prompts", path, "--data", copied.root)
    assert (said.status, said.code) == (2, "wildcard-unknown")
    assert not list((copied.root / "characters").rglob("productions"))


def test_there_is_none_yet(main, copied):
    assert main("productions", NAME, "--data", copied.root).out == f"No pictures of {NAME} have been produced yet.\n"
    assert main("productions", NAME, 3, "--data", copied.root).code == "production-not-found"
