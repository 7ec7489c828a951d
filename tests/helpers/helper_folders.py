"""The folders whose modules the tests import by their own names alone; pyproject.toml has the same list for pytest."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
FOLDERS = [str(_HERE), *sorted({str(path.parent) for path in _HERE.glob("*/*.py")})]


def add_to_path() -> None:
    """Let this process import them."""
    sys.path[:0] = [folder for folder in FOLDERS if folder not in sys.path]
