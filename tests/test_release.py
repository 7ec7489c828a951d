"""One version with a dated entry in the change log, and checks that are the same commands wherever they run."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

import lib_lora
from lib_lora import __main__ as entry
from lib_lora import cli
from lib_lora.setup import environment, page_checks, releases
from lib_lora.setup.environment import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "test.yml"
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"


def read(path: Any) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_newest_entry_of_the_change_log_is_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    released = [line for line in headings if line != "Unreleased"]
    version, date = re.fullmatch(r"(\S+) \((\d{4}-\d\d-\d\d)\)", released[0]).groups()
    assert version == lib_lora.__version__
    assert datetime.date.fromisoformat(date)
    assert headings.index(released[0]) <= 1


def test_the_version_is_written_once() -> None:
    """Everything else reads `lib_lora.__version__`."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'dynamic = ["version"' in pyproject
    assert 'version = { attr = "lib_lora.__version__" }' in pyproject
    assert not re.search(r"^version *= *[\"']", pyproject, re.MULTILINE)
    assert "version" not in read(ROOT / "package.json")


def _as_test_runs_them(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ran: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        ran.append(" ".join(["python", *command[1:]]))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(entry.subprocess, "run", run)
    monkeypatch.setattr(entry, "_quietly", lambda command: None)
    monkeypatch.setattr(page_checks, "checks", lambda: ({}, []))
    monkeypatch.setattr(releases, "ask", lambda purpose: None)
    monkeypatch.setattr(releases, "check", lambda passed, out: 0)
    entry._test([], False)
    return ran


def test_a_commit_is_checked_by_commands_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = read(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    commands = [hook["entry"] for hook in hooks if hook.get("types") == ["python"]]
    assert [hook["language"] for hook in hooks] == ["system"] * len(hooks)
    [of_the_page] = [hook for hook in hooks if hook["entry"] not in commands]
    assert of_the_page["entry"] == f"python -m {page_checks.__name__}"
    for path in ("javascript/tab/main.js", "tests/javascript/runs.test.js", "package-lock.json", "eslint.config.js"):
        assert re.match(of_the_page["files"], path)
        assert (ROOT / path).is_file()
    assert not re.match(of_the_page["files"], "lib_lora/files.py")
    assert set(commands) == {command for command in _as_test_runs_them(monkeypatch) if "pytest" not in command}


def test_the_workflow_runs_the_readmes_commands_on_both_systems() -> None:
    jobs = read(WORKFLOW)["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    assert {one.partition("-")[0] for one in matrix["os"]} == {"ubuntu", "windows"}
    assert {tuple(map(int, python.split("."))) for python in matrix["python"]} == set(entry.SUPPORTED)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = {
        "": "    python -m lib_lora test\n",
        " --pins": "`python -m lib_lora test --pins`",
        " --newest": "`--newest`",
    }
    for (option, words), job in zip(said.items(), ("test", "pins", "newest"), strict=True):
        assert steps(jobs[job]) == [f"python -m lib_lora test{option}"]
        assert words in readme
    for purpose, job in (("a1111", "pins"), ("newest", "newest")):
        (python,) = [step["with"]["python-version"] for step in jobs[job]["steps"] if "python" in step.get("uses", "")]
        assert tuple(map(int, python.split("."))) == environment.PYTHONS[purpose]
    assert read(WORKFLOW)[True]["schedule"]  # YAML reads `on` as a truth: what is released in a week without a push
    assert "--cov " in jobs["test"]["env"]["PYTEST_ADDOPTS"]
    assert any("setup-node" in step.get("uses", "") for step in jobs["test"]["steps"])  # for the page's scripts


def test_no_step_needs_a_certain_shell() -> None:
    for job in read(WORKFLOW)["jobs"].values():
        for command in steps(job):
            assert re.fullmatch(r"[\w ./-]+", command), command


def test_who_reports_a_fault_is_asked_for_what_the_doctor_says() -> None:
    doctor = next(field for field in read(TEMPLATES / "fault.yml")["body"] if field.get("id") == "doctor")
    assert doctor["validations"]["required"]
    assert "or copy the message that it prints instead" in " ".join(doctor["attributes"]["description"].split())
    command = re.search(r"`python -m lib_lora (\w+)`", doctor["attributes"]["description"])
    assert command[1] in cli.parsers()[1]
    page = (ROOT / "javascript" / "tab" / "doctor" / "doctor.js").read_text(encoding="utf-8")
    assert "'Copy for a report'" in page
    assert "*Copy for a report*" in doctor["attributes"]["description"]


def test_version_is_said_by_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lib_lora", "--version"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout == f"SameFace {lib_lora.__version__}\n"
