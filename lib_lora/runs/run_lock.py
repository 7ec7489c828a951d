"""One process at a time on a run. The system itself lets go of the lock when its holder ends, also by ``kill -9``."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import explained

if TYPE_CHECKING:
    from filelock import BaseFileLock

FILE_NAME = "lock"
STOP_IT = "wait for it, or make a file named 'stop' there to end it"
_AGAIN = 0.2  # seconds between two tries
_NO_LOCKS = frozenset([errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL])


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
        patience: for so many seconds it is waited for.
        file: name of the lock. It stays in the folder; what counts is who holds it, not that it is there.

    Raises:
        UserError: another process holds it, or the lock cannot be opened.
    """
    from filelock import FileLock  # here: it takes a tenth of a second, and most commands lock nothing

    path = folder / file
    with explained(path), open(path, "ab", opener=file_permissions.opener) as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)  # or some releases of filelock would set their own
    lock = FileLock(path, mode=mode, thread_local=False)
    # asked before it is waited for: where there are no locks, the wait would be in vain
    if _is_busy(lock, path, 0) and _knows_locks(folder) and (patience <= 0 or _is_busy(lock, path, patience)):
        raise UserError(f"Another process is using {folder}; {otherwise}.", code="folder-locked", folder=folder)
    try:
        yield
    finally:
        lock.release()


def _is_busy(lock: BaseFileLock, path: Path, patience: float) -> bool:
    """Try to take the lock; it is not held either where the file system says that it knows no locks.

    Raises:
        UserError: it cannot be opened.
    """
    from filelock import Timeout

    with explained(path, "lock"):
        try:
            lock.acquire(timeout=patience, poll_interval=_AGAIN)
        except Timeout:
            return True
        except NotImplementedError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
    return False


def _knows_locks(folder: Path) -> bool:
    """Whether the folder's file system has locks, by one that nobody else can hold; true where that cannot be tried.

    filelock before 3.24 takes a file system without locks for one whose file is held, and from then on may put a
    "soft" lock in place, a file that says who holds it, which would meet the lock file that is always there.
    """
    from filelock import FileLock, Timeout

    probe = folder / f"{FILE_NAME}-{uuid.uuid4().hex}.tmp"
    try:
        with FileLock(probe).acquire(timeout=0):
            return probe.stat().st_size == 0  # a soft one says its holder
    except (Timeout, NotImplementedError):
        return False
    except OSError as error:  # of a full disk, for example
        return error.errno not in _NO_LOCKS
    finally:
        with suppress(OSError):
            probe.unlink()
