"""Checks the page's scripts with Node: unit tests, and where their packages are installed, eslint, prettier and tsc.

Knows which programs are there and how each is called. Imports the standard library alone, so that the hook before a
commit (``python -m lib_lora.setup.page_checks``) needs no environment.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lib_lora.setup.environment import ROOT

Which = Callable[[str], str | None]
Run = Callable[[Sequence[str], Path], int]
TOOLS = {
    "eslint": ("node_modules/eslint/bin/eslint.js", ".", "--max-warnings=0"),
    "prettier": ("node_modules/prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."),
    "tsc": ("node_modules/typescript/bin/tsc", "-p", "jsconfig.json"),
}
_LOCK, _INSTALLED = "package-lock.json", "node_modules/.package-lock.json"


def _run(command: Sequence[str], folder: Path) -> int:
    return subprocess.run(command, cwd=folder, check=False).returncode


def checks(root: Path = ROOT, which: Which = shutil.which, run: Run = _run) -> tuple[dict[str, list[str]], list[str]]:
    """The commands to run, by name, and what is left out, each with its reason.

    Args:
        root: the source folder.
        which: finds a program.
        run: installs the packages where they are missing or are not those of ``package-lock.json``.
    """
    node = which("node")
    if node is None:
        return {}, ["page's scripts skipped: no Node.js (node) on this machine"]
    tests = sorted(str(path.relative_to(root)) for path in (root / "tests" / "javascript").glob("*.test.js"))
    found = {"node tests": [node, "--test", *tests]}
    why = _without_packages(root, which, run)
    if why:
        return found, [f"{', '.join(TOOLS)} skipped: {why}"]
    return found | {name: [node, *words] for name, words in TOOLS.items()}, []


def _without_packages(root: Path, which: Which, run: Run) -> str:
    """Why the packages of ``package.json`` are not there; empty where they are."""
    lock, installed = root / _LOCK, root / _INSTALLED
    if installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return ""
    npm = which("npm")
    if npm is None:
        return "no npm on this machine, and node_modules is not there or older than package-lock.json"
    failed = run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], root)
    if failed:
        return "npm ci could not install their packages; is the network there?"
    installed.touch()  # npm keeps the times of the files that it unpacks
    return ""


def run_all(root: Path = ROOT, which: Which = shutil.which, run: Run = _run) -> int:
    """Run the checks, all of them, and say what was left out; 1 where one failed.

    Args:
        root, which, run: as in `checks`.
    """
    found, skipped = checks(root, which, run)
    codes = {name: run(command, root) for name, command in found.items()}
    words = [f"{name} {'passed' if code == 0 else 'FAILED'}" for name, code in codes.items()]
    sys.stderr.write(f"== {', '.join([*words, *skipped])}\n")
    return 1 if any(codes.values()) else 0


if __name__ == "__main__":
    sys.exit(run_all())
