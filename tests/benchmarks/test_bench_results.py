"""What a benchmark leaves behind can be told apart from what another commit or machine left."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bench import results_file


def test_figures_lie_beside_commit_date_machine_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench/some.py", "--steps", "3", "--work", str(tmp_path / "my folder")])
    said = f"See {tmp_path / 'my folder' / 'kept.png'}, painted with {results_file.ROOT / 'base.safetensors'}"
    figures = [{"seconds": 1.5, "name": "名前", "text": [said]}, (float("nan"), float("inf"))]
    file = results_file.save("some", figures, tmp_path / "r.json")
    found = json.loads(file.read_text(encoding="utf-8"))
    kept = f"See {Path('my folder', 'kept.png')}, painted with base.safetensors"
    assert found["figures"] == [{"seconds": 1.5, "name": "名前", "text": [kept]}, [None, None]]
    assert (found["bench"], found["options"]) == ("some", ["--steps", "3", "--work", "my folder"])
    assert len(found["commit"]) in (0, 40)  # none outside a clone
    assert isinstance(found["changed"], bool)
    assert datetime.datetime.fromisoformat(found["date"]).tzinfo is not None
    assert found["versions"]["python"] == platform.python_version()
    assert set(found["versions"]) == set(results_file._VERSIONS)
    assert found["machine"]["cores"] > 0
    assert not set(found["machine"]) & set(found["versions"])
    assert str(file) in capsys.readouterr().err


def test_without_a_place_it_is_a_new_file_with_the_commit_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_file, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(results_file, "_commit", lambda: ("0123456789abcdef", True))
    file = results_file.save("some", {})
    assert file.parent == tmp_path / "results"
    assert file.name.startswith("some-2")
    assert file.name.endswith("-0123456789.json")
    assert json.loads(file.read_text(encoding="utf-8"))["changed"] is True


def test_a_changed_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_file, "ROOT", tmp_path)
    assert results_file._commit() == ("", False)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("1")
    for words in (["init", "-q"], ["add", "file"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    commit, changed = results_file._commit()
    assert (len(commit), changed) == (40, False)
    (tmp_path / "added.py").write_text("")
    assert results_file._commit() == (commit, True)
    (tmp_path / "added.py").unlink()
    (tmp_path / "file").write_text("2")
    assert results_file._commit() == (commit, True)


def test_tables_are_read_by_their_headings() -> None:
    text = """Before.
| case | s/step | share |
|---|---:|---|
| a | 1.50 | 90 % |

| other |
|---|
| - |
After."""
    assert results_file.rows(text) == [{"case": "a", "s/step": 1.5, "share": "90 %"}, {"other": "-"}]
    assert results_file.rows("no table") == []


def test_the_option(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    results_file.add_option(parser)
    assert parser.parse_args([]).results is None
    assert parser.parse_args(["--results", str(tmp_path)]).results == tmp_path


FILES = sorted(results_file.FOLDER.parent.rglob("*.py"))
BENCHES = {path.stem: path for path in FILES}
# What benchmarks share, what runs several, and the parts of likeness.py, advice.py, quality.py and remote_faults.py.
PARTS = (
    "changed_photos",
    "fault_cluster",
    "fault_machines",
    "fault_nodes",
    "followed_advice",
    "likeness_figures",
    "machine",
    "plain",
    "quality_ingredients",
    "quality_people",
    "quality_pictures",
    "quality_table",
    "results_file",
    "error_rates",
    "hidden_faces",
    "spoilt_pictures",
)


def test_no_two_benchmarks_have_one_name() -> None:
    assert sorted(BENCHES) == sorted(path.stem for path in FILES)


@pytest.mark.parametrize("name", [name for name in BENCHES if name not in PARTS])
def test_every_benchmark_leaves_its_results(name: str) -> None:
    source = BENCHES[name].read_text(encoding="utf-8")
    assert source.count("results_file.add_option(") == 1
    assert source.count(f'results_file.save("{name}", ') == 1
