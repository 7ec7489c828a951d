"""Root's right to pass over the modes of files, given up for a while, so that tests of read-only folders see them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

import pytest

_DAC_OVERRIDE, _DAC_READ_SEARCH, _FOWNER = 1, 2, 3  # capabilities(7)
_GIVEN_UP = 1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH | 1 << _FOWNER
_SET_SECUREBITS, _GET_SECUREBITS, _NOROOT = 28, 27, 1  # prctl(2): a program that root starts gets no capabilities
_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this thread


@contextlib.contextmanager
def without_override() -> Iterator[None]:
    """The modes of files bind this thread and the processes that it starts, although they are root's; nothing changes
    for anybody else. The test is skipped where root may not do that (CAP_SETPCAP is missing), and where it is another
    system's root.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root passes over the modes of files, and only Linux lets it give that up")
    libc = ctypes.CDLL(None, use_errno=True)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: of the first 32 capabilities, then of the rest
    _done(libc.capget(_HEADER, sets))
    effective, bits = sets[0], _done(libc.prctl(_GET_SECUREBITS))
    try:
        _done(libc.prctl(_SET_SECUREBITS, bits | _NOROOT))
    except PermissionError:
        pytest.skip("root lacks CAP_SETPCAP, so it cannot give up passing over the modes of files")
    sets[0] = effective & ~_GIVEN_UP
    _done(libc.capset(_HEADER, sets))
    try:
        yield
    finally:
        sets[0] = effective
        _done(libc.capset(_HEADER, sets))
        _done(libc.prctl(_SET_SECUREBITS, bits))


def _done(answer: int) -> int:
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer
