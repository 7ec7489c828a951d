"""Checks the Python that trains and its packages, and finds the command that installs what is missing."""

from __future__ import annotations

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lib_lora.hosts.host_protocol import Host
from lib_lora.queue.runners.local_runner import worker_command, worker_environment
from lib_lora.setup import environment, packages
from lib_lora.ui.views import machine
from lib_lora.ui.views.doctor.check_result import CheckResult
from lib_lora.ui.views.doctor.check_texts import LOST, SKIPPED, TYPE, result

PYTHON, _PACKAGES = "Python that trains", "Packages"


def python(host: Host, root: Path) -> Iterator[CheckResult]:
    """Whether the Python that trains runs, and has what it needs.

    Raises:
        UserError: it does not run.
    """
    words, variables = worker_command(host, root), worker_environment(host, root)
    own = Path(words[0]) == Path(sys.executable)
    version, absent = machine.lacks(words, variables)
    yield result(PYTHON, "python-runs", version=version, program=words[0])
    note = packages.note() if own else ""
    if not absent:
        yield result(_PACKAGES, "packages-installed")
        if note:
            yield result("Last installation", "installation-failed", problem=note)
    elif own:
        yield _missing(host, absent, note)
    else:
        command = quoted(words[0], "-m", "pip", "install", *_lines(absent))
        yield result(_PACKAGES, "packages-missing-elsewhere", packages=absent, command=command)


def _missing(host: Host, absent: list[str], note: str) -> CheckResult:
    """What the Python that SameFace runs in lacks, with the last reason, and what installs it."""
    code = "packages-not-installed" if note else "packages-missing"
    if host.name == "alone":
        return result(_PACKAGES, code, TYPE, packages=absent, problem=note, command=_install_command(absent))
    names = {environment.parse(line)[0] for line in environment.requirements("worker")}
    if lost := sorted({*absent} - names):
        return result(_PACKAGES, code, LOST, packages=absent, problem=note, lost=lost)
    command = quoted(sys.executable, str(environment.ROOT / "install.py"))
    return result(_PACKAGES, code, SKIPPED, packages=absent, problem=note, command=command)


def _install_command(absent: list[str]) -> str:
    if environment.SOURCE:
        return "python -m lib_lora try"
    pip = [sys.executable, "-m", "pip", "install"]
    if importlib.util.find_spec("pip") is None:  # as in what uv makes
        pip = ["uv", "pip", "install", "--python", sys.executable]
    return quoted(*pip, *_lines(absent))


def _lines(names: list[str]) -> list[str]:
    """The requirement lines of these packages: for the user's own Python, the newest versions that fit."""
    return [line for line in environment.needed() if environment.parse(line)[0] in names]


def quoted(*words: str, system: str = os.name) -> str:
    """A command as this system's shell reads it."""
    if system != "nt":
        return shlex.join(words)
    # list2cmdline quotes for programs; to the shells of Windows, a bare > in "torch>=2.1" names a file to write
    return " ".join(f'"{word}"' if set(word) & set("<>|&^") else subprocess.list2cmdline([word]) for word in words)
