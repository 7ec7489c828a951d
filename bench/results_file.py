"""Writes what a benchmark measured as JSON: the figures, and the commit, the date, the machine and the versions that
they belong to. Knows nothing of what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.machine import describe

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "bench" / "results"
_VERSIONS = ("python", "torch", "diffusers", "transformers", "peft")


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option ``--results``, for `save`."""
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="where the figures go as JSON (default: a new file in bench/results)",
    )


def save(bench: str, figures: Any, file: Path | None = None) -> Path:
    """Write the results of one call of a benchmark; its path is said on standard error.

    Args:
        bench: its name.
        figures: plain values; numbers that JSON lacks (not a number, infinite) become null, and of the folders that the
            options name only the last part stays.
        file: None = a new one in bench/results.
    """
    about = origin()
    found = {
        "bench": bench,
        "options": [_plain_word(word) for word in sys.argv[1:]],
        **about,
        "figures": _storable(figures),
    }
    now, commit = datetime.datetime.fromisoformat(about["date"]), about["commit"]
    path = file or FOLDER / f"{bench}-{now:%Y%m%d-%H%M%S}-{(commit or 'no-commit')[:10]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    print(f"Figures, with commit and machine: {path}", file=sys.stderr, flush=True)
    return path


def origin() -> dict[str, Any]:
    """Where figures come from: "commit", whether files were "changed" since, "date", "machine" and "versions"."""
    commit, changed = _commit()
    known = describe()
    return {
        "commit": commit,
        "changed": changed,
        "date": datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat(),
        "machine": {name: value for name, value in known.items() if name not in _VERSIONS},
        "versions": {name: known[name] for name in _VERSIONS},
    }


def rows(markdown: str) -> list[dict[str, str | float]]:
    """The rows of all Markdown tables in a text, by their headings; what reads as a number is one."""
    found: list[dict[str, str | float]] = []
    table: list[list[str]] = []  # its headings, the line below them, its rows
    for line in markdown.splitlines():
        if not line.startswith("|"):
            table = []
            continue
        table.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        if len(table) > 2:
            found.append({head: _number(cell) for head, cell in zip(table[0], table[-1], strict=True)})
    return found


def _number(cell: str) -> str | float:
    try:
        return float(cell)
    except ValueError:
        return cell


def _commit() -> tuple[str, bool]:
    """The commit that is checked out, and whether files that it knows were changed since, or modules added; empty
    without git."""
    try:
        commit = _git("rev-parse", "HEAD")
        added = _git("ls-files", "--others", "--exclude-standard", "--", "*.py")
        return commit, bool(added or _git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "", False


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    return done.stdout.strip()


def _plain_word(word: str) -> str:
    """An option's word without the folders of this machine."""
    return Path(word).name if Path(word).is_absolute() else word


def _without_folders(text: str) -> str:
    """A text without the folders that this machine has: that of the program, and those that the options name."""
    for word in sorted(sys.argv[1:], key=len, reverse=True):
        if Path(word).is_absolute():
            text = text.replace(word, Path(word).name)
    return text.replace(f"{ROOT}{os.sep}", "")


def _storable(value: Any) -> Any:
    """The same as JSON can hold it."""
    if isinstance(value, str):
        return _without_folders(value)
    if isinstance(value, dict):
        return {str(key): _storable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
