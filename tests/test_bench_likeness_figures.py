"""One command measures all figures of docs/likeness.md, and the document has what it measured. Measures nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import likeness_figures as figures

TABLE = "| people | grids |\n|---|---|\n| mara | 1 of 3 |\n| ines | 2 of 3 |\n"


def test_each_command_of_the_document_is_a_part():
    text = " ".join(figures.DOCUMENT.read_text(encoding="utf-8").split())
    named = {
        (script, words.strip())
        for script, words in re.findall(r"`(?:cp [^`;]*; )?python (bench/\w+\.py)([^`]*)`", text)
        if script != "bench/likeness_figures.py"
    }
    commands = [" ".join(part.words) for part in figures.PARTS.values()]
    assert len(named) > 8
    for script, words in named:
        plain = re.sub(r" ?--work DIR| ?--data DIR| ?--table|GRID| ?--lora clara.safetensors", "", words).strip()
        assert any(one.startswith(script) and plain in one for one in commands), (script, words)


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


def test_a_row_that_was_measured_otherwise_is_found():
    document = f"Text.\n\n{TABLE}\nMore.\n\n| other | table |\n|---|---|\n| never | measured |\n"
    assert figures.differing(document, [TABLE]) == []
    assert figures.differing(document, [TABLE.replace("1 of 3", "0 of 3")]) == ["| mara | 1 of 3 |"]
    assert figures.differing(document, []) == []


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
    assert set(outputs) <= set(figures.PARTS)
    assert {"simulate", "own", "photos", "hidden", "choosing", "combining", "broken"} <= set(outputs)
    assert figures.differing(figures.DOCUMENT.read_text(encoding="utf-8"), [*outputs.values()]) == []
