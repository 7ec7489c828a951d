"""One process at a time on a run. The system itself lets go of the lock when its holder ends, also by ``kill -9``."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import explained

FILE_NAME = "lock"
STOP_IT = "wait for it, or make a file named 'stop' there to end it"
_AGAIN = 0.2  # seconds between two tries
_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK, errno.EWOULDBLOCK}  # each system has its own


@contextmanager
def only_process(folder: Path, otherwise: str = STOP_IT, patience: float = 0.0) -> Iterator[None]:
    """Hold the run's folder while the block runs.

    Two processes that train one run would write over each other's states. Where the file system knows no locks
    (some network shares) nothing is held.

    Args:
        folder: of the run. A file named ``lock`` stays in it; what counts is who holds it, not that it is there.
        otherwise: what to do where another process holds it.
        patience: for so many seconds it is waited for.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    path = folder / FILE_NAME
    with explained(path):
        stream = open(path, "ab", opener=file_permissions.opener)  # noqa: SIM115 - closed by the with below, after the block
    with stream:
        until = time.monotonic() + patience
        while (busy := _taken(stream.fileno())) and time.monotonic() < until:
            time.sleep(_AGAIN)
        if busy:
            raise UserError(
                f"Another process is at work on {folder}; {otherwise}.", code="folder-locked", folder=folder
            ) from busy
        yield  # closing the file gives the lock back


def _taken(handle: int) -> OSError | None:
    """Lock a file; what the system says where another process holds it."""
    try:
        _lock(handle)
    except OSError as error:
        return error if error.errno in _BUSY else None
    return None


if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
