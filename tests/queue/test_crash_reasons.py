"""Why a worker died: known causes are named, others quoted."""

import signal
import sys

import pytest

from lib_lora.queue.crash_reasons import ended_from_outside, explain

TRACE = ["Traceback (most recent call last):", '  File "loop.py", line 7, in step', "    loss.backward()"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB", "The GPU ran out of memory"),
        ("torch.OutOfMemoryError: HIP out of memory.", "The GPU ran out of memory"),
        ("RuntimeError: MPS backend out of memory (MPS allocated: 9 GB)", "The GPU ran out of memory"),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling", "The GPU ran out of memory"),
        ("MemoryError", "The computer ran out of memory"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried", "The computer ran out of memory"),
        ("numpy.core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB for an array", "ran out of memory (RAM)"),
        ("OSError: [WinError 1455] The paging file is too small for this operation", "larger paging file"),
        ("OSError: [Errno 28] No space left on device: 'x.tmp'", "The disk is full"),
        ("OSError: [WinError 112] There is not enough space on the disk", "The disk is full"),
        ("ModuleNotFoundError: No module named 'diffusers.models'", "The Python package diffusers is missing"),
        ("ImportError: DLL load failed while importing _C: not found", "A library cannot be loaded"),
        ("RuntimeError: CUDA error: no kernel image is available for execution", "The GPU or its driver failed"),
    ],
)
def test_known_causes_are_named_with_what_to_do(line, said):
    sentence = explain([*TRACE, line], 1)
    assert said in sentence
    assert sentence.endswith(".") or line in sentence


def test_what_is_not_known_is_quoted():
    assert explain([*TRACE, "KeyError: 'x'", "", "  "], 1).endswith("the last line of its log is: KeyError: 'x'")
    long = explain(["y" * 5000], 3)
    assert "exit status 3" in long
    assert len(long) < 500
    assert "without a word (exit status 0)" in explain([], 0)
    assert "lib_lora.gone" in explain(["ModuleNotFoundError: No module named 'lib_lora.gone'"], 1)


def test_a_warning_before_the_traceback_is_not_the_cause():
    assert "KeyError" in explain(["UserWarning: CUDA out of memory, trying again", *TRACE, "KeyError: 'x'"], 1)
    chained = [*TRACE, "RuntimeError: CUDA out of memory.", "", "During handling of the above exception", *TRACE]
    assert explain([*chained, "KeyError: 'x'"], 1).startswith("The GPU ran out of memory")


@pytest.mark.parametrize(
    ("code", "outside", "said"),
    [
        (-signal.SIGTERM, True, "ended from outside"),
        (128 + signal.SIGTERM, True, "ended from outside"),
        (-signal.SIGSEGV, False, "crashed inside a library (SIGSEGV)"),
        (-signal.SIGABRT, False, "crashed inside a library (SIGABRT)"),
        (0xC0000005, False, "crashed inside a library (access violation)"),
        (0xC000013A, True, "ended from outside"),
        (0xC0000017, False, "The computer ran out of memory"),
        (0xC0000017 - (1 << 32), False, "The computer ran out of memory"),
        (1, False, "exit status 1"),
        (120, False, "exit status 120"),
    ],
)
def test_exit_statuses(code, outside, said):
    assert ended_from_outside(code) is outside
    assert said in explain(["Step 3"], code)


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_killed_by_the_system_means_memory():
    assert ended_from_outside(-signal.SIGKILL)
    assert ended_from_outside(137)
    assert "memory (RAM) ran out" in explain([], -signal.SIGKILL)
