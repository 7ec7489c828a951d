"""Locks a run for one process at a time; the system releases the lock when its holder ends, also by ``kill -9``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.workspace.file_lock import held

FILE_NAME = "lock"
STOP_IT = "wait for it, or make a file named 'stop' there to end it"


@contextmanager
def only_process(
    folder: Path, otherwise: str = STOP_IT, patience: float = 0.0, file: str = FILE_NAME
) -> Iterator[None]:
    """Hold the run's folder, or what another lock in it is for, while the block runs.

    Two processes that train one run would write over each other's states. Where the file system knows no locks
    (some network shares) nothing is held.

    Args:
        folder: of the run.
        otherwise: what to do where another process holds it.
        patience: seconds to wait for it.
        file: name of the lock. It stays in the folder; what counts is who holds it, not that it is there.

    Raises:
        UserError: another process holds it, or the lock cannot be opened.
    """
    with held(folder / file, patience) as is_held:
        if not is_held:
            raise UserError(f"Another process is using {folder}; {otherwise}.", code="folder-locked", folder=folder)
        yield
