"""Workers and queues that do not keep to the rules: nothing of them may hold the lane or the GPU for ever."""

import os
import sqlite3
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from faults import raises
from PIL import Image
from supervisor_harness import PATIENCE, FakeHost, Harness, alive, eventually

from lib_lora.errors import UserError
from lib_lora.queue.job_types import arguments_of
from lib_lora.queue.queue import Queue
from lib_lora.queue.running import worker_pipe
from lib_lora.queue.running.job_runner import JobRunner, cleaned, outcome_of_worker, run_of
from lib_lora.queue.running.supervisor import Timeouts
from lib_lora.queue.running.timing import SystemClock
from lib_lora.runs.events import EventLog
from lib_lora.workspace.workspace import Workspace

HASTY = Timeouts(stop=0.3, pause=0.3, close=0.3, leave=0.3, poll=0.05, again=0.05)


@pytest.fixture
def host(tmp_path):
    return FakeHost(tmp_path)


@pytest.fixture
def opened(tmp_path, host):
    """A harness whose supervisor is at work: opened(patience)."""
    made = []

    def open_harness(patience=PATIENCE):
        made.append(Harness(tmp_path / "Daten ü 名前", host, patience))
        made[-1].supervisor.start()
        eventually(lambda: made[-1].supervisor.active)
        return made[-1]

    yield open_harness
    host.free.set()
    host.picture_done.set()
    for harness in made:
        harness.supervisor.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "sameface-gpu"]


# -- what a worker says


def test_a_file_name_that_is_no_text_does_not_keep_its_job_from_ending(opened):
    harness = opened()
    number, following = harness.add("names-a-latin-1-file"), harness.add("finishes")
    job = harness.ended(number)
    assert (job.state, job.error) == ("failed", "Cannot read M?ller.jpg")
    assert job.result == {"files": [{"M?ller.jpg": 1}]}
    assert job.run == "0?3"
    assert harness.ended(following).state == "finished"


def test_what_a_worker_has_said_is_cleaned_to_the_last_corner(tmp_path):
    assert cleaned({"a\ud800": ["\udcfc", {"b": ("x", 1, None, 0.5)}]}) == {"a?": ["?", {"b": ("x", 1, None, 0.5)}]}
    assert run_of([{"kind": "run", "run": "1"}, {"kind": "run", "run": 5}, {"kind": "step"}]) == "1"
    assert run_of([]) == ""
    (tmp_path / "result.json").write_text(
        '{"state": "finished", "result": {"x": ' + "[" * 500 + "]" * 500 + "}}", encoding="utf-8"
    )
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        assert outcome_of_worker(tmp_path) is None
    finally:
        sys.setrecursionlimit(limit)


def test_an_end_that_cannot_be_written_is_one_all_the_same(opened, monkeypatch):
    harness, end = opened(), Queue.end

    def picky(queue, number, state, error="", result=None, code=""):
        if state == "finished":
            raise ValueError("odd")
        end(queue, number, state, error, result, code)

    monkeypatch.setattr(Queue, "end", picky)
    job = harness.ended(harness.add("finishes"))
    assert (job.state, job.code) == ("failed", "end-not-written")


# -- a list of jobs that cannot be written


def test_the_gpu_is_given_back_although_the_end_cannot_be_written(opened, host, monkeypatch):
    harness, end, full = opened(), Queue.end, threading.Event()
    full.set()

    def picky(*arguments):
        if full.is_set():
            raise UserError("Cannot use jobs.sqlite (database or disk is full).", code="some-fault")
        end(*arguments)

    monkeypatch.setattr(Queue, "end", picky)
    number = harness.add("finishes")
    eventually(lambda: [said for said, *_ in host.said] == ["in", "out"])
    assert harness.queue.get(number).state == "running"
    assert "disk is full" in harness.supervisor.reason
    full.clear()
    assert harness.ended(number).state == "finished"
    assert len([event for event in harness.events(number) if event["kind"] == "run"]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files, which here is a full disk")
@pytest.mark.parametrize("kept", [True, False])
def test_on_a_full_disk_the_queue_can_still_be_read(opened, kept):
    import resource

    harness = opened()
    number = harness.add("waits")
    harness.at_work(number)
    if not kept:  # so it would be
        harness.supervisor._closing.set()
        (harness.root / "go").touch()
        eventually(lambda: not harness.supervisor.active)
    other = Queue(harness.root)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        if kept:
            assert (other.get(number).id, other.paused()) == (number, False)
            with raises("queue-unusable"):
                other.pause_all(True)
        else:
            with raises("queue-unusable"):
                other.get(number)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if kept:
        (harness.root / "go").touch()
        assert harness.ended(number).state == "finished"


# -- workers that do not end


@pytest.mark.parametrize(("does", "wish", "state"), [("stays", "", "finished"), ("stays-stopped", "stop", "stopped")])
def test_a_worker_that_has_said_its_end_must_go(opened, host, does, wish, state):
    harness = opened(Timeouts(stop=20, pause=20, close=20, leave=0.3, poll=0.05, again=0.05))
    number, following = harness.add(does), harness.add("finishes")
    child = harness.queue.folder(number) / "child"
    eventually(lambda: child.exists() and child.read_text())
    if wish:
        harness.queue.wish(number, wish)
    job = harness.ended(number)
    assert (job.state, job.error, job.result) == (state, "", {"steps": 3})
    assert harness.ended(following).state == "finished"
    eventually(lambda: not alive(int(child.read_text())))
    assert harness.events(number)[-1] == {"kind": "state", "state": "training"}  # the worker's own words stay the last


@pytest.mark.skipif(sys.platform == "win32", reason="a dead parent's children are not known there")
def test_what_a_worker_leaves_behind_goes_although_it_ended_well(opened):
    harness = opened()
    number = harness.add("ends-and-leaves-a-child")
    assert harness.ended(number).state == "finished"
    pid = int((harness.queue.folder(number) / "child").read_text())
    eventually(lambda: not alive(pid))


@pytest.mark.parametrize("way", ["stop", "pause", "close"])
def test_a_worker_in_the_midst_of_a_long_step_is_waited_for(opened, way):
    harness = opened(HASTY)
    number = harness.add("steps-slowly")
    eventually(lambda: {"kind": "state", "state": "stepping"} in harness.events(number))
    if way == "close":
        harness.supervisor.close()
    else:
        harness.queue.wish(number, way)
    job = harness.ended(number)
    assert job.state == {"stop": "stopped", "pause": "paused", "close": "interrupted"}[way]
    assert job.code == ("webui-closed" if way == "close" else "")
    assert job.result == {"step": 7}


@pytest.mark.parametrize("way", ["stop", "pause", "close"])
def test_a_step_that_was_said_as_the_wish_was_read_counts_for_the_patience(tmp_path, way):
    """The worker says it after the runner has begun to look, and before it knows of the wish."""
    queue, closing = Queue(tmp_path), threading.Event()
    job = queue.add("steps", arguments_of("train", {"base": "x", "then_test": False}))
    runner = JobRunner(job, queue, None, None, HASTY, SystemClock(), closing, None)
    events = Workspace(queue.root).job(job.id).events
    events.parent.mkdir(parents=True)

    def steps_and_is_asked(number):
        EventLog(events)("step", step=1, total=9, seconds_per_step=1.0)
        if way == "close":
            closing.set()
        return replace(job, wish="" if way == "close" else way)

    runner.queue = SimpleNamespace(root=queue.root, folder=queue.folder, get=steps_and_is_asked)
    while runner._deadline is None:
        runner._checked_at = None
        runner._check()
    assert runner._deadline > time.monotonic() + 30


def test_patience_grows_with_the_steps():
    assert worker_pipe.patient(90.0, 0.0) == 90.0
    assert worker_pipe.patient(90.0, 5.0) == 90.0
    assert worker_pipe.patient(90.0, 100.0) == 360.0


@pytest.mark.parametrize("way", ["stop", "close"])
def test_stop_and_close_are_heard_while_the_host_is_busy_with_a_picture(opened, host, way):
    harness = opened(Timeouts(stop=20, pause=20, close=20, poll=0.05, again=0.05))
    host.painting = True
    host.picture_done.clear()
    Image.new("RGB", (8, 8), "red").save(harness.root / "in.png")
    number = harness.add("rebuilds", "test", painter="webui")
    harness.at_work(number)
    time.sleep(0.3)
    began = time.monotonic()
    if way == "stop":
        harness.queue.wish(number, "stop")
    else:
        harness.supervisor.close()
    job = harness.ended(number)
    assert time.monotonic() - began < 5
    assert job.result["answer"] == {"wish": "stop"} if job.result else job.state in ("stopped", "interrupted")


# -- the line


def test_a_pause_that_was_over_before_the_worker_had_saved(opened):
    harness = opened()
    number, following = harness.add("steps-slowly"), harness.add("waits")
    eventually(lambda: {"kind": "state", "state": "stepping"} in harness.events(number))
    harness.queue.wish(number, "pause")
    time.sleep(0.3)  # it has been told
    harness.queue.pause_all(False)
    eventually(lambda: harness.queue.get(number).arguments.run == "003")
    harness.until(number, "running")
    assert harness.queue.get(following).state == "waiting"
    harness.queue.wish(number, "stop")
    harness.until(number, "stopped")
    (harness.root / "go").touch()
    assert harness.ended(following).state == "finished"


@pytest.mark.parametrize("lane", ["heavy", "light"])
def test_a_lane_is_not_blocked_by_a_job_whose_owner_has_gone(opened, lane):
    harness = opened()
    kind = {"heavy": "probe", "light": "audit"}[lane]
    lost = harness.add("fails", kind)
    harness.ended(lost)
    (harness.queue.folder(lost) / "result.json").unlink()
    with sqlite3.connect(harness.queue.path) as db:
        owner = f"{os.getpid()}@1.00/gone"
        db.execute("UPDATE jobs SET state = 'running', owner = ?, seal = '' WHERE id = ?", (owner, lost))
    db.close()
    following = harness.add("finishes", kind)
    assert harness.until(lost, "interrupted").error
    assert harness.ended(following).state == "finished"
