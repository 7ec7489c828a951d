"""Explains in one sentence, from its log and exit status, why a worker ended without a result. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

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
    "The GPU or its driver failed. Update the driver and see that the installed torch fits it; after a restart of the "
    "computer resume the job."
)
_KILLED = (
    "The worker was killed from outside, most often by the system because memory (RAM) ran out. Close other programs; "
    "then resume the job."
)
_ENDED = "The worker was ended from outside; resume the job to go on from what was saved."
_CRASHED = (
    "The worker crashed inside a library ({how}). Resume the job; if it happens again, update torch and the driver of "
    "the GPU."
)
_CAUSES = (
    (r"(cuda|hip|xpu|mps backend|gpu)\b.{0,40}out of memory", _GPU),
    (r"OutOfMemoryError|(CUBLAS|CUDNN)\w*ALLOC_FAILED|cudaErrorMemoryAllocation", _GPU),
    (r"No space left on device|not enough space on the disk|disk (quota exceeded|is full)|ENOSPC", _DISK),
    (r"^MemoryError|can't allocate memory|Cannot allocate memory|std::bad_alloc|paging file is too small", _RAM),
    (r"Unable to allocate .{0,40} for an array", _RAM),
    (r"driver version is insufficient|no kernel image is available|CUDA error|HIP error|cuDNN error", _DRIVER),
    (r"device-side assert|illegal memory access|GPU is lost|fallen off the bus", _DRIVER),
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


def explain(log_tail: Sequence[str], code: int) -> str:
    """What happened and what to do, in one sentence or two.

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
        return _RAM
    if ended_from_outside(code):
        return _KILLED if by_signal == "SIGKILL" else _ENDED
    how = _WINDOWS.get(unsigned, by_signal)
    if how:
        return _CRASHED.format(how=how)
    if not lines:
        return f"The worker ended without a result and without a word (exit status {code}); resume the job."
    return f"The worker ended without a result (exit status {code}); the last line of its log is: {_quoted(lines[-1])}"


def _cause(line: str) -> str | None:
    missing = _MISSING.search(line)
    if missing and not missing[1].startswith("lib_lora"):
        name = missing[1].split(".")[0]
        return f"The Python package {name} is missing from the worker's Python; let the Doctor install it, then resume."
    if _UNLOADABLE.search(line):
        return f"A library cannot be loaded; let the Doctor look at the packages. It was said: {_quoted(line)}"
    return next((text for pattern, text in _CAUSES if re.search(pattern, line, re.IGNORECASE)), None)


def _quoted(line: str) -> str:
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"


def _signal_of(code: int) -> str:
    """The name of the signal that ended a process, or ""; a shell between adds 128 to its number."""
    number = -code if -64 < code < 0 else code - 128 if 128 < code < 160 else 0
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
