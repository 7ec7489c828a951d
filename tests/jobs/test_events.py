"""The event log: whole lines, whatever happens."""

import json

from lib_lora.jobs.events import EventLog, read_events


def test_events_are_read_back(tmp_path):
    log = EventLog(tmp_path / "run" / "events.jsonl")
    log("step", step=1, loss=0.5, file=tmp_path / "ü")
    log("step", step=2, loss=float("nan"), nested={"x": [float("inf")]})
    events = list(read_events(log.path))
    assert [event["step"] for event in events] == [1, 2]
    assert events[0]["file"].endswith("ü")
    assert events[1]["loss"] is None
    assert events[1]["nested"] == {"x": [None]}
    assert all(isinstance(event["t"], float) for event in events)
    assert list(read_events(tmp_path / "none")) == []


def test_a_half_written_line_is_passed_over_and_ended(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"t": 1.0, "kind": "a"}) + '\n{"t": 2.0, "ki')
    assert [event["kind"] for event in read_events(path)] == ["a"]
    EventLog(path)("b")
    assert [event["kind"] for event in read_events(path)] == ["a", "b"]
