"""A package from a folder that nobody else in the process finds."""

import importlib
import sys
from pathlib import Path

import pytest

from lib_lora.models.private_import import private_import


def test_a_private_import_is_found_by_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, own = tmp_path / "the worker's", tmp_path / "the webui's"
    for there, name, text in (
        (folder, "private_one", "import private_two, private_three\nwhose = private_two.whose, private_three.whose"),
        (folder, "private_two", "whose = 'ours'"),
        (folder, "private_three", "whose = 'ours'"),
        (own, "private_three", "whose = 'the webui'"),
    ):
        there.mkdir(parents=True, exist_ok=True)
        (there / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(own))
    path = [*sys.path]
    assert private_import("private_one", folder).whose == ("ours", "the webui")
    assert sys.path == path
    assert {"private_one", "private_two"}.isdisjoint(sys.modules)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("private_one")
    with pytest.raises(ModuleNotFoundError):
        private_import("private_four", folder)
    assert sys.path == path
