"""Compares releases of the libraries: those the tests last passed with, those that are out, those our bounds exclude.

``python -m lib_lora test`` says it at its end, and so does ``test --newest`` of its own set of packages; the command
that records what has passed is printed with it. A release that works never makes a run fail. What does:

- A bound of ours keeps a release away for a reason that does not speak of it.
- ``--newest`` ran in an environment that is no longer the newest, although nothing keeps the releases away.
- The tests themselves fail; then the releases that are newer than the record are named, since one of them may be why.

An upper bound in ``requirements/`` has its reason in the line above it::

    # diffusers 0.50: samplers lost their ``step``
    diffusers>=0.31,<0.50

It speaks of 0.50 and 0.50.x, so that the next release is looked at again. Bounds of tools and of the stand-in webuis,
which no user installs, may say ``0.50 and later``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import metadata
from itertools import pairwise
from pathlib import Path

from lib_lora.setup.environment import MARKER, PURPOSES, ROOT, admits, installed, normal_name, parse, requirements
from lib_lora.setup.package_installer import pip_command, plain_environment

RECORDS = {"test": "tested.txt", "newest": "tested-newest.txt"}  # by purpose, in requirements/
FRESH = 1.0  # days for which an environment counts as new: what is published while CI runs is no fault of it

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


def newer(root: Path = ROOT, there: Mapping[str, str] | None = None, purpose: str = "test") -> list[str]:
    """What is installed later than the release with which the tests last passed: ["diffusers 0.43.0 (0.42.1)"].

    Args:
        root: the source folder.
        there: the installed versions by normal name; None = this Python's.
        purpose: whose record, one of `RECORDS`.
    """
    there = installed(sys.path) if there is None else there
    lines = (root / "requirements" / RECORDS[purpose]).read_text(encoding="utf-8").splitlines()
    tested = [line.split("==") for line in lines if "==" in line]
    found = [(name, there.get(normal_name(name), version), version) for name, version in tested]
    return [f"{name} {now} ({before})" for name, now, before in found if not admits(f"<={before}", now)]


def judged(
    out: Mapping[str, str],
    root: Path = ROOT,
    there: Mapping[str, str] | None = None,
    purpose: str = "test",
    days: float = 0,
) -> tuple[list[str], list[str]]:
    """What is to be done about the releases that are out, and what is only to be known.

    Args:
        out: the latest release of each library by normal name.
        root: the source folder.
        there: the installed versions by normal name; None = this Python's.
        purpose: whose requirements, one of `RECORDS`.
        days: how old the environment is.

    Returns:
        Faults: releases that an upper bound of ours keeps away for no reason that speaks of them; of the newest set
        also those that nothing keeps away and that it still lacks, unless it is younger than `FRESH`. And notes: those
        that a reason speaks of, and those that other packages keep away.
    """
    there = installed(sys.path) if there is None else there
    why, faults, notes = reasons(root, purpose), [], []
    lines = [(line, *parse(line)) for line in requirements(purpose, root)]
    known = [(name, bounds, out.get(normal_name(name))) for _, name, bounds in lines]
    bounded = {name for name, bounds, latest in known if latest and not admits(bounds, latest)}
    for line, name, bounds in lines:
        latest, now = out.get(normal_name(name), ""), there.get(normal_name(name), "")
        if not latest:
            continue
        if not admits(bounds, latest):
            said = why.get(normal_name(name))
            if said and _speaks_of(said, latest):
                notes.append(f"{name} {latest} is out. {said[0].removeprefix('# ')}.")
            else:
                faults.append(f"{name} {latest} is out, and {line} keeps it away without a reason that speaks of it.")
        elif now and name not in bounded and not admits(f">={latest}", now):
            by = _kept_by(name, latest)
            text = f"{name} {latest} is out, {now} is here: "
            if by:
                notes.append(f"{text}kept away by {', '.join(by)}.")
            elif purpose == "newest" and days > FRESH:
                faults.append(f"{text}this environment is {days:.0f} days old; delete it and run the same again.")
            else:
                notes.append(f"{text}a new environment would have it.")
    return faults, notes


def latest(names: list[str]) -> dict[str, str] | None:
    """The latest release of each for this Python, by normal name, as pip finds it; None if pip cannot."""
    asked = [*pip_command(sys.executable), "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet"]
    asked += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--report", "-", *names]
    try:
        done = subprocess.run(
            asked, env=plain_environment(), capture_output=True, encoding="utf-8", timeout=300, check=False
        )
        found = [one["metadata"] for one in json.loads(done.stdout)["install"]]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError):
        return None
    return {normal_name(one["name"]): _public(one["version"]) for one in found}


def ask(purpose: str) -> Future[dict[str, str] | None]:
    """Begin to ask for the `latest` of all that a purpose requires; it takes seconds, in which the tests can begin."""
    thread = ThreadPoolExecutor(1)
    answer = thread.submit(latest, [*dict.fromkeys(parse(line)[0] for line in requirements(purpose))])
    thread.shutdown(wait=False)
    return answer


def check(passed: bool, out: Future[dict[str, str] | None] | None, purpose: str = "test") -> int:
    """Say at the end of the tests what is to be known of releases; 1 if something is to be done (`judged`).

    Args:
        passed: so did the tests.
        out: what `ask` gave; None = the package index was not asked.
        purpose: whose requirements and record, one of `RECORDS`.
    """
    ahead = newer(purpose=purpose)
    if ahead and passed:
        _say(f"newer than what is recorded: {', '.join(ahead)}; record: {_record(purpose, sys.executable)}")
    elif ahead:
        _say(f"newer than what last passed: {', '.join(ahead)}")
    if out is None:
        return 0
    found = out.result()
    if found is None:
        _say("pip could not say which releases are out")
        return 0
    faults, notes = judged(found, purpose=purpose, days=_days_old())
    for text in [*notes, *faults]:
        _say(text)
    return 1 if faults else 0


def recorded(purpose: str = "test") -> str:
    """The text of a purpose's record (`RECORDS`) for what is installed in this Python."""
    there = installed(sys.path)
    names = dict.fromkeys(parse(line)[0] for line in requirements(purpose))
    lines = [f"{name}=={_public(there[normal_name(name)])}" for name in names if normal_name(name) in there]
    which = "the tests of --newest" if purpose == "newest" else "all tests"
    head = f"# The releases with which {which} last passed. Written by: {_record(purpose, 'python')}"
    return "\n".join([head, *sorted(lines, key=str.lower), ""])


def _record(purpose: str, python: str) -> str:
    return f"{python} -m lib_lora.setup.releases {purpose} > requirements/{RECORDS[purpose]}"


def _days_old() -> float:
    """How long ago this environment was made; 0 where SameFace has not made it."""
    try:
        return (time.time() - (Path(sys.prefix) / MARKER).stat().st_mtime) / 86400
    except OSError:
        return 0


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
    sys.stdout.write(recorded(*sys.argv[1:2]))
