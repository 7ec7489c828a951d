"""One at a time, first come first served; the lock is not reentrant."""

import collections
import functools
import threading

from modules import progress, shared


class FIFOLock:
    def __init__(self):
        self._held = False
        self._waiting = collections.deque()
        self._inner = threading.Lock()

    def acquire(self, blocking=True):
        with self._inner:
            if not self._held:
                self._held = True
                return True
            if not blocking:
                return False
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()  # whoever releases hands it over
        return True

    def release(self):
        with self._inner:
            if not self._held:
                raise RuntimeError("release unlocked lock")
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    __enter__ = acquire

    def __exit__(self, *_):
        self.release()


queue_lock = FIFOLock()


def wrap_queued_call(func):
    @functools.wraps(func)
    def inner(*args, **kwargs):
        with queue_lock:
            return func(*args, **kwargs)

    return inner


def wrap_gradio_gpu_call(func, extra_outputs=None):
    @functools.wraps(func)
    def inner(*args, **kwargs):
        task = args[0] if args and isinstance(args[0], str) and args[0].startswith("task(") else None
        if task:
            progress.add_task_to_queue(task)
        with queue_lock:
            shared.state.begin(job=task or "(unknown)")
            progress.start_task(task)
            try:
                return tuple(func(*args, **kwargs))
            finally:
                progress.finish_task(task)
                shared.state.end()

    return inner
