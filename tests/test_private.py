"""What lies in a data folder is its owner's alone; what other programs read, and what is not ours, is not touched."""

from __future__ import annotations

import os

import pytest

from lib_lora import file_permissions
from lib_lora.character.store import Character, create
from lib_lora.files import write_json
from lib_lora.queue.job_types import AuditArguments
from lib_lora.queue.queue import Queue

posix = pytest.mark.skipif(os.name == "nt", reason="on Windows the user's profile keeps others out; no rights are set")


@pytest.fixture(autouse=True)
def _usual(monkeypatch):
    monkeypatch.setattr(file_permissions, "_homes", set())
    if os.name != "nt":
        before = os.umask(0o022)
        yield
        os.umask(before)
    else:
        yield


def rights(path):
    return path.stat().st_mode & 0o777


@posix
def test_a_new_data_folder_is_closed_with_all_that_is_made_in_it(tmp_path):
    root = tmp_path / "outer" / "data 名前"
    file_permissions.keep(root)
    folder = create(root, Character("Mara", "mrxa", "woman"))
    write_json(folder.runs / "001" / "report.json", {})
    write_json(root / "settings.json", {})
    queue = Queue(root)
    queue.add("Mara", AuditArguments())
    assert rights(root.parent) == 0o755
    made = [root, *root.rglob("*")]
    assert len(made) > 8
    assert [str(path) for path in made if rights(path) & 0o077] == []
    write_json(folder.runs / "001" / "report.json", {"again": 1})
    assert rights(folder.runs / "001" / "report.json") == 0o600


@posix
def test_loras_are_for_others_too(tmp_path):
    file_permissions.keep(tmp_path / "data")
    for folder in (tmp_path / "data" / "loras", tmp_path / "data" / "out", tmp_path / "x"):
        path = folder / "a.json"
        write_json(path, {})
        assert (rights(path), rights(path.parent)) == (0o644, 0o755)


@posix
def test_what_an_older_version_has_left_is_closed(tmp_path):
    create(tmp_path / "data", Character("Mara", "mrxa", "woman"))
    write_json(tmp_path / "data" / "settings.json", {})
    write_json(tmp_path / "data" / "loras" / "a.json", {})
    assert rights(tmp_path / "data" / "characters") == 0o755
    file_permissions.keep(tmp_path / "data")
    closed = [tmp_path / "data", tmp_path / "data" / "characters", tmp_path / "data" / "settings.json"]
    assert [rights(path) & 0o077 for path in closed] == [0, 0, 0]
    assert rights(tmp_path / "data" / "loras" / "a.json") == 0o644


@posix
def test_a_folder_that_has_other_things_in_it_stays_open(tmp_path):
    create(tmp_path, Character("Mara", "mrxa", "woman"))
    (tmp_path / "letter.txt").write_text("of the user's")
    tmp_path.chmod(0o755)
    file_permissions.keep(tmp_path)
    assert [rights(tmp_path), rights(tmp_path / "letter.txt"), rights(tmp_path / "characters")] == [0o755, 0o644, 0o700]


@posix
def test_a_folder_of_something_else_is_not_touched(tmp_path):
    """As where --data names a project's folder by mistake."""
    for name in ("uploads", "jobs"):
        (tmp_path / name).mkdir()
    for name in ("settings.json", "index.html"):
        write_json(tmp_path / name, {})
    file_permissions.keep(tmp_path)
    assert {rights(path) & 0o044 for path in tmp_path.iterdir()} == {0o044}


@posix
def test_what_belongs_to_somebody_else_or_cannot_be_changed_stays(tmp_path, monkeypatch):
    create(tmp_path / "data", Character("Mara", "mrxa", "woman"))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    file_permissions.keep(tmp_path / "data")
    assert rights(tmp_path / "data" / "characters") == 0o755
    file_permissions.keep(tmp_path / "nowhere")


def test_outside_of_a_data_folder_nothing_changes(tmp_path):
    assert not file_permissions.is_private(tmp_path / "characters" / "x")
    file_permissions.keep(tmp_path / "data")
    closed = os.name != "nt"
    assert file_permissions.is_private(tmp_path / "data" / "characters" / "x") == closed
    assert not file_permissions.is_private(tmp_path / "database" / "characters")
    assert not file_permissions.is_private(tmp_path / "data" / "try" / "out" / "x")
