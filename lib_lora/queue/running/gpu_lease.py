"""Lends the host's GPU to one job: asks for it, waits, holds it and gives it back.

Imports nothing heavy.
"""

from __future__ import annotations

import logging
import threading

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.job_host import JobHost
from lib_lora.queue.running.timing import Clock

_log = logging.getLogger(__name__)


class GpuLease:
    """Takes the GPU in a thread of its own, which also gives it back: who waits for it can still be stopped.

    Args:
        host: whose GPU it is.
        allow_painting: see `JobHost.gpu_session`.
        before: an earlier turn, which may still be waiting in vain; this one comes after it.

    Attributes:
        error: one sentence where it could not be had, or not be given back in order.
        allow_painting: as it was when the GPU was taken.
    """

    def __init__(self, host: JobHost, allow_painting: bool, before: GpuLease | None) -> None:
        self.error = ""
        self._host, self.allow_painting = host, allow_painting
        self._before = before
        self._answered = threading.Event()  # it is held, or cannot be had
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._hold, name="sameface-gpu", daemon=True)
        self._thread.start()

    def wait(self, timeout: float, clock: Clock) -> bool:
        """Wait until the GPU is held, or cannot be had (`error`); False where neither came within `timeout` seconds."""
        return clock.wait(self._answered, timeout)

    @property
    def held(self) -> bool:
        """Whether the host is kept from painting by it."""
        return self._answered.is_set() and not self._over.is_set() and not self.error and not self.allow_painting

    def leave(self) -> None:
        """Give it back, and wait until that is done. Where it was not held yet, it is not taken any more."""
        self._over.set()
        if self._answered.is_set():
            self._thread.join()

    def _hold(self) -> None:
        if self._before is not None:
            self._before._thread.join()
            self._before = None
        if self._over.is_set():
            return
        try:
            with self._host.gpu_session(self.allow_painting, self._over.is_set):
                self._answered.set()
                self._over.wait()
        except StoppedByUser:
            pass  # nobody waits for it any more
        except UserError as error:
            self.error = str(error)
        except Exception as error:
            given = "take its model back" if self._over.is_set() else "give its GPU away"
            _log.exception("SameFace: the webui could not %s", given)
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            self.error = f"The webui could not {given} ({reason}); restart the webui."
        finally:
            self._answered.set()
