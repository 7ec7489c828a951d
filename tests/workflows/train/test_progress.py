"""What the terminal shows of a job's events."""

import io
from contextlib import redirect_stderr, redirect_stdout

import pytest

from lib_lora.workflows.train import progress
from lib_lora.workflows.train.progress import Terminal, both, counted


def _step(step, total=4, **changes):
    numbers = {
        "loss": 0.2,
        "loss_average": 0.12345,
        "seconds_per_step": 1.5,
        "seconds_left": 90.0,
        "peak_memory": 3 * 2**30,
    }
    return {"step": step, "total": total, **numbers, **changes}


class Tty(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def _shown(*events):
    """What these events, (kind, fields) each, print to stdout, and the frames drawn on a terminal's stderr."""
    out, err = io.StringIO(), Tty()
    with redirect_stdout(out), redirect_stderr(err):
        terminal = Terminal()
        for kind, fields in events:
            terminal(kind, **fields)
    return out.getvalue(), [frame for frame in err.getvalue().replace("\n", "\r").split("\r") if frame.strip()]


def test_a_step_shows_loss_pace_time_left_and_memory():
    _, frames = _shown(("step", _step(2)), ("state", {"state": "trained"}))
    assert frames[-1].startswith(" 50%|")
    assert frames[-1].endswith("| 2/4 steps, loss 0.1235, 1.50 s/step, 1 min 30 s left, peak 3.0 GB")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"), (1e5, "27 h 46 min")],
)
def test_time_left_in_words(seconds, text):
    _, frames = _shown(("step", _step(1, seconds_left=seconds)), ("error", {"text": "x", "step": 1}))
    assert f", {text} left, " in frames[-1]


def test_only_the_jobs_own_numbers_are_shown():
    """tqdm's pace includes saving and loading, and would contradict the events'."""
    _, frames = _shown(("step", _step(3)), ("step", _step(4)), ("state", {"state": "trained"}))
    assert all("steps/s" not in frame and "s/it" not in frame and "<" not in frame for frame in frames)
    assert frames[-1].count("s/step") == 1


def test_a_resumed_run_starts_where_it_was():
    said, frames = _shown(
        ("state", {"state": "preparing", "family": "sd1", "precision": "bf16", "device": "cuda"}),
        ("data", {"photos": 1, "side": 512, "report": "a table"}),
        ("state", {"state": "resumed", "step": 3}),
        ("state", {"state": "training", "step": 3, "total": 4}),
        ("step", _step(4)),
        ("state", {"state": "trained", "step": 4}),
    )
    assert said == "Preparing (sd1, bf16 on cuda) ...\na table\nContinuing after step 3.\n"
    assert frames[0].startswith(" 75%|")
    assert frames[-1].startswith("100%|")


def test_training_and_painting_have_a_bar_each():
    _, frames = _shown(
        ("step", _step(4)),
        ("state", {"state": "trained"}),
        ("painting", {"done": 0, "total": 2, "folder": "x"}),
        ("painting", {"done": 1, "total": 2}),
        ("painting", {"done": 2, "total": 2}),
        ("grid", {"folder": "x", "likeness": None, "retention": None}),
    )
    assert "4/4 steps" in "".join(frames)
    assert "2/2" in frames[-1]
    assert "picture" in frames[-1]


def test_an_error_ends_the_line_of_the_bar():
    err = Tty()
    with redirect_stderr(err):
        terminal = Terminal()
        terminal("painting", done=0, total=16, folder="x")
        terminal("error", text="no more memory")
    assert terminal.bar is None
    assert err.getvalue().endswith("\n")


def test_notes_are_said_and_unknown_events_are_passed_over():
    said, frames = _shown(("warning", {"text": "bitsandbytes is not here."}), ("probe", {"step": 0, "loss": 1.0}))
    assert said == "Note: bitsandbytes is not here.\n"
    assert frames == []


def test_both_passes_each_event_to_each_sink():
    heard = []

    def sink(name):
        return lambda kind, **fields: heard.append((name, kind, fields))

    both(sink("a"), sink("b"))("step", step=1)
    assert heard == [("a", "step", {"step": 1}), ("b", "step", {"step": 1})]


# -- in a file or a pipe


def _piped(clock, monkeypatch, *events):
    """The lines that events print into a pipe, each at its time."""
    out, err = io.StringIO(), io.StringIO()
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with redirect_stdout(out), redirect_stderr(err):
        terminal = Terminal()
        for seconds, (kind, fields) in zip(clock, events, strict=True):
            now[0] = seconds
            terminal(kind, **fields)
    assert "\r" not in err.getvalue()
    return err.getvalue().splitlines()


def test_in_a_pipe_a_line_at_most_each_ten_seconds_and_the_last(monkeypatch):
    """A bar that is drawn again for each step filled logs with thousands of copies of itself."""
    steps = [("step", _step(number, 1000)) for number in range(1, 1001)]
    lines = _piped([number * 0.5 for number in range(1000)], monkeypatch, *steps)
    assert len(lines) == 500 // 10 + 1
    assert lines[0] == "step 1 of 1,000, loss 0.1235, 1.50 s/step, 1 min 30 s left, peak 3.0 GB"
    assert lines[1].startswith("step 21 of 1,000, ")
    assert lines[-1].startswith("step 1,000 of 1,000, ")


def test_pictures_in_a_pipe(monkeypatch):
    events = [("painting", {"done": done, "total": 4}) for done in range(5)]
    assert _piped([0, 3, 6, 16, 17], monkeypatch, *events) == [
        "picture 1 of 4",
        "picture 3 of 4",
        "picture 4 of 4",
    ]


def test_counting_in_a_pipe_and_on_a_terminal(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for err, pace, said in (
        (io.StringIO(), 6, "photo measured: 29 of 30\nphoto measured: 30 of 30\n"),
        (io.StringIO(), 1, ""),  # over before anybody asks
        (Tty(), 1, "\rphoto measured: 1 of 30" + "\rphoto measured: 29 of 30" + "\r" + " " * 24 + "\r"),
    ):
        with redirect_stderr(err):
            count = counted("photo measured")
            for done in (1, 29, 30):
                now[0] += pace
                count(done, 30)
        assert err.getvalue() == said
