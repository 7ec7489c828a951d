"""Lets standard output lose its reader (`sameface audit NAME | head`) without ending the work."""

from __future__ import annotations

import io
import os
import sys


class Outliving(io.RawIOBase):
    """Passes bytes on; once nobody reads them, they go to nowhere.

    Args:
        stream: the buffered stream of a file or pipe.
    """

    def __init__(self, stream: io.BufferedWriter) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, data) -> int:  # type: ignore[no-untyped-def]  # a buffer, which Python 3.10 has no type for
        try:
            self._stream.write(data)
            self._stream.flush()
        except OSError:  # BrokenPipeError; Windows says EINVAL
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # also for what is still in the buffer
            os.close(nowhere)
        return len(data)


def outlive_readers() -> None:
    """Make this process's standard output and error such streams; those that a test has put there stay as they are."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        buffer = getattr(stream, "buffer", None)
        if isinstance(buffer, io.FileIO):  # with PYTHONUNBUFFERED
            buffer = io.BufferedWriter(buffer)
        if type(stream) is not io.TextIOWrapper or not isinstance(buffer, io.BufferedWriter):
            continue
        stream.flush()
        raw = io.BufferedWriter(Outliving(buffer))
        made = io.TextIOWrapper(raw, stream.encoding, stream.errors, line_buffering=True, write_through=True)
        setattr(sys, name, made)
