"""What can go wrong while a machine that is reached over SSH trains: nothing is lost, and it is taken up again.

`bench/faults/remote_faults.py` does such things at random moments, many times.
"""

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from faults import raises
from remote_harness import NAME, SECRET, RemoteHarness, look_often
from ssh_server import MISSING, available

from lib_lora.files import write_json
from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.runners import remote_job, ssh_runner
from lib_lora.queue.runners.local_runner import LocalRunner
from lib_lora.queue.runners.remote_job import RemoteJob
from lib_lora.remote import places
from lib_lora.remote.connection import Connection, Unreachable
from lib_lora.runs.events import read_events
from lib_lora.runs.reopen import reopen
from lib_lora.training.plan.run_file import saved_steps
from lib_lora.workflows.train.main_job import finish_run
from lib_lora.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(not available(), reason=MISSING),
    pytest.mark.once("how a worker elsewhere is reached is ours"),
]


@pytest.fixture
def harness(tmp_path, prepared, monkeypatch):
    look_often(monkeypatch)
    made = RemoteHarness(tmp_path, prepared)
    yield made
    made.end()


def test_all_comes_home_as_it_is_made_and_nothing_stays_there(harness):
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    [data] = harness.there.glob("jobs/*/data")
    sent = [path for folder in (data, harness.there / "files") for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in sent if SECRET in path.read_bytes()]
    assert not [path for path in sent if "Oma" in path.name or b"Oma" in path.read_bytes()]
    assert not [path for path in sent if str(harness.root).encode() in path.read_bytes()]
    harness.lets(6)
    job = harness.ended(number)
    assert (job.state, job.error, job.result["run"]) == ("finished", "", "001")
    run = harness.run()
    assert saved_steps(run) == [1, 2, 3, 4, 5, 6]
    assert run.checkpoint(6).read_text().endswith("6")
    assert [path.name for path in run.states.iterdir()] == ["000006.pt"]
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    assert [event["step"] for event in read_events(run.events) if event["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert "on standard error" in (harness.queue.folder(number) / "log.txt").read_text()
    assert harness.jobs_there() == []
    assert [path.name for path in (harness.there / "files").iterdir() if path.suffix == ".part"] == []


def test_where_sameface_is_closed_the_worker_goes_on_and_is_taken_up_again(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.close()
    assert harness.queue.get(number).state == "waiting"
    harness.lets(5)
    time.sleep(0.5)
    assert saved_steps(harness.run())[-1] == 2
    harness.open()
    harness.at_step(number, 5)
    harness.lets(6)
    assert harness.ended(number).state == "finished"
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    assert "resumed" not in {event.get("state") for event in read_events(harness.run().events)}  # it was never stopped


def test_a_killed_home_takes_it_up_again_too(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.close()
    with harness.queue._file.open(write=True) as db:  # as kill -9 would have left it
        db.execute("UPDATE jobs SET state = 'running', owner = '1@1.0/gone' WHERE id = ?", (number,))
    harness.lets(6)
    harness.open()
    assert harness.ended(number).state == "finished"
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]


def test_a_network_that_is_gone_for_a_while(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.server.stop()
    harness.lets(4)
    harness.until(number, lambda: any("cannot be reached" in str(one.get("text")) for one in harness.events(number)))
    assert harness.queue.get(number).state == "running"
    harness.server.start()
    harness.at_step(number, 4)
    harness.lets(6)
    assert harness.ended(number).state == "finished"
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]


def _ended_there(harness):
    return bool(list(harness.there.glob("jobs/*/exit.json")))


def test_a_full_disk_here_is_waited_for(harness, full_disk):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    with full_disk():
        harness.lets(6)
        harness.until(number, lambda: _ended_there(harness))
        harness.until(number, lambda: any(one.get("code") == "no-room-here" for one in harness.events(number)))
        assert (harness.queue.get(number).state, saved_steps(harness.run())) == ("running", [1, 2])
        assert harness.jobs_there() != []
    assert harness.ended(number).state == "finished"
    assert saved_steps(harness.run()) == [1, 2, 3, 4, 5, 6]
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    assert harness.jobs_there() == []


def test_what_a_full_disk_does_not_take_stays_there_and_is_fetched_by_resume(harness, full_disk, monkeypatch):
    monkeypatch.setattr(ssh_runner, "ROOM", 0.3)
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    with full_disk():
        harness.lets(6)
        job = harness.ended(number)
    assert (job.state, job.code, "workshop" in job.error) == ("failed", "remote-not-fetched", True), job.error
    assert harness.jobs_there() != []
    harness.resume(number)
    assert harness.ended(number).state == "finished"
    assert saved_steps(harness.run()) == [1, 2, 3, 4, 5, 6]
    assert harness.jobs_there() == []


@pytest.mark.parametrize(("wish", "state"), [("stop", "stopped"), ("pause", "paused")])
def test_stopped_and_gone_on_with(harness, wish, state):
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    harness.queue.wish(number, wish)
    assert harness.ended(number).state == state
    assert not harness.queue.paused()  # this machine's own jobs go on
    assert harness.jobs_there() == []
    harness.lets(6)
    harness.resume(number)
    assert harness.ended(number).state == "finished"
    said = list(read_events(harness.run().events))
    assert [event["step"] for event in said if event.get("state") == "resumed"] == [3]
    assert [event["step"] for event in said if event["kind"] == "step"] == [1, 2, 3, 4, 5, 6]


def test_one_that_does_not_hear_is_killed_and_keeps_what_it_saved(harness, monkeypatch):
    monkeypatch.setattr(remote_job, "SAVES", 0.5)
    harness.lets(3, deaf=True)
    number = harness.add()
    harness.at_step(number, 3)
    worker = harness.processes_there()["worker"]
    harness.queue.wish(number, "stop")
    assert harness.ended(number).state == "stopped"
    with suppress(FileNotFoundError):
        assert Path(f"/proc/{worker}/cmdline").read_bytes() == b""  # dead, whoever has not looked yet
    assert saved_steps(harness.run()) == [1, 2, 3]


@pytest.mark.parametrize("who", ["worker", "keeper", "both"])
def test_killed_there_it_keeps_what_it_saved(harness, who):
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    there = harness.processes_there()
    for name in ("keeper", "worker") if who == "both" else (who,):
        os.kill(there[name], signal.SIGKILL)
    job = harness.ended(number)
    assert (job.state, job.error.startswith("On workshop: ")) == ("interrupted", True), job.error
    assert saved_steps(harness.run()) == [1, 2, 3]
    harness.lets(6)
    harness.resume(number)
    assert harness.ended(number).state == "finished"
    assert saved_steps(harness.run()) == [1, 2, 3, 4, 5, 6]


def test_a_place_that_cannot_be_reached_at_all(harness, monkeypatch):
    monkeypatch.setattr(remote_job, "PATIENCE", 0.5)
    harness.server.stop()
    job = harness.ended(harness.add())
    assert (job.state, job.code) == ("failed", "host-unreachable"), job.error
    harness.server.start()
    harness.resume(job.id)
    assert harness.ended(job.id).state == "finished"


def test_another_machine_in_its_place_gets_nothing(harness):
    harness.lets(1)
    number = harness.add()
    harness.at_step(number, 1)
    harness.close()
    harness.server.stop()
    harness.server.new_host_key()
    harness.server.start()
    harness.open()
    job = harness.ended(number)
    assert (job.state, job.code) == ("failed", "host-key-changed")


def test_a_result_that_lies_is_no_end(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    [data] = harness.there.glob("jobs/*/data")
    result = {"state": "finished", "result": {"run": "001", "lora": "../../../etc/passwd"}}
    (data / "jobs" / str(number) / "result.json").write_text(json.dumps(result))
    evil = data / "characters" / "x" / "runs" / "001" / "checkpoints"
    evil.mkdir(parents=True)
    (evil / "mara-ü-001-000009.safetensors").write_text("of another run")
    os.kill(harness.processes_there()["worker"], signal.SIGKILL)
    job = harness.ended(number)
    assert (job.state, job.code) == ("failed", "remote-lora-missing")
    assert saved_steps(harness.run()) == [1, 2]
    assert not list(harness.root.rglob("*000009*"))


def test_what_fails_there_keeps_its_code(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    [data] = harness.there.glob("jobs/*/data")
    result = {"state": "failed", "error": "The GPU ran out of memory.", "code": "gpu-memory-full", "result": {}}
    (data / "jobs" / str(number) / "result.json").write_text(json.dumps(result))
    os.kill(harness.processes_there()["worker"], signal.SIGKILL)
    job = harness.ended(number)
    assert (job.state, job.error, job.code) == ("failed", "The GPU ran out of memory.", "gpu-memory-full")
    last = [event for event in harness.events(number) if event["kind"] == "state"][-1]
    assert (last["state"], last["code"]) == ("failed", "gpu-memory-full")


@pytest.mark.parametrize(("written", "code"), [("photo-too-small", "photo-too-small"), ("", "run-not-made")])
def test_a_run_that_cannot_be_made_here_says_why(harness, monkeypatch, written, code):
    class Worker:
        def __init__(self, job, _):
            write_json(harness.queue.folder(job.id) / "result.json", {**failed, "code": written})

        def poll(self):
            return 1

        wait = close = poll

    failed = {"state": "failed", "error": "beach.jpg is too small.", "result": {}}
    monkeypatch.setattr(LocalRunner, "start", Worker)
    job = harness.queue.add(NAME, TrainArguments(few=True, then_test=False, on=harness.on))
    harness.supervisor.wake()
    job = harness.ended(job.id)
    assert (job.state, job.error, job.code) == ("failed", "beach.jpg is too small.", code)


def test_the_other_machine_does_not_say_which_run_it_is(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    [data] = harness.there.glob("jobs/*/data")
    with open(data / "jobs" / str(number) / "events.jsonl", "a", encoding="utf-8") as stream:
        stream.write('{"t": 1, "kind": "run", "run": "../../other/runs/001"}\n')
        stream.write('{"t": 1, "kind": "progress", "done": 1, "total": 2, "text": "\\u001b]52;c;eA==\\u0007evil"}\n')
        stream.write('{"t": 1, "kind": "step", "step": Infinity, "total": [1]}\n')
        stream.write('{"t": 1, "kind": "warning", "text": "' + "x" * (1 << 21) + '"}\n')
    harness.lets(6)
    job = harness.ended(number)
    assert (job.state, job.run, job.result["run"]) == ("finished", "001", "001")
    texts = [str(event.get("text", "")) for event in harness.events(number)]
    assert any("evil" in text for text in texts)
    assert not [text for text in texts if "\x1b" in text or "\a" in text]
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]


def test_odd_files_there_cost_no_state_here_and_replace_nothing(harness):
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    harness.queue.wish(number, "stop")
    harness.ended(number)
    run = harness.run()
    run.checkpoint(1).write_text("mine")
    harness.resume(number)
    harness.until(number, lambda: bool(list(harness.there.glob("jobs/*/data/characters/*/runs/001/state/000003.pt"))))
    [there] = harness.there.glob("jobs/*/data/characters/*/runs/001")
    (there / "checkpoints").mkdir(exist_ok=True)
    (there / "state" / "x").write_text("odd")
    (there / "checkpoints" / run.checkpoint(1).name).write_text("REPLACED")
    (there / "checkpoints" / f"{run.file.stem}-999999999.safetensors").write_text("of a step that is none")
    (there / "state" / "000003.pt").unlink()
    harness.queue.wish(number, "stop")
    harness.ended(number)
    assert [path.name for path in run.states.glob("*.pt")] == ["000003.pt"]
    assert run.checkpoint(1).read_text() == "mine"
    assert saved_steps(run) == [1, 2, 3]


def test_a_run_that_is_elsewhere_is_trained_nowhere_else(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.close()
    with raises("run-elsewhere", has=("workshop", f"job {number}")):
        finish_run(lambda: reopen(harness.run().folder))
    second = harness.queue.add(
        harness.queue.get(number).character, TrainArguments(run="001", few=True, on="ssh:workshop", steps=9)
    )
    harness.open()
    harness.at_step(number, 2)
    harness.lets(6)
    assert harness.ended(number).state == "finished"
    assert harness.ended(second.id).state in ("finished", "failed")  # its turn comes when the run is here again
    assert harness.jobs_there() == []


@pytest.mark.parametrize("heard", [True, False])
def test_a_stop_before_closing_is_not_forgotten(harness, heard):
    harness.lets(2, deaf=not heard)
    number = harness.add()
    harness.at_step(number, 2)
    harness.queue.wish(number, "stop")
    if heard:
        harness.until(number, lambda: bool(list(harness.there.glob("jobs/*/wish.json"))))
    harness.close()
    if heard:
        harness.until(number, lambda: bool(list(harness.there.glob("jobs/*/exit.json"))))
    harness.lets(6)  # for whoever does not hear
    harness.open()
    assert harness.ended(number).state == ("stopped" if heard else "finished")
    assert harness.jobs_there() == []


def test_a_stop_in_line_reaches_the_worker_there(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.close()
    harness.queue.wish(number, "stop")
    assert harness.queue.get(number).state == "waiting"
    with raises("job-active"):
        harness.queue.forget(number)
    harness.open()
    assert harness.ended(number).state == "stopped"
    assert harness.jobs_there() == []
    harness.queue.forget(number)


def test_a_stop_while_it_cannot_be_reached_ends_the_waiting(harness, monkeypatch):
    monkeypatch.setattr(remote_job, "PATIENCE", 1.0)
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.server.stop()
    harness.queue.wish(number, "stop")
    job = harness.ended(number)
    assert (job.state, job.code) == ("failed", "remote-left-behind")
    with raises("job-elsewhere", has=("remote.json",)):
        harness.queue.forget(number)
    harness.server.start()
    harness.lets(6)
    harness.resume(number)
    assert harness.ended(number).state == "finished"
    assert harness.jobs_there() == []


def test_a_place_that_is_another_one_by_now_gets_nothing(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.close()
    was = places.find(harness.root, "workshop")
    places.save(harness.root, replace(was, folder=f"{was.folder}-new"))
    harness.open()
    job = harness.ended(number)
    assert (job.state, job.code, was.folder in job.error) == ("failed", "place-changed", True)
    assert not Path(f"{was.folder}-new").exists()
    places.save(harness.root, was)
    harness.lets(6)
    harness.resume(number)
    assert harness.ended(number).state == "finished"


def test_stopped_on_the_way_there_nothing_stays_there(harness, monkeypatch):
    arrange = Connection.ask

    def stopped_then(self, what, **fields):
        found = arrange(self, what, **fields)
        if what == "arrange" and fields["files"]:
            harness.queue.wish(number, "stop")
            harness.until(number, lambda: time.sleep(0.3) is None)
        return found

    monkeypatch.setattr(Connection, "ask", stopped_then)
    number = harness.add()
    assert harness.ended(number).state == "stopped"
    assert harness.jobs_there() == []
    assert not (harness.queue.folder(number) / "remote.json").exists()


def test_an_older_version_leaves_such_a_queue_alone(harness):
    assert _version(harness) == 2
    harness.add()
    assert _version(harness) == 3


def _version(harness):
    with harness.queue._file.open() as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def test_how_long_somebody_else_takes_to_say_whether_a_machine_is_gone_is_not_counted(tmp_path, monkeypatch):
    """As RunPod may, which is asked while its pod cannot be reached."""
    monkeypatch.setattr(remote_job, "PATIENCE", 0.3)
    place = SimpleNamespace(name="workshop")
    said, answers = [], [Unreachable("mara@host cannot be reached now.", code="host-unreachable"), "it is here"]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        return answer

    way, there = tmp_path / "way", SimpleNamespace(place=place)
    job = RemoteJob(Workspace(tmp_path), "home-1", there, way, said.append, gone=lambda: time.sleep(0.5))
    assert job.reach(ask) == "it is here"
    assert said == ["workshop cannot be reached; trying again.", "workshop is reached again."]
