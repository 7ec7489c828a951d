"""Where things lie in a data folder: one place that says so, and no other."""

import os
import re
from pathlib import Path, PureWindowsPath

import pytest
from faults import raises

from lib_lora import file_permissions
from lib_lora.workspace.workspace import RunFolder, Workspace

PACKAGE = Path(__file__).parents[2] / "lib_lora"


def test_a_run_knows_its_character_and_its_data_folder(tmp_path):
    workspace = Workspace(tmp_path / "Daten ü")
    run = workspace.character("Mara Müller 名前").run("001")
    assert run.path == tmp_path / "Daten ü" / "characters" / "mara-müller-名前" / "runs" / "001"
    assert run.character == workspace.character_at("mara-müller-名前")
    assert run.workspace == workspace
    assert RunFolder.of_grid(run.grids / "003") == run
    assert run.checkpoint("mara-001", 480).name == "mara-001-000480.safetensors"


def test_only_characters_with_a_file_are_listed(tmp_path):
    workspace = Workspace(tmp_path)
    assert workspace.character_folders() == []
    for name in ("b", "a", "c"):
        workspace.character(name).path.mkdir(parents=True)
    for name in ("b", "a"):
        workspace.character(name).file.touch()
    assert workspace.character_folders() == [workspace.character("a"), workspace.character("b")]


@pytest.mark.parametrize("inside", ["characters/mara/photos/名 前.jpg", "jobs/7/pictures/0001.png", "settings.json"])
def test_names_hold_on_every_machine(tmp_path, inside):
    here, there = Workspace(tmp_path / "here"), Workspace(tmp_path / "there")
    name = here.name_of(here.root / inside)
    assert name == inside
    assert there.path_of(name) == there.root / inside


@pytest.mark.parametrize("inside", ["../models/x.ckpt", "a/../../x", "a/../x"])
def test_a_path_with_a_way_up_is_no_name(tmp_path, inside):
    workspace = Workspace(tmp_path / "data")
    path = workspace.root / inside
    assert workspace.name_of(path) == str(path)
    assert workspace.path_of(workspace.name_of(path)) == path


@pytest.mark.skipif(os.name == "nt", reason="names that Windows does not allow")
@pytest.mark.parametrize("inside", ["D:x", "a\\..\\..\\x", "\\x"])
def test_what_windows_takes_for_a_path_is_no_name(tmp_path, inside):
    workspace = Workspace(tmp_path)
    assert workspace.path_of(workspace.name_of(tmp_path / inside)) == tmp_path / inside


def test_a_file_elsewhere_keeps_its_path(tmp_path):
    workspace, elsewhere = Workspace(tmp_path / "data"), tmp_path / "models" / "base.safetensors"
    assert workspace.name_of(elsewhere) == str(elsewhere)
    assert workspace.path_of(str(elsewhere)) == elsewhere


@pytest.mark.parametrize("name", ["../secret", "characters/../../secret", "jobs\\..\\..\\secret", "C:\\secret", "D:x"])
def test_a_name_does_not_lead_out(tmp_path, name):
    with raises("name-outside-data-folder"):
        Workspace(tmp_path).path_of(name)


@pytest.mark.parametrize("name", ["/etc/x", "\\etc\\x", "D:x", "..\\x"])
def test_a_name_does_not_lead_out_on_windows(monkeypatch, name):
    monkeypatch.setattr("lib_lora.workspace.workspace.Path", PureWindowsPath)
    with raises("name-outside-data-folder"):
        Workspace(PureWindowsPath("D:\\data")).path_of(name)
    assert str(Workspace(PureWindowsPath("D:\\data")).path_of("jobs/1")) == "D:\\data\\jobs\\1"


def test_what_is_private_lies_where_the_workspace_says():
    workspace = Workspace(Path("data"))
    folders = [workspace.characters, workspace.jobs, workspace.deleted, workspace.uploads]
    folders += [workspace.remote, workspace.fleets, workspace.civitai]
    assert {folder.name for folder in folders} == set(file_permissions.FOLDERS)
    files = (workspace.queue_file, workspace.settings, workspace.hashes, workspace.bases, workspace.probes)
    files += (workspace.confirmed, workspace.places)
    assert all(file_permissions.is_ours(file.name) for file in files)


def test_what_is_open_to_others_lies_where_the_workspace_says():
    workspace = Workspace(Path("data"))
    folders = [workspace.loras, workspace.models, workspace.blip, workspace.wildcards, workspace.demo]
    assert {folder.name for folder in folders} == set(file_permissions.SHARED) - {"out"}  # that of `try` alone


def test_nobody_else_counts_folders():
    """`parents[3]` and the like are guesses about where something lies; these count within the code itself."""
    counted = re.compile(r"\.parents\[|\.parent\.parent\b")
    own_code = {"setup/environment.py", "faces/engines/opencv_engine.py", "queue/running/worker_processes.py"}
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if counted.search(path.read_text(encoding="utf-8"))
    }
    assert found - own_code == {"workspace/workspace.py"}
