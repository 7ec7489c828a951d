"""One command measures all figures of docs/likeness.md, and the document has what it measured. Measures nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import results_file
from bench.training.settings_study import RESULTS, read_rows
from bench.verdict import advice, real_choices
from bench.verdict import likeness_figures as figures

TABLE = "| people | grids |\n|---|---|\n| mara | 1 of 3 |\n| ines | 2 of 3 |\n"


def _plain(words: str) -> set[str]:
    """Without the folders and files of whoever gives the command."""
    some = r"--(?:work|data|lora|results) \S+|--table|GRID|\{work\}\S*"
    return set(re.sub(some, "", words).split())


def test_each_command_of_the_document_is_a_part():
    text = " ".join(figures.DOCUMENT.read_text(encoding="utf-8").split())
    named = [
        (script, _plain(words))
        for script, words in re.findall(r"`(?:cp [^`;]*; )?python (bench/[\w/]+\.py)([^`]*)`", text)
        if script != "bench/verdict/likeness_figures.py"
    ]
    commands = [(part.words[0], _plain(" ".join(part.words[1:]))) for part in figures.PARTS.values()]
    assert len(named) > 8
    for script, words in named:
        assert any(one == script and (words <= others if words else not others) for one, others in commands), script


@pytest.mark.parametrize("name", figures.PARTS)
def test_the_words_of_a_part_exist(name):
    """A script that is there, options that it knows, and what it needs before."""
    words = figures.PARTS[name].words
    if words[0] != "-m":
        script = (figures.ROOT / words[0]).read_text(encoding="utf-8")
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option}"' in script
        assert "results_file.add_option" in script
    made = figures.order([name])
    assert made[-1] == name
    assert [*figures.PARTS[name].before] == made[:-1]


def test_what_others_need_is_done_first_and_once():
    assert figures.order(["painted", "obedience", "try"]) == ["try", "clara", "painted", "obedience"]


def test_tables_that_differ_are_found():
    document = f"Text.\n\n{TABLE}\nMore.\n\n| other | table |\n|---|---|\n| never | measured |\n"
    assert figures.differing(document, {"own": TABLE}) == []
    assert figures.differing(document, {"own": TABLE.replace("1 of 3", "0 of 3")}) == [
        "own, only measured: | mara | 0 of 3 |", "own, only in the document: | mara | 1 of 3 |"
    ]  # fmt: skip
    first, second = TABLE.splitlines()[2:]
    assert figures.differing(document, {"own": TABLE.replace(f"{first}\n", "")}) == [
        f"own, only in the document: {first}"
    ]
    turned = "\n".join([*TABLE.splitlines()[:2], second, first])
    assert figures.differing(document, {"own": turned}) == ["own: another order of the rows below | people | grids |"]
    assert figures.differing(document, {"own": TABLE.replace("grids", "sets")}) == [
        "own: no table with the headings | people | sets |"
    ]


def test_what_was_not_measured_is_not_called_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr("sys.argv", ["x", "--work", str(tmp_path), "--check", "--parts", "own"])
    assert figures.main() == 1
    assert capsys.readouterr().out == "own: not measured\n"
    stored = figures.STORED / "own.md"
    (tmp_path / "own.md").write_text(stored.read_text(encoding="utf-8"), encoding="utf-8")
    assert figures.main() == 0
    assert capsys.readouterr().out == "The tables of own are those of the document.\n"


def test_a_part_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    script = tmp_path / "print.py"
    script.write_text(f"import sys\nopen({str(tmp_path / 'calls')!r}, 'a').write('x')\nprint('| a |', sys.argv[1:2])\n")
    parts = {"one": figures.Part((str(script), "{work}")), "bad": figures.Part(("-c", "raise SystemExit(3)"))}
    monkeypatch.setattr(figures, "PARTS", parts)
    assert [figures.measure("one", tmp_path) for _ in range(2)] == [True, True]
    assert (tmp_path / "calls").read_text() == "x"
    assert (tmp_path / "one.md").read_text(encoding="utf-8").startswith("| a |")
    assert not figures.measure("bad", tmp_path)
    assert not (tmp_path / "bad.md").exists()


def test_the_documents_tables_are_those_of_the_stored_parts():
    outputs = {path.stem: path.read_text(encoding="utf-8") for path in figures.STORED.glob("*.md")}
    compared = {name for name, part in figures.PARTS.items() if part.in_document}
    assert compared <= set(outputs) <= set(figures.PARTS)
    told = figures.DOCUMENT.read_text(encoding="utf-8")
    assert figures.differing(told, {name: text for name, text in outputs.items() if name in compared}) == []


@pytest.mark.parametrize("study", [advice, real_choices], ids=["advice", "choices"])
def test_the_studies_of_many_trainings_are_told_as_their_rows_stand(study, request):
    rows = read_rows(results_file.FOLDER / request.node.callspec.id / RESULTS)
    assert rows
    told, printed = figures.tables(figures.DOCUMENT.read_text(encoding="utf-8")), figures.tables(study.table(rows))
    assert printed
    for heading, lines in printed.items():
        assert set(lines) <= set(told[heading]), heading
        if "person" not in heading:  # the tables of turned heads have the rows of earlier advice too
            assert lines == told[heading]


def test_rules_that_no_training_has_met_are_named_in_the_document():
    text = " ".join(figures.DOCUMENT.read_text(encoding="utf-8").split())
    met = {row["rule"] for row in read_rows(results_file.FOLDER / "advice" / RESULTS)}
    listed = text.partition("No training here has brought about")[2].partition("So three rules")[0]
    names = {name.strip(" -.") for name in re.split(r"[;:,]| - ", listed)}
    for rule in advice.RULES:
        parts = {part.strip() for part in rule.name.split(",")}
        assert rule.name in met or parts <= names, rule.name
