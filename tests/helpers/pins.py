"""Which tests the run on A1111's exact versions repeats: ``--pins`` leaves out what those versions cannot change.

What a library does differently shows in the modules that call it. So a test is repeated

- if its module or a fixture that it uses imports a package that ``requirements/a1111.txt`` holds to a version, or one
  of our modules that imports such a package itself;
- unless it is of ``bench`` or ``tools``, which need the newest versions only, or is marked with ``once`` and a reason.

Tests make pictures and numbers with Pillow and NumPy whatever they test: these two count only in our own modules.

A file of which nothing can be repeated is not even imported. All this is found out once and told to the workers.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from helper_folders import FOLDERS
from import_graph import ImportGraph, last_name

ROOT = Path(__file__).resolve().parents[2]
# Where a package and its module have different names.
MODULES = {"pillow": "PIL", "opencv-python-headless": "cv2", "open-clip-torch": "open_clip"}
# Their fixtures hold for every test, and are not what is tested.
EVERYWHERE = {ROOT / "tests" / "conftest.py", ROOT / "tests" / "helpers" / "pictures" / "faces_once.py"}

_LEFT_OUT = pytest.StashKey[list[str]]()
_ANY = "?"  # a fixture whose name the source does not tell
_TOLD: dict[str, list[str]] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pins", action="store_true", help="leave out the tests that A1111's versions cannot change")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist which files it need not import, and which libraries the others meet."""
    if node.config.getoption("--pins"):
        node.workerinput["pins"] = node.config.stash[_LEFT_OUT], _known()


def pytest_configure(config: pytest.Config) -> None:
    told = getattr(config, "workerinput", {}).get("pins")
    if told:
        config.stash[_LEFT_OUT], known = told
        _TOLD.update(known)
    elif config.getoption("--pins"):
        named = config.args_source is pytest.Config.ArgsSource.ARGS  # who names a file wants to be told of its tests
        config.stash[_LEFT_OUT] = [] if named else [str(path) for path in left_out()]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if str(collection_path) in config.stash.get(_LEFT_OUT, ()) else None


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


def left_out() -> list[Path]:
    """The files of which no test is run on the pinned versions, whatever fixture it uses."""
    tests = {path: _parse(path) for path in sorted((ROOT / "tests").rglob("test_*.py"))}
    names, folders = _meeting_fixtures()

    def may_meet(path: Path, tree: ast.Module) -> bool:
        return touches(path) or not folders.isdisjoint(path.parents) or not names.isdisjoint(_asked(tree))

    return [path for path, tree in tests.items() if of_tools(path) or _once(tree) or not may_meet(path, tree)]


def _meeting_fixtures() -> tuple[set[str], set[Path]]:
    """The fixtures of conftest files and helpers that meet a pinned package, themselves or through another; and the
    folders whose tests all use one."""
    helpers = {path for path in (ROOT / "tests").rglob("*.py") if not path.name.startswith("test_")} - EVERYWHERE
    fixtures = [(path, node) for path in helpers for node in _functions(_parse(path)) if _fixture(node)]
    names = {node.name for path, node in fixtures if touches(path)}
    while more := {node.name for _, node in fixtures if not names.isdisjoint(_arguments(node))} - names:
        names |= more
    return names | {_ANY}, {
        path.parent for path, node in fixtures if node.name in names and "autouse=True" in _fixture(node)
    }


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _arguments(node: ast.FunctionDef) -> set[str]:
    return {one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}


def _fixture(node: ast.FunctionDef) -> str:
    """The decorator that makes a function a fixture, as source; empty where none does."""
    return next((text for one in node.decorator_list if "fixture" in (text := ast.unparse(one))), "")


def _once(tree: ast.Module) -> bool:
    """Whether all tests of a file are marked."""
    marks = (ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign))
    return any(text.startswith("pytestmark = ") and "pytest.mark.once(" in text for text in marks)


def _asked(tree: ast.Module) -> Iterator[str]:
    """The names of the fixtures that a file's tests and fixtures use: as arguments, and as texts in calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (node.name.startswith("test") or _fixture(node)):
            yield from _arguments(node)
        elif isinstance(node, ast.Call) and last_name(node.func) in ("usefixtures", "getfixturevalue"):
            yield from (str(one.value) if isinstance(one, ast.Constant) else _ANY for one in node.args)


def _known() -> dict[str, list[str]]:
    """What the workers would find out anew: `touches` and `of_tools` for each file of the tests."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    return {
        "touches": [str(path) for path in files if touches(path)],
        "of_tools": [str(path) for path in files if of_tools(path)],
    }


@cache
def of_tools(path: Path) -> bool:
    """Whether a test is of what comes beside the program."""
    if _TOLD and path.is_relative_to(ROOT / "tests"):
        return str(path) in _TOLD["of_tools"]
    return any(name.split(".")[0] in ("bench", "tools") for name in _graph().of_tests(path))


@cache
def touches(path: Path) -> bool:
    """Whether a file of the tests, or a module of ours that it imports, imports any of the `pinned` modules."""
    if _TOLD and path.is_relative_to(ROOT / "tests"):
        return str(path) in _TOLD["touches"]
    names = _graph().of_tests(path)
    itself = {name.split(".")[0] for name in names} - {"PIL", "numpy"}
    through = {inner.split(".")[0] for name in names for inner in _graph().of_module(name)}
    return not (itself | through).isdisjoint(pinned())


@cache
def _graph() -> ImportGraph:
    return ImportGraph(ROOT, ("lib_lora",), (*FOLDERS, "tests/hosts/standin"))


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
