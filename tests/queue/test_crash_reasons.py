"""Why a worker died: known causes are named, others quoted."""

import signal
import sys

import pytest

from lib_lora.queue.crash_reasons import ended_from_outside, explain

TRACE = ["Traceback (most recent call last):", '  File "loop.py", line 7, in step', "    loss.backward()"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB", "gpu-memory-full"),
        ("torch.OutOfMemoryError: HIP out of memory.", "gpu-memory-full"),
        ("RuntimeError: MPS backend out of memory (MPS allocated: 9 GB)", "gpu-memory-full"),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling", "gpu-memory-full"),
        ("MemoryError", "memory-full"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried", "memory-full"),
        ("numpy.core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB for an array", "memory-full"),
        ("OSError: [WinError 1455] The paging file is too small for this operation", "memory-full"),
        ("OSError: [Errno 28] No space left on device: 'x.tmp'", "disk-full"),
        ("OSError: [WinError 112] There is not enough space on the disk", "disk-full"),
        ("ModuleNotFoundError: No module named 'diffusers.models'", "worker-package-missing"),
        ("ImportError: DLL load failed while importing _C: not found", "worker-library-broken"),
        ("RuntimeError: CUDA error: no kernel image is available for execution", "gpu-driver-failed"),
    ],
)
def test_known_causes_are_named_with_what_to_do(line, code):
    found, sentence = explain([*TRACE, line], 1)
    assert found == code
    assert sentence.endswith(".") or line in sentence


def test_what_is_not_known_is_quoted():
    code, sentence = explain([*TRACE, "KeyError: 'x'", "", "  "], 1)
    assert (code, sentence.endswith("the last line of its log is: KeyError: 'x'")) == ("worker-failed", True)
    long = explain(["y" * 5000], 3).sentence
    assert "exit status 3" in long
    assert len(long) < 500
    assert explain([], 0).code == "worker-silent"
    ours = explain(["ModuleNotFoundError: No module named 'lib_lora.gone'"], 1)
    assert (ours.code, "lib_lora.gone" in ours.sentence) == ("worker-failed", True)


def test_a_warning_before_the_traceback_is_not_the_cause():
    warned = explain(["UserWarning: CUDA out of memory, trying again", *TRACE, "KeyError: 'x'"], 1)
    assert warned.code == "worker-failed"
    chained = [*TRACE, "RuntimeError: CUDA out of memory.", "", "During handling of the above exception", *TRACE]
    assert explain([*chained, "KeyError: 'x'"], 1).code == "gpu-memory-full"


@pytest.mark.parametrize(
    ("status", "outside", "code", "named"),
    [
        (-signal.SIGTERM, True, "worker-ended", ""),
        (128 + signal.SIGTERM, True, "worker-ended", ""),
        (-signal.SIGSEGV, False, "worker-crashed", "SIGSEGV"),
        (-signal.SIGABRT, False, "worker-crashed", "SIGABRT"),
        (0xC0000005, False, "worker-crashed", "access violation"),
        (0xC000013A, True, "worker-ended", ""),
        (0xC0000017, False, "memory-full", ""),
        (0xC0000017 - (1 << 32), False, "memory-full", ""),
        (1, False, "worker-failed", "exit status 1"),
        (120, False, "worker-failed", "exit status 120"),
    ],
)
def test_exit_statuses(status, outside, code, named):
    assert ended_from_outside(status) is outside
    reason = explain(["Step 3"], status)
    assert (reason.code, named in reason.sentence) == (code, True)


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_killed_by_the_system_means_memory():
    assert ended_from_outside(-signal.SIGKILL)
    assert ended_from_outside(137)
    assert explain([], -signal.SIGKILL).code == "worker-killed"
