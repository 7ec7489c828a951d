"""That something is at work is seen in a terminal, and read in a log, without filling it."""

import io
import threading

import pytest

from lib_lora import spinner
from lib_lora.spinner import Spinner, of_installer, spoken


class Tty(io.StringIO):
    def isatty(self):
        return True


def _until(condition):
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it was never said")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Collecting torch>=2.1,<3 (from -r x)\n", None),
        ("Collecting torch>=2.1,<3\n", "looking for torch>=2.1,<3"),
        (
            "  Downloading torch-2.5.1-cp311-cp311-manylinux1_x86_64.whl (906.5 MB)",
            "downloading torch-2.5.1 (906.5 MB)",
        ),
        ("  Downloading numpy-2.1.0-cp310-cp310-win_amd64.whl.metadata (60 kB)", "downloading numpy-2.1.0 (60 kB)"),
        ("  Downloading tiny-1.0.tar.gz", "downloading tiny-1.0.tar.gz"),
        ("Using cached pillow-11.0-cp311-cp311-win32.whl (2 MB)", "taking pillow-11.0 from pip's cache"),
        ("Installing collected packages: mpmath, numpy, torch", "putting the packages in place"),
        ("Requirement already satisfied: pip", None),
        ("Resolved 81 packages in 1.24s", "getting 81 packages"),
        ("Downloading torch (772.9MiB)", "downloading torch (772.9MiB)"),
        ("Prepared 80 packages in 35.61s", "putting the packages in place"),
        (" + torch==2.5.1", None),
    ],
)
def test_what_pip_or_uv_does_is_read_from_its_lines(line, said):
    assert of_installer(line) == said


def test_in_a_terminal_one_line_turns_and_is_gone(monkeypatch):
    monkeypatch.setattr(spinner, "_TURN", 0.001)
    out, now = Tty(), [0.0]
    with Spinner("looking", out, lambda: now[0]) as turning:
        _until(lambda: out.getvalue().count("looking, 0 s") > 4)
        turning.what, now[0] = "downloading torch", 65.0
        _until(lambda: "downloading torch, 1 min 5 s" in out.getvalue())
    frames = out.getvalue().split("\r")
    assert "\n" not in out.getvalue()
    assert {frame[0] for frame in frames[1:5]} == set("|/-\\")
    assert frames[-1].strip() in ("", "\x1b[K")


def test_in_a_pipe_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(spinner, "PAUSE", 0.001)
    out = io.StringIO()
    with Spinner("looking", out, lambda: 12.7):
        _until(lambda: out.getvalue().count("\n") > 2)
    assert set(out.getvalue().splitlines()) == {"  looking, 0 s"}
    assert spinner.PAUSE < spinner._TURN  # what was set; as it is:
    monkeypatch.undo()
    assert spinner.PAUSE == 10


def test_a_short_work_says_nothing_in_a_pipe():
    out = io.StringIO()
    with Spinner("looking", out):
        pass
    assert out.getvalue() == ""


def test_time_in_words():
    assert [spoken(seconds) for seconds in (0.4, 59.9, 60, 3_725)] == ["0 s", "59 s", "1 min 0 s", "62 min 5 s"]
