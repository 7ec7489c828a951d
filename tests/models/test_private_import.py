"""A package from a folder that nobody else in the process finds."""

import importlib
import sys
from pathlib import Path

import pytest

from lib_lora.models.private_import import private_import

PACKAGE = """
import private_two, private_three
whose = private_two.whose, private_three.whose
def later():
    from private_one.part import whose
    return whose
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The worker's packages; the webui's own has one of them too."""
    folder, own = tmp_path / "the worker's", tmp_path / "the webui's"
    files = {
        folder / "private_one" / "__init__.py": PACKAGE,
        folder / "private_one" / "part.py": "whose = 'ours'",
        folder / "private_two.py": "whose = 'ours'",
        folder / "private_three.py": "whose = 'ours'",
        own / "private_three.py": "whose = 'the webui'",
    }
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(own))
    return folder


def test_it_is_found_by_nobody_else_and_works_to_its_last_part(folder: Path) -> None:
    finders, path = [*sys.meta_path], [*sys.path]
    package = private_import("private_one", folder, lambda one: one.later(), ["private_two", "private_three"])
    assert package.whose == ("ours", "the webui")
    assert (sys.meta_path, sys.path) == (finders, path)
    assert not [name for name in sys.modules if name.startswith(("private_one", "private_two"))]
    for name in ("private_one", "private_two"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


@pytest.mark.parametrize(("name", "needs"), [("private_four", []), ("private_one", [])])
def test_what_is_not_there_or_not_asked_for_is_not_found(folder: Path, name: str, needs: list[str]) -> None:
    finders = [*sys.meta_path]
    with pytest.raises(ModuleNotFoundError):
        private_import(name, folder, lambda _: None, needs)
    assert sys.meta_path == finders
