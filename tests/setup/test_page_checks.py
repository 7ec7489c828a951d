"""Which checks of the page's scripts are run where Node, npm and their packages are, and where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lib_lora.setup import page_checks


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source folder with two test files."""
    (tmp_path / "tests" / "javascript").mkdir(parents=True)
    for name in ("a.test.js", "b.test.js", "helper.js"):
        (tmp_path / "tests" / "javascript" / name).write_text("")
    (tmp_path / "package-lock.json").write_text("{}")
    return tmp_path


def installing(root: Path, code: int = 0) -> tuple[list[list[str]], page_checks.Run]:
    """What was run, and a function that runs it."""
    asked: list[list[str]] = []

    def run(command, folder: Path) -> int:
        assert folder == root
        asked.append(list(command))
        if code == 0:
            (root / "node_modules").mkdir(exist_ok=True)
            (root / "node_modules" / ".package-lock.json").write_text("{}")
            os.utime(root / "node_modules" / ".package-lock.json", (0, 0))
        return code

    return asked, run


def test_without_node_nothing_runs_and_that_is_said(root: Path) -> None:
    asked, run = installing(root)
    assert page_checks.checks(root, lambda name: None, run) == (
        {},
        ["page's scripts skipped: no Node.js (node) on this machine"],
    )
    assert asked == []


def test_packages_are_installed_once(root: Path) -> None:
    asked, run = installing(root)
    for _ in range(2):
        found, skipped = page_checks.checks(root, lambda name: f"/bin/{name}", run)
        assert list(found) == ["node tests", "eslint", "prettier", "tsc"]
        assert found["node tests"][2:] == [str(Path("tests/javascript") / name) for name in ("a.test.js", "b.test.js")]
        assert all(command[0] == "/bin/node" for command in found.values())
        assert skipped == []
    assert [command[:2] for command in asked] == [["/bin/npm", "ci"]]


def test_newer_requirements_are_installed_again(root: Path) -> None:
    asked, run = installing(root)
    page_checks.checks(root, lambda name: f"/bin/{name}", run)
    os.utime(root / "package-lock.json", (2e9, 2e9))
    page_checks.checks(root, lambda name: f"/bin/{name}", run)
    assert len(asked) == 2


@pytest.mark.parametrize(("failing", "code"), [("none", 0), ("eslint", 1)])
def test_all_are_run_whatever_the_first_says(root: Path, capsys, failing: str, code: int) -> None:
    asked, install = installing(root)

    def run(command, folder: Path) -> int:
        install(command, folder)
        return int(failing in "".join(command))

    assert page_checks.run_all(root, lambda name: f"/bin/{name}", run) == code
    assert len(asked) == 5  # with npm ci
    assert f"eslint {'FAILED' if code else 'passed'}, prettier passed, tsc passed" in capsys.readouterr().err


def test_without_node_a_commit_passes_and_says_so(root: Path, capsys) -> None:
    _, run = installing(root)
    assert page_checks.run_all(root, lambda name: None, run) == 0
    assert "skipped: no Node.js" in capsys.readouterr().err


@pytest.mark.parametrize(("npm", "why"), [("", "no npm on this machine"), ("/bin/npm", "npm ci could not install")])
def test_without_packages_the_unit_tests_run_all_the_same(root: Path, npm: str, why: str) -> None:
    asked, run = installing(root, code=1)
    found, [skipped] = page_checks.checks(root, {"node": "/bin/node", "npm": npm or None}.get, run)
    assert list(found) == ["node tests"]
    assert skipped.startswith("eslint, prettier, tsc skipped: ")
    assert why in skipped
    assert len(asked) == bool(npm)


def test_the_tools_are_where_their_packages_have_them() -> None:
    installed = page_checks.ROOT / "node_modules"
    if not installed.is_dir():
        pytest.skip("needs node_modules; npm ci makes it")
    for tool, *_ in page_checks.TOOLS.values():
        assert (page_checks.ROOT / tool).is_file(), tool
