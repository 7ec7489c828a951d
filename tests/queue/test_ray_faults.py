"""What can go wrong while a Ray cluster trains: nothing is lost, two attempts never write one file, and all is erased.

The Jobs API is a stand-in and the trainer a script (`remote_harness`); the storage and what runs on the node are real.
"""

import os
import signal
import time
from dataclasses import replace

import pytest
from fake_ray import FakeRay
from remote_harness import SECRET, RemoteHarness, look_often

from lib_lora.queue.runners import remote_job
from lib_lora.remote import places
from lib_lora.remote.ray_cluster import ray_api, ray_connection
from lib_lora.runs.events import read_events
from lib_lora.runs.lent_run import loan_of
from lib_lora.training.plan.run_file import saved_steps

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="what runs on a node needs Linux"),
    pytest.mark.once("how a worker elsewhere is reached is ours"),
]


@pytest.fixture
def harness(tmp_path, prepared, monkeypatch):
    look_often(monkeypatch)
    monkeypatch.setattr(ray_connection, "STALE", 4.0)
    monkeypatch.setattr(ray_api, "_FRESH", 0.2)
    made = RemoteHarness(tmp_path, prepared, cluster=FakeRay(tmp_path / "cluster"))
    yield made
    made.end()


def submitted(harness):
    """The id of the attempt that was submitted last."""
    return list(harness.server.jobs)[-1]


def files_of_jobs(harness):
    return [path for path in (harness.server.storage / "jobs").rglob("*") if path.is_file()]


def nothing_is_left(harness, number):
    assert files_of_jobs(harness) == []
    assert harness.server.running() == []
    assert loan_of(harness.run().folder) is None
    harness.until(number, lambda: harness.jobs_there() == [], 15.0)
    assert [event for event in harness.events(number) if event["kind"] == "warning"] == []


def test_all_comes_home_as_it_is_made_and_nothing_stays_there(harness):
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    sent = [path for folder in (harness.there, harness.server.storage) for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in sent if SECRET in path.read_bytes()]
    assert not [path for path in sent if "Oma" in path.name or b"Oma" in path.read_bytes()]
    assert not [path for path in sent if str(harness.root).encode() in path.read_bytes()]
    harness.lets(6)
    job = harness.ended(number)
    assert (job.state, job.error, job.result["run"]) == ("finished", "", "001")
    run = harness.run()
    assert saved_steps(run) == [1, 2, 3, 4, 5, 6]
    assert [path.name for path in run.states.iterdir()] == ["000006.pt"]
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    assert [event["step"] for event in read_events(run.events) if event["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert "on standard error" in (harness.queue.folder(number) / "log.txt").read_text()
    nothing_is_left(harness, number)
    assert len(list((harness.server.storage / "files").iterdir())) == 2  # the base model, the wheel


def test_an_attempt_that_is_lost_goes_on_from_what_it_saved(harness):
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    harness.server.lose(submitted(harness))
    harness.lets(6)
    job = harness.ended(number)
    assert (job.state, job.error) == ("finished", "")
    assert [one.rpartition("-")[2] for one in harness.server.asked if one.startswith("DELETE")] == ["1", "2"]
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    events = list(read_events(harness.run().events))
    assert [event["step"] for event in events if event.get("state") == "resumed"] == [3]
    nothing_is_left(harness, number)


def test_an_attempt_that_is_taken_for_lost_ends_and_writes_no_more(harness, monkeypatch):
    """Two at once: the first one stands still for a while, as where its machine is cut off, and comes back."""
    monkeypatch.setattr(ray_connection, "STALE", 1.0)
    harness.lets(3)
    number = harness.add()
    harness.at_step(number, 3)
    first = submitted(harness)
    group = harness.server.group(first)
    [there] = (harness.server.storage / "jobs").iterdir()
    [node] = (harness.there / "jobs").iterdir()
    os.killpg(group, signal.SIGSTOP)
    harness.server.take_for_lost(first)
    harness.until(number, lambda: (there / "2" / "report.json").is_file())
    harness.lets(4)  # both workers go on
    harness.at_step(number, 4)
    before = {path: path.stat().st_mtime_ns for path in (there / "1").rglob("*")}
    assert before
    assert node.exists()
    os.killpg(group, signal.SIGCONT)
    harness.until(number, lambda: not node.exists(), 15.0)  # it saw that another attempt counts, and ended its worker
    assert {path: path.stat().st_mtime_ns for path in (there / "1").rglob("*")} == before
    harness.lets(6)
    assert harness.ended(number).state == "finished"
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    nothing_is_left(harness, number)


def test_a_job_that_is_lost_again_and_again_ends_with_a_sentence(harness):
    places.save(harness.root, replace(harness.server.place(retries=1), python="/no/such/python"))
    number = harness.add()
    job = harness.ended(number)
    assert (job.state, job.code) == ("failed", ray_connection.LOST)
    assert " 2 times" in job.error
    assert "/no/such/python" in job.error
    assert len([one for one in harness.server.asked if one == "POST /api/jobs/"]) == 2
    nothing_is_left(harness, number)


@pytest.mark.parametrize("wish", ["stop", "pause"])
def test_what_waits_for_room_ends_at_once(harness, wish):
    harness.server.room = False
    number = harness.add()
    harness.until(number, lambda: any("Waiting on studio" in str(one.get("text")) for one in harness.events(number)))
    harness.queue.wish(number, wish)
    assert harness.ended(number).state == {"stop": "stopped", "pause": "paused"}[wish]
    nothing_is_left(harness, number)


def test_a_stop_saves_and_a_later_resume_goes_on(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.queue.wish(number, "stop")
    assert harness.ended(number).state == "stopped"
    nothing_is_left(harness, number)
    harness.lets(6)
    harness.resume(number)
    assert harness.ended(number).state == "finished"
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    nothing_is_left(harness, number)


def test_a_job_that_somebody_stops_in_ray_is_not_started_again(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.server.answer("POST", f"/api/jobs/{submitted(harness)}/stop", b"", "")
    job = harness.ended(number)
    assert (job.state, job.code) == ("failed", ray_connection.STOPPED_IN_RAY)
    assert "studio" in job.error
    assert saved_steps(harness.run()) == [1, 2]
    nothing_is_left(harness, number)


def test_ray_is_away_while_the_node_works(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.server.close()
    asked = len(harness.server.asked)
    harness.lets(4)
    harness.at_step(number, 4)  # what is made comes by the storage
    assert len(harness.server.asked) == asked
    harness.server.start()
    harness.lets(6)
    assert harness.ended(number).state == "finished"
    nothing_is_left(harness, number)


def test_the_storage_goes_and_comes_back(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    away = harness.server.storage.with_name("away")
    harness.server.storage.rename(away)
    harness.server.storage.mkdir()  # an empty mount point
    harness.lets(5)
    time.sleep(2.5)
    assert saved_steps(harness.run())[-1] == 2
    assert harness.queue.get(number).state == "running"
    harness.server.storage.rmdir()
    away.rename(harness.server.storage)
    harness.at_step(number, 5)
    harness.lets(6)
    assert harness.ended(number).state == "finished"
    assert harness.steps_said(number) == [1, 2, 3, 4, 5, 6]
    nothing_is_left(harness, number)


def test_closed_and_opened_again_it_is_taken_up_where_it_is(harness):
    harness.lets(2)
    number = harness.add()
    harness.at_step(number, 2)
    harness.close()
    harness.lets(4)
    time.sleep(1.0)
    assert saved_steps(harness.run())[-1] == 2
    harness.open()
    harness.at_step(number, 4)
    harness.lets(6)
    assert harness.ended(number).state == "finished"
    assert len([one for one in harness.server.asked if one == "POST /api/jobs/"]) == 1
    nothing_is_left(harness, number)


def test_a_storage_that_is_not_there_is_said_in_one_sentence(harness, monkeypatch):
    monkeypatch.setattr(remote_job, "PATIENCE", 0.5)
    machine = places.Machine(1.0, "3.11.7", "linux", 2, None, 1 << 40)
    places.checked(harness.root, harness.server.place(), machine)
    number = harness.add()
    job = harness.ended(number)
    assert (job.state, job.code) == ("failed", "storage-not-mounted")
    storage = str(harness.server.storage)
    assert job.error.replace(storage, "").count(".") == 2  # of the sentence, and of the name of a file
