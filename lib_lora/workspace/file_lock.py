"""Holds a file as a lock; the system releases it when its holder ends, also by ``kill -9``."""

from __future__ import annotations

import errno
import os
import stat
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora import file_permissions
from lib_lora.files import explained

if TYPE_CHECKING:
    from filelock import BaseFileLock

_POLL = 0.2  # seconds between two tries
_NO_LOCKS = frozenset([errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL])
_RENEWALS = 20  # times that a lock may vanish just as it is taken


@contextmanager
def held(path: Path, patience: float = 0.0, remove: bool = False) -> Iterator[bool]:
    """Hold a lock while the block runs, and give whether it is held; nobody else in the whole system holds it then.

    Where the file system knows no locks (some network shares) nothing is held, and True is given.

    Args:
        path: of the lock, whose folder is there.
        patience: seconds to wait for it.
        remove: delete it afterwards; else it stays, which means nothing.

    Raises:
        UserError: it cannot be opened.
    """
    lock = _taken(path, patience)
    if lock is None:
        yield False
        return
    try:
        yield True
    finally:
        if remove and sys.platform != "win32":  # while it is held; whoever opened it meanwhile sees that it is gone
            with suppress(OSError):
                path.unlink()
        lock.release()
        if remove and sys.platform == "win32":  # where it cannot be deleted while somebody has it open
            with suppress(OSError):
                path.unlink()


def _taken(path: Path, patience: float) -> BaseFileLock | None:
    """The lock once it is held, or where there are no locks; None = another one holds it."""
    from filelock import FileLock  # here: it takes a tenth of a second, and most commands lock nothing

    for _ in range(_RENEWALS):
        with explained(path), open(path, "ab", opener=file_permissions.opener) as stream:
            before = os.fstat(stream.fileno())
        mode = stat.S_IMODE(before.st_mode)  # or some releases of filelock would set their own
        lock = FileLock(path, mode=mode, thread_local=False)
        # asked before it is awaited: where there are no locks, the wait would be in vain
        if _is_busy(lock, path, 0) and _knows_locks(path.parent) and (patience <= 0 or _is_busy(lock, path, patience)):
            return None
        with suppress(OSError):
            if not lock.is_locked or os.path.samestat(before, path.stat()):
                return lock
        lock.release()  # its last holder has deleted it: what is held is not what others will see
    return None


def _is_busy(lock: BaseFileLock, path: Path, patience: float) -> bool:
    """Try to take the lock; it is not held either where the file system says that it knows no locks.

    Raises:
        UserError: it cannot be opened.
    """
    from filelock import Timeout

    with explained(path, "lock"):
        try:
            lock.acquire(timeout=patience, poll_interval=_POLL)
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

    probe = folder / f"lock-{uuid.uuid4().hex}.tmp"
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
