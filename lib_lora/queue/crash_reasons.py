"""Explains in one sentence, from its log and exit status, why a worker ended without a result.

Pure functions.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from typing import NamedTuple

_WORDS = 300  # characters of the log that are quoted at most
_GPU = (
    "The GPU ran out of memory. Close other programs that use it, or lower the resolution, the batch size or the rank, "
    "or switch gradient_checkpointing on; then resume the job."
)
_RAM = (
    "The computer ran out of memory (RAM). Close other programs, or let the system swap more (Windows: a larger paging "
    "file); then resume the job."
)
_DISK = "The disk is full. Free some space; then resume the job."
_DRIVER = (
    "The GPU or its driver failed. Update the driver and check that torch is compatible with it; after restarting "
    "the computer, resume the job."
)
_KILLED = (
    "The worker was killed from outside, most often by the system because memory (RAM) ran out. Close other programs; "
    "then resume the job."
)
_ENDED = "The worker was ended from outside; resume the job to continue from what was saved."
_CRASHED = (
    "The worker crashed inside a library ({how}). Resume the job; if it happens again, update torch and the driver of "
    "the GPU."
)


class CrashReason(NamedTuple):
    """Why a worker ended without a result.

    Attributes:
        code: what kind of end it was, such as ``gpu-memory-full``; stays the same when the sentence is reworded.
        sentence: one or two, with what to do.
    """

    code: str
    sentence: str


WEBUI_CLOSED = CrashReason(
    "webui-closed", "SameFace was closed while this job ran; resume it to continue from what was saved."
)
_GPU_FULL = CrashReason("gpu-memory-full", _GPU)
_RAM_FULL = CrashReason("memory-full", _RAM)
_DISK_FULL = CrashReason("disk-full", _DISK)
_DRIVER_FAILED = CrashReason("gpu-driver-failed", _DRIVER)
_CAUSES = (
    (r"(cuda|hip|xpu|mps backend|gpu)\b.{0,40}out of memory", _GPU_FULL),
    (r"OutOfMemoryError|(CUBLAS|CUDNN)\w*ALLOC_FAILED|cudaErrorMemoryAllocation", _GPU_FULL),
    (r"No space left on device|not enough space on the disk|disk (quota exceeded|is full)|ENOSPC", _DISK_FULL),
    (r"^MemoryError|can't allocate memory|Cannot allocate memory|std::bad_alloc|paging file is too small", _RAM_FULL),
    (r"Unable to allocate .{0,40} for an array", _RAM_FULL),
    (r"driver version is insufficient|no kernel image is available|CUDA error|HIP error|cuDNN error", _DRIVER_FAILED),
    (r"device-side assert|illegal memory access|GPU is lost|fallen off the bus", _DRIVER_FAILED),
)
_MISSING = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")
_UNLOADABLE = re.compile(r"^(?:ImportError|OSError): .*(?:DLL load failed|cannot open shared object file).*")
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP")
_WINDOWS = {  # exit statuses that Windows gives
    0xC0000005: "access violation",
    0xC0000374: "damaged memory",
    0xC0000409: "stack check",
    0xC00000FD: "stack overflow",
    0xC000001D: "illegal instruction",
}
_WINDOWS_NO_MEMORY = (0xC0000017, 0xC000012D)
_WINDOWS_ENDED = (0xC000013A, 0x40010004)  # Ctrl+C; the session ended


def ended_from_outside(code: int) -> bool:
    """Whether an exit status says that somebody ended the process, rather than that it went wrong."""
    return code % (1 << 32) in _WINDOWS_ENDED or _signal_of(code) not in ("", *_CRASHES)


def explain(log_tail: Sequence[str], code: int) -> CrashReason:
    """What happened and what to do.

    Args:
        log_tail: the last lines of its log.
        code: its exit status; negative = the signal that ended it.
    """
    lines = [line.strip() for line in log_tail if line.strip()]
    begin = next((at for at, line in enumerate(lines) if line.startswith("Traceback (most recent")), 0)
    for line in reversed(lines[begin:]):  # before a traceback stand warnings, which may name what did no harm
        cause = _cause(line)
        if cause:
            return cause
    unsigned, by_signal = code % (1 << 32), _signal_of(code)
    if unsigned in _WINDOWS_NO_MEMORY:
        return _RAM_FULL
    if ended_from_outside(code):
        return CrashReason("worker-killed", _KILLED) if by_signal == "SIGKILL" else CrashReason("worker-ended", _ENDED)
    how = _WINDOWS.get(unsigned, by_signal)
    if how:
        return CrashReason("worker-crashed", _CRASHED.format(how=how))
    ended = "The worker ended without a result"
    if not lines:
        return CrashReason("worker-silent", f"{ended} and without a word (exit status {code}); resume the job.")
    last = f"{ended} (exit status {code}); the last line of its log is: {_quoted(lines[-1])}"
    return CrashReason("worker-failed", last)


def _cause(line: str) -> CrashReason | None:
    missing = _MISSING.search(line)
    if missing and not missing[1].startswith("lib_lora"):
        name = missing[1].split(".")[0]
        said = f"The Python package {name} is missing from the worker's Python; let the Doctor install it, then resume."
        return CrashReason("worker-package-missing", said)
    if _UNLOADABLE.search(line):
        said = f"A library cannot be loaded; let the Doctor look at the packages. It was said: {_quoted(line)}"
        return CrashReason("worker-library-broken", said)
    return next((reason for pattern, reason in _CAUSES if re.search(pattern, line, re.IGNORECASE)), None)


def _quoted(line: str) -> str:
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"


def _signal_of(code: int) -> str:
    """The name of the signal that ended a process, or ""; a shell between adds 128 to its number."""
    number = -code if -64 < code < 0 else code - 128 if 128 < code < 160 else 0
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
