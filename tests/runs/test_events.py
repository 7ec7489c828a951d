"""The event log: whole lines, whatever happens."""

import errno
import json

import pytest
from faults import raises

from lib_lora.runs import events
from lib_lora.runs.events import EventLog, pace_of, read_events


def test_events_are_read_back(tmp_path):
    log = EventLog(tmp_path / "run" / "events.jsonl")
    log("step", step=1, loss=0.5, file=tmp_path / "ü")
    log("step", step=2, loss=float("nan"), nested={"x": [float("inf")]})
    found = list(read_events(log.path))
    assert [event["step"] for event in found] == [1, 2]
    assert found[0]["file"].endswith("ü")
    assert found[1]["loss"] is None
    assert found[1]["nested"] == {"x": [None]}
    assert all(isinstance(event["t"], float) for event in found)
    assert list(read_events(tmp_path / "none")) == []


@pytest.fixture
def refusing(monkeypatch, tmp_path):
    """A log whose file cannot be written the next so many times: refusing(3, PermissionError)."""
    log, append, opened = EventLog(tmp_path / "events.jsonl"), open, []

    def refuse(times, error):
        def maybe(path, mode="r", **more):
            if "a" in mode:
                opened.append(path)
                if len(opened) <= times:
                    raise error
            return append(path, mode, **more)

        monkeypatch.setattr(events, "open", maybe, raising=False)
        return log, opened

    return refuse


def test_a_file_that_a_scanner_holds_for_a_moment_is_waited_for(refusing):
    log, _ = refusing(3, PermissionError(errno.EACCES, "held"))
    log("state", state="training")
    assert [event["kind"] for event in read_events(log.path)] == ["state"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), PermissionError(errno.EACCES, "held")])
def test_a_line_that_cannot_be_written_does_not_end_a_training(refusing, error, monkeypatch):
    monkeypatch.setattr(events, "_AGAIN", 0.001)
    log, opened = refusing(1000, error)
    for kind in ("step", "probe", "sample", "checkpoint", "warning"):
        log(kind, step=1)
    assert len(opened) < 20  # nobody waits for each line anew
    with raises(("disk-full", "permission-denied")):
        log("state", state="trained")  # what others rely on


def test_after_half_a_line_the_next_one_stands_on_its_own(refusing):
    log, _ = refusing(0, OSError())
    log("step", step=1)
    with open(log.path, "a", encoding="utf-8") as stream:
        stream.write('{"kind": "st')
    log._failed = True  # as the disk got full in the midst of it
    log("step", step=2)
    log("step", step=3)
    assert [event["step"] for event in read_events(log.path)] == [1, 2, 3]


def test_the_pace_of_a_training():
    def step(pace):
        return {"kind": "step", "seconds_per_step": pace}

    assert pace_of([step(2.0), step(3), {"kind": "probe", "seconds_per_step": 9.0}]) == 3.0
    assert pace_of([], 4.0) == 4.0
    for odd in (None, "x", -1.0, float("nan"), float("inf"), 10**400, [1]):
        assert pace_of([step(odd)], 4.0) == 4.0


def test_a_half_written_line_is_passed_over_and_ended(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"t": 1.0, "kind": "a"}) + '\n{"t": 2.0, "ki')
    assert [event["kind"] for event in read_events(path)] == ["a"]
    EventLog(path)("b")
    assert [event["kind"] for event in read_events(path)] == ["a", "b"]
