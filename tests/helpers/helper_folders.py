"""The folders whose modules the tests import by their own names alone; pyproject.toml has the same list for pytest."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent
FOLDERS = [str(_HERE), *sorted(str(path) for path in _HERE.iterdir() if path.is_dir() and path.name != "__pycache__")]
