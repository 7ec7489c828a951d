"""The releases of the libraries: with which the tests last passed, which are out, and which our own bounds keep away.

``python -m lib_lora test`` asks at its end; ``python -m lib_lora.releases > requirements/tested.txt`` records what is
installed here. An upper bound in ``requirements/`` has its reason in the line above it::

    # diffusers 0.50: samplers lost their ``step``
    diffusers>=0.31,<0.50

It speaks of 0.50 and 0.50.x; of all that follow too with ``0.50 and later``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from itertools import pairwise
from pathlib import Path

from lib_lora.environment import PURPOSES, ROOT, admits, installed, normal_name, parse, requirements
from lib_lora.package_installer import plain_environment

_REASON = re.compile(r"# (?P<name>\S+) (?P<version>[0-9.]+)(?P<later> and later)?: .+")


def reasons(root: Path = ROOT, purpose: str = "test") -> dict[str, re.Match[str]]:
    """Why the lists of a purpose keep releases away, by name: what the line above an upper bound says."""
    found = {}
    for name in PURPOSES[purpose]:
        lines = (root / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        for above, line in pairwise(lines):
            said = _REASON.fullmatch(above)
            if "<" in line.split("#")[0] and said:
                found[normal_name(parse(line.split(";")[0])[0])] = said
    return found


def newer(root: Path = ROOT, there: Mapping[str, str] | None = None) -> list[str]:
    """What is installed later than the release with which the tests last passed: ["diffusers 0.43.0 (0.42.1)"].

    Args:
        root: the source folder.
        there: the installed versions by normal name; None = this Python's.
    """
    there = installed(sys.path) if there is None else there
    lines = (root / "requirements" / "tested.txt").read_text(encoding="utf-8").splitlines()
    tested = [line.split("==") for line in lines if "==" in line]
    found = [(name, there.get(normal_name(name), version), version) for name, version in tested]
    return [f"{name} {now} ({before})" for name, now, before in found if not admits(f"<={before}", now)]


def judged(
    out: Mapping[str, str], root: Path = ROOT, there: Mapping[str, str] | None = None
) -> tuple[list[str], list[str]]:
    """What is to be done about the releases that are out, and what is only to be known.

    Args:
        out: the latest release of each library by normal name.
        root: the source folder.
        there: the installed versions by normal name; None = this Python's.

    Returns:
        Faults: releases that an upper bound of ours keeps away for no reason that speaks of them. And notes: those that
        a reason speaks of, and those that other packages keep away.
    """
    there = installed(sys.path) if there is None else there
    why, faults, notes = reasons(root), [], []
    for line in requirements("test", root):
        name, bounds = parse(line)
        latest, now = out.get(normal_name(name), ""), there.get(normal_name(name), "")
        if not latest:
            continue
        if not admits(bounds, latest):
            said = why.get(normal_name(name))
            if said and _speaks_of(said, latest):
                notes.append(f"{name} {latest} is out. {said[0].removeprefix('# ')}.")
            else:
                faults.append(f"{name} {latest} is out, and {line} keeps it away without a reason that speaks of it.")
        elif now and not admits(f">={latest}", now):
            by = _kept_by(name, latest)
            said_by = f"kept away by {', '.join(by)}" if by else "a new environment would have it"
            notes.append(f"{name} {latest} is out, {now} is here: {said_by}.")
    return faults, notes


def latest(names: list[str]) -> dict[str, str] | None:
    """The latest release of each for this Python, by normal name, as pip finds it; None if pip cannot."""
    asked = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet"]
    asked += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--report", "-", *names]
    try:
        done = subprocess.run(
            asked, env=plain_environment(), capture_output=True, encoding="utf-8", timeout=300, check=False
        )
        found = [one["metadata"] for one in json.loads(done.stdout)["install"]]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return None
    return {normal_name(one["name"]): _public(one["version"]) for one in found}


def check(passed: bool, look: bool) -> int:
    """Say at the end of the tests what is to be known of releases; 1 if a bound of ours lacks a reason.

    Args:
        passed: so did the tests.
        look: ask the package index too.
    """
    ahead = newer()
    if ahead and passed:
        _say(f"newer than what is recorded: {', '.join(ahead)}; record: {_RECORD}")
    elif ahead:
        _say(f"newer than what last passed: {', '.join(ahead)}")
    if not look:
        return 0
    out = latest([*dict.fromkeys(parse(line)[0] for line in requirements("test"))])
    if out is None:
        _say("pip could not say which releases are out")
        return 0
    faults, notes = judged(out)
    for text in [*notes, *faults]:
        _say(text)
    return 1 if faults else 0


_RECORD = "python -m lib_lora.releases > requirements/tested.txt"


def recorded() -> str:
    """The text of ``requirements/tested.txt`` for what is installed in this Python."""
    there = installed(sys.path)
    names = dict.fromkeys(parse(line)[0] for line in requirements("test"))
    lines = [f"{name}=={_public(there[normal_name(name)])}" for name in names if normal_name(name) in there]
    head = f"# The releases with which all tests last passed. Written by: {_RECORD}"
    return "\n".join([head, *sorted(lines, key=str.lower), ""])


def _speaks_of(said: re.Match[str], version: str) -> bool:
    if said["later"]:
        return admits(f">={said['version']}", version)
    return admits(f"=={said['version']}.*", version)


def _kept_by(name: str, version: str) -> list[str]:
    """The installed packages that do not want this release."""
    from packaging.requirements import Requirement

    found = set()
    for one in metadata.distributions():
        for line in one.requires or ():
            wanted = Requirement(line)
            meant = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
            if meant and normal_name(wanted.name) == normal_name(name) and not wanted.specifier.contains(version):
                found.add(f"{one.metadata['Name']} ({wanted.specifier})")
    return sorted(found)


def _public(version: str) -> str:
    """Without what says how it was built: 2.13.0 for "2.13.0+cpu"."""
    return version.partition("+")[0]


def _say(text: str) -> None:
    sys.stderr.write(f"== releases: {text}\n")


if __name__ == "__main__":
    sys.stdout.write(recorded())
