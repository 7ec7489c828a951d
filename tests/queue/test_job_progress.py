"""Where a job stands: folded from events, read bit by bit while they are being written."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.queue.job_progress import Follower, JobProgress, fold
from lib_lora.runs.events import EventLog, events_after, read_events

STEP = {
    "kind": "step", "step": 840, "total": 2000, "loss": 0.2, "loss_average": 0.125, "seconds_per_step": 0.5,
    "seconds_left": 580.0, "peak_memory": 5 << 30, "t": 1.0,
}  # fmt: skip


def folded(*events):
    progress = JobProgress()
    for event in events:
        progress = fold(progress, event)
    return progress


def test_a_training():
    progress = folded(
        {"kind": "state", "state": "waiting for the GPU"},
        {"kind": "state", "state": "starting"},
        {"kind": "state", "state": "preparing", "device": "cuda"},
        {"kind": "state", "state": "training", "step": 0, "total": 2000},
        STEP,
    )
    assert (progress.phase, progress.done, progress.total) == ("training", 840, 2000)
    assert (progress.loss, progress.rate, progress.seconds_left, progress.memory) == (0.125, 0.5, 580.0, 5 << 30)
    assert progress.text == "Step 840 of 2,000"
    stopped = fold(progress, {"kind": "state", "state": "stopped", "step": 841, "total": 2000})
    assert (stopped.phase, stopped.done, stopped.seconds_left) == ("stopped", 841, None)
    assert stopped.text == "Stopped; everything is saved"


def test_it_shows_that_the_gpu_is_waited_for():
    progress = folded({"kind": "state", "state": "waiting for the GPU"})
    assert progress.phase == "waiting for the GPU"
    assert "has painted its picture" in progress.text


def test_a_new_attempt_begins_afresh():
    before = folded(STEP, {"kind": "warning", "text": "old"}, {"kind": "error", "text": "Out of memory."})
    assert (before.text, before.warnings) == ("Out of memory.", ["old"])
    again = fold(before, {"kind": "state", "state": "starting"})
    assert again == JobProgress(phase="starting", text="Starting")
    resumed = fold(again, {"kind": "state", "state": "resumed", "step": 840})
    assert (resumed.phase, resumed.done, resumed.text) == ("preparing", 840, "Continuing after step 840")


def test_painting_gets_its_pace_from_when_things_were_said():
    first = {"kind": "painting", "done": 10, "total": 40, "t": 100.0}
    progress = folded(STEP, first)
    assert (progress.phase, progress.rate, progress.seconds_left) == ("painting", None, None)
    progress = fold(progress, {**first, "done": 14, "t": 108.0})
    assert (progress.rate, progress.seconds_left) == (2.0, 52.0)
    assert progress.text == "Painted 14 of 40 pictures"
    sooner = fold(progress, {**first, "done": 18, "t": 116.0, "expected": 23})
    assert (sooner.total, sooner.seconds_left) == (40, 10.0)
    assert fold(progress, {**first, "done": 18, "t": 116.0, "expected": 99}).seconds_left == 44.0  # of no more than all
    assert fold(progress, {**first, "done": 18, "t": 116.0, "expected": None}).seconds_left == 44.0
    another = fold(progress, {**first, "done": 0, "t": 200.0})  # of the next grid
    assert (another.rate, another.seconds_left) == (None, None)
    assert fold(another, {**first, "done": 1, "t": 203.0}).rate == 3.0


def test_other_progress_brings_its_own_words():
    progress = folded({"kind": "progress", "done": 3, "total": 24, "text": "Looked at {done} of {total}"})
    assert (progress.phase, progress.done, progress.text) == ("working", 3, "Looked at 3 of 24")
    assert folded({"kind": "progress", "done": 3, "total": 24}).text == "3 of 24"


def test_warnings_are_kept_once_and_not_without_end():
    texts = [f"w{number}" for number in range(30)]
    progress = folded(*({"kind": "warning", "text": text} for text in [*texts, "w29", "w28"]))
    assert progress.warnings == [*texts[10:28], "w29", "w28"]
    before = JobProgress(warnings=["a"])
    fold(before, {"kind": "warning", "text": "b"})
    assert before.warnings == ["a"]  # pure


def test_an_unknown_event_changes_nothing():
    progress = folded(STEP)
    for event in ({"kind": "dance"}, {"kind": "grid", "folder": "x"}, {"kind": "warning"}, {}):
        assert fold(progress, event) == progress


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
kinds = st.sampled_from(["step", "state", "painting", "progress", "warning", "error", "choice", "delivered", "x"])
states = st.sampled_from(["starting", "resumed", "training", "stopped", "failed"]) | plain
events = st.fixed_dictionaries(
    {"kind": kinds},
    optional={
        **dict.fromkeys(("t", "step", "done", "total", "text", "loss_average", "seconds_left", "file"), plain),
        "peak_memory": st.integers() | plain,
        "seconds_per_step": plain,
        "state": states,
    },
)


@given(st.lists(events, max_size=6))
def test_no_event_makes_it_fail(them):
    progress = folded(*them)
    json.dumps(vars(progress), allow_nan=False)
    assert progress.done >= 0
    assert progress.total >= 0
    assert isinstance(progress.text, str)


def test_events_are_read_from_a_place_on(tmp_path):
    path = tmp_path / "events.jsonl"
    assert events_after(path) == ([], 0)
    log = EventLog(path)
    log("warning", text="größer 名前")
    first, place = events_after(path)
    assert [event["text"] for event in first] == ["größer 名前"]
    assert place == path.stat().st_size  # bytes, not letters
    assert events_after(path, place) == ([], place)
    log("warning", text="two")
    assert [event["text"] for event in events_after(path, place)[0]] == ["two"]
    assert [event["kind"] for event in events_after(path, 5)[0]] == ["warning"]  # from the middle of a line on
    for outside in (-3, 10_000):
        assert len(events_after(path, outside)[0]) == 2


def test_a_line_that_is_being_written_is_waited_for(tmp_path):
    path = tmp_path / "events.jsonl"
    whole = json.dumps({"kind": "warning", "text": "ü"}, ensure_ascii=False).encode() + b"\n"
    path.write_bytes(whole + whole[:29])  # cut within the two bytes of the ü
    found, place = events_after(path)
    assert (len(found), place) == (1, len(whole))
    path.write_bytes(whole * 2)
    assert events_after(path, place) == (found, 2 * len(whole))


@pytest.mark.parametrize("line", [b"{", b"[1]", b"null", b'{"t": 1}', b'{"kind": 5}', b"\xff\xfe", b"[" * 100_000])
def test_a_line_that_is_no_event_is_passed_over(tmp_path, line):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"kind": "a"}\n' + line + b"\n\n" + b'{"kind": "b"}\n')
    assert [event["kind"] for event in events_after(path)[0]] == ["a", "b"]


def test_a_long_file_comes_in_parts_and_a_long_line_whole(tmp_path):
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for number in range(50):
        log("warning", text=f"{number} " + "x" * (5000 if number == 7 else 10))
    seen, place = [], 0
    while True:
        found, after = events_after(path, place, most=300)
        assert after - place < 6000
        if after == place:
            break
        seen, place = seen + found, after
    assert seen == list(read_events(path))


def test_a_follower_reads_what_is_new(tmp_path):
    path = tmp_path / "events.jsonl"
    follower = Follower(path)
    assert follower.read() == JobProgress()
    log = EventLog(path)
    for step in range(1, 4):
        log("step", step=step, total=3, loss_average=0.5)
        assert follower.read().done == step
    path.write_text("", encoding="utf-8")
    EventLog(path)("painting", done=1, total=2)
    assert (follower.read().phase, follower.read().done) == ("painting", 1)
    path.unlink()
    assert follower.read() == JobProgress()


def test_threads_share_a_follower(tmp_path):
    path = tmp_path / "events.jsonl"
    log, follower, seen = EventLog(path), Follower(path), []
    for number in range(500):
        log("warning", text=str(number))
    threads = [threading.Thread(target=lambda: seen.append(follower.read().warnings)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[str(number) for number in range(480, 500)]] * 5
