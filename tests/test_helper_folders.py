"""Pytest and mypy find the tests' helpers in the same folders as the processes that tests start."""

import re
from pathlib import Path

import pytest
from helper_folders import FOLDERS

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("setting", ["pythonpath", "mypy_path"])
def test_the_project_names_every_folder_of_helpers(setting):
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (line,) = re.findall(rf"^{setting} = .*$", text, re.MULTILINE)
    assert [str(ROOT / name) for name in re.findall(r'"([^"]+)"', line) if name != "."] == FOLDERS


def test_no_two_helpers_have_one_name():
    names = [path.stem for folder in FOLDERS for path in Path(folder).glob("*.py")]
    assert len(names) > 40
    assert sorted(set(names)) == sorted(names)
