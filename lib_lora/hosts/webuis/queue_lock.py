"""Waits for a turn in the webui's own queue, and stops waiting when asked to.

The webui's ``queue_lock`` serves in the order of asking, but who has asked cannot take it back. So a thread asks, and
gives the lock away at once where nobody wants it any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lib_lora.errors import StoppedByUser
from lib_lora.job_host import never

POLL = 0.2  # seconds between two checks at whether it is still wanted


def take(lock: Any, give_up: Callable[[], bool] = never) -> None:
    """Wait for the lock in its own order, and hold it.

    Args:
        lock: with ``acquire(blocking)`` and ``release``, which another thread may call.
        give_up: asked while it waits.

    Raises:
        StoppedByUser: it was given up; the lock is not held.
    """
    if lock.acquire(blocking=False):
        return
    inner, here = threading.Lock(), threading.Event()
    unwanted = False

    def ask() -> None:
        lock.acquire()
        with inner:
            if unwanted:
                lock.release()
            else:
                here.set()

    threading.Thread(target=ask, name="sameface-turn", daemon=True).start()
    try:
        arrived = False
        while not arrived:
            arrived = here.wait(POLL)
            if give_up():  # also where its turn has come meanwhile
                raise StoppedByUser("Stopped while waiting for the webui's queue.", code="webui-wait-stopped")
    except BaseException:  # also what `give_up` itself raises
        with inner:
            unwanted = True
            if here.is_set():
                lock.release()
        raise


@contextmanager
def turn(lock: Any, give_up: Callable[[], bool] = never) -> Iterator[None]:
    """Hold the lock while the block runs; see `take`."""
    take(lock, give_up)
    try:
        yield
    finally:
        lock.release()
