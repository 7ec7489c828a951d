"""Which tests the run on A1111's exact versions repeats: ``--pins`` leaves out what those versions cannot change.

What a library does differently shows in the modules that call it. So a test is repeated

- if its module or a fixture that it uses imports a package that ``requirements/a1111.txt`` holds to a version, or one
  of our modules that imports such a package itself;
- unless it is of ``bench`` or ``tools``, which need the newest versions only, or is marked with ``once`` and a reason.

Tests make pictures and numbers with Pillow and NumPy whatever they test: these two count only in our own modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from import_graph import ImportGraph

ROOT = Path(__file__).resolve().parents[2]
# Where a package and its module have different names.
MODULES = {"pillow": "PIL", "opencv-python-headless": "cv2", "open-clip-torch": "open_clip"}
# Their fixtures hold for every test, and are not what is tested.
EVERYWHERE = {ROOT / "tests" / "conftest.py", ROOT / "tests" / "helpers" / "faces_once.py"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pins", action="store_true", help="leave out the tests that A1111's versions cannot change")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--pins"):
        return
    kept = [again(item) for item in items]
    config.hook.pytest_deselected(items=[item for item, stays in zip(items, kept, strict=True) if not stays])
    items[:] = [item for item, stays in zip(items, kept, strict=True) if stays]


def again(item: pytest.Item) -> bool:
    """Whether a test is run on the pinned versions too."""
    if any(item.iter_markers("once")):
        return False
    return not of_tools(item.path) and any(touches(path) for path in {item.path, *_fixture_files(item)})


def _fixture_files(item: pytest.Item) -> Iterator[Path]:
    """Where the fixtures of a test are defined, those of our own."""
    info = getattr(item, "_fixtureinfo", None)
    for definitions in info.name2fixturedefs.values() if info else ():
        if path := _our_own(definitions[-1].func.__code__.co_filename):
            yield path


@cache
def _our_own(file: str) -> Path | None:
    """The path of a file of our fixtures that count; cached, since thousands of tests have the same ones."""
    path = Path(file)
    return path if path.is_relative_to(ROOT / "tests") and path not in EVERYWHERE else None


@cache
def of_tools(path: Path) -> bool:
    """Whether a test is of what comes beside the program."""
    return any(name.split(".")[0] in ("bench", "tools") for name in _graph().of_tests(path))


@cache
def touches(path: Path) -> bool:
    """Whether a file of the tests, or a module of ours that it imports, imports any of the `pinned` modules."""
    names = _graph().of_tests(path)
    itself = {name.split(".")[0] for name in names} - {"PIL", "numpy"}
    through = {inner.split(".")[0] for name in names for inner in _graph().of_module(name)}
    return not (itself | through).isdisjoint(pinned())


@cache
def _graph() -> ImportGraph:
    return ImportGraph(ROOT, ("lib_lora",), ("tests/helpers", "tests/hosts/standin"))


@cache
def pinned() -> frozenset[str]:
    """The modules of the packages that the list holds to one version, or below one."""
    found = set()
    for line in (ROOT / "requirements" / "a1111.txt").read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        name = text.replace("<", "=").split("=")[0].rstrip(">").lower()
        if "==" in text or "<" in text:
            found.add(MODULES.get(name, name.replace("-", "_")))
    return frozenset(found)
