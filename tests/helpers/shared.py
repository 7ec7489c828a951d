"""What is made once in a run of the tests and then read by all its workers: toys, a finished job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock


def run_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all workers of this run of the tests have in common."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / name  # pytest-xdist's name of a worker's
    folder.mkdir(exist_ok=True)
    return folder


class Shared:
    """Folders that are made by whichever worker needs them first. Nobody may write into them afterwards.

    Args:
        root: the same folder for all workers of a run.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[Path, dict[str, tuple[int, int]]] = {}

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder `name`, filled by ``make(folder)`` if no worker has done so yet."""
        folder, done = self._root / name, self._root / f"{name}.done"
        with FileLock(self._root / f"{name}.lock"):
            if not done.exists():
                folder.mkdir()  # a worker that failed in `make` has left it, and all others fail here too
                make(folder)
                done.touch()
        self._seen.setdefault(folder, _state(folder))
        return folder

    def changed(self) -> list[str]:
        """The files that somebody has written, added or deleted since they were made."""
        found = []
        for folder, before in self._seen.items():
            now = _state(folder)
            found += [f"{folder}/{name}" for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
        return sorted(found)


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """See `Shared`; the run fails if a test has changed what others read."""
    shared = Shared(run_folder(tmp_path_factory, "shared"))
    yield shared
    assert shared.changed() == []
