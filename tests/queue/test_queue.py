"""The queue: what is in line, who may take it, and that nothing is lost when a process is killed in between."""

import itertools
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from faults import raises

from lib_lora.queue import queue as queue_module
from lib_lora.queue.crash_reasons import WEBUI_CLOSED
from lib_lora.queue.job_types import (
    AuditArguments,
    FillArguments,
    ProbeArguments,
    TestArguments,
    TrainArguments,
    UnreadableArguments,
)
from lib_lora.queue.queue import Queue

PACKAGE = Path(__file__).parents[2]
NAME = "Mara Müller 名前"


@pytest.fixture
def queue(tmp_path) -> Queue:
    return Queue(tmp_path / "Daten ü 名前")


_seeds = itertools.count()


def train(queue, **more):
    """A training like no other, since identical ones are folded into one."""
    return queue.add(NAME, replace(TrainArguments(base="a.safetensors", settings={"seed": next(_seeds)}), **more))


def ids(jobs):
    return [job.id for job in jobs]


def test_a_job_keeps_what_it_was_given(queue):
    job = train(queue, settings={"lora": {"rank": 8}}, few=True)
    again = Queue(queue.root).get(job.id)
    assert again == job
    assert (again.kind, again.character, again.slug) == ("train", NAME, "mara-müller-名前")
    assert (again.state, again.wish, again.run, again.error, again.result) == ("waiting", "", "", "", {})
    assert (again.started, again.ended, again.pid, again.owner) == (None, None, 0, "")
    assert again.arguments.settings == {"lora": {"rank": 8}}
    assert again.arguments.then_test is True
    assert queue.folder(job.id) == queue.root / "jobs" / str(job.id)


def test_a_name_without_letters_is_refused_when_a_job_is_added(queue):
    with raises("name-unusable"):
        queue.add("...", AuditArguments())
    assert queue.jobs() == []


@pytest.mark.parametrize("number", [7, 0, -1, 1 << 80])
def test_a_job_that_is_not_there_is_one_sentence(queue, number):
    for call in (queue.get, queue.resume, queue.forget):
        with raises("job-not-found"):
            call(number)


def test_the_same_job_is_not_doubled_while_it_waits(queue):
    first = queue.add(NAME, AuditArguments())
    assert queue.add(NAME, AuditArguments(resolution=0)).id == first.id
    assert queue.add(NAME, AuditArguments(accept=True)).id != first.id
    assert queue.add("other", AuditArguments()).id != first.id
    assert queue.take("light", "me").id == first.id
    assert queue.add(NAME, AuditArguments()).id != first.id  # the one that runs may have seen too little
    assert train(queue).id != train(queue).id
    test = TestArguments(run="001", step=4)
    one, other = queue.add(NAME, test), queue.add(NAME, replace(test, weight=0.8))
    assert one.id != other.id
    assert queue.add(NAME, replace(test, weight=1)).id == one.id
    assert queue.add(NAME, replace(test, weight=0.8), first=True).id == other.id
    assert queue.take("heavy", "me").id == other.id  # it was asked for before all others
    assert queue.add(NAME, replace(test, weight=0.8)).id != other.id


def test_the_last_word_about_a_photo_counts(queue):
    """Left out, kept, and left out again while something else runs: a job of before must not stand for the last."""
    for decision in ("drop", "keep", "drop", "drop"):
        queue.add(NAME, AuditArguments(**{decision: ["01.jpg"]}))
        queue.add("other", AuditArguments())
        queue.add(NAME, FillArguments())
    line = [job.arguments for job in queue.open() if job.kind == "audit" and job.character == NAME]
    assert [(one.drop, one.keep) for one in line] == [(["01.jpg"], []), ([], ["01.jpg"]), (["01.jpg"], [])]
    assert len(queue.open()) == 3 + 2


def test_a_thousand_jobs_wait_and_no_more(queue, monkeypatch):
    assert queue_module.MOST_WAITING == 1000
    monkeypatch.setattr(queue_module, "MOST_WAITING", 3)
    for _ in range(3):
        first = train(queue)
    with raises("queue-full", has="3"):
        train(queue)
    assert queue.add(NAME, first.arguments).id == first.id
    queue.take("heavy", "me")
    train(queue)
    # what ended makes its test also then: were it refused, the job could not be ended, and nothing behind it begin
    test = queue.add(NAME, TestArguments(run="001"), first=True)
    assert ids(queue.open())[0] == test.id


def test_each_lane_runs_one_job_in_the_order_of_the_line(queue):
    a, b = train(queue), train(queue)
    light = queue.add(NAME, FillArguments())
    c = queue.add(NAME, ProbeArguments(base="x"), first=True)
    taken = queue.take("heavy", "me")
    assert (taken.id, taken.state, taken.owner) == (c.id, "running", "me")
    assert taken.started is not None
    assert queue.take("heavy", "me") is None
    assert queue.take("light", "me").id == light.id
    assert queue.take("light", "me") is None
    queue.end(c.id, "finished", result={"steps": 3})
    assert queue.get(c.id).result == {"steps": 3}
    assert queue.take("heavy", "me").id == a.id
    assert ids(queue.open()) == [b.id, a.id, light.id]
    queue.end(light.id, "failed", "No photo.")
    assert ids(queue.jobs()) == [b.id, a.id, light.id, c.id]
    assert ids(queue.jobs(limit=3)) == [b.id, a.id, light.id]
    assert ids(queue.jobs(limit=1)) == [b.id, a.id]  # what is open is never left out


def test_jobs_change_places(queue):
    a, b, c = (train(queue).id for _ in range(3))
    queue.move(c, before=a)
    assert ids(queue.open()) == [c, a, b]
    queue.move(c, before=None)
    assert ids(queue.open()) == [a, b, c]
    queue.move(a, before=c)
    assert ids(queue.open()) == [b, a, c]
    queue.move(a, before=a)
    d = queue.add(NAME, TrainArguments(base="x"), first=True).id
    e = train(queue).id
    assert ids(queue.open()) == [d, b, a, c, e]
    queue.take("heavy", "me")
    for number, before in ((d, a), (a, d)):
        with raises("job-not-waiting", has=d):
            queue.move(number, before)


def test_stop(queue):
    waiting, running = train(queue), train(queue)
    queue.move(running.id, before=waiting.id)
    queue.take("heavy", "me")
    queue.wish(running.id, "stop")
    assert (queue.get(running.id).state, queue.get(running.id).wish) == ("running", "stop")
    queue.wish(running.id, "")
    assert queue.get(running.id).wish == ""
    with raises("job-not-running"):
        queue.wish(waiting.id, "pause")
    queue.wish(waiting.id, "stop")
    assert queue.get(waiting.id).state == "stopped"
    with raises("job-ended"):
        queue.wish(waiting.id, "stop")
    with raises("job-request-unknown", has="'dance'"):
        queue.wish(running.id, "dance")


def test_pause_holds_back_what_is_heavy_until_it_is_over(queue):
    a, b = train(queue), train(queue)
    light = queue.add(NAME, AuditArguments())
    queue.take("heavy", "me")
    queue.wish(a.id, "pause")
    assert queue.paused()
    queue.end(a.id, "paused")
    assert queue.take("heavy", "me") is None
    assert queue.take("light", "me").id == light.id
    assert Queue(queue.root).paused()
    queue.pause_all(False)
    assert not queue.paused()
    assert queue.take("heavy", "me").id == a.id
    queue.end(a.id, "finished")
    assert queue.take("heavy", "me").id == b.id


@pytest.mark.parametrize("values", [{"base": "M\udcfcller"}, {"settings": {"x": ["\ud800"]}}])
def test_what_cannot_be_written_is_refused(queue, values):
    with raises("job-not-utf8"):
        queue.add(NAME, replace(TrainArguments(base="x"), **values))
    with raises("job-not-utf8"):
        queue.add("x\udcfc", AuditArguments())
    assert queue.jobs() == []


def test_a_pause_that_is_over_before_the_job_has_saved(queue):
    a, b, light = train(queue), train(queue), queue.add(NAME, AuditArguments())
    queue.take("heavy", "me")
    queue.take("light", "me")
    queue.note_run(a.id, "003")
    queue.wish(a.id, "pause")
    queue.wish(light.id, "pause")
    queue.pause_all(False)
    queue.end(a.id, "paused", result={"run": "003"})
    queue.end(light.id, "paused")
    assert ids(queue.open()) == [a.id, b.id, light.id]
    assert (queue.get(a.id).state, queue.get(a.id).wish, queue.get(a.id).arguments.run) == ("waiting", "", "003")
    assert queue.get(light.id).state == "paused"


def test_a_paused_job_can_be_stopped(queue):
    job = train(queue)
    queue.take("heavy", "me")
    queue.end(job.id, "paused")
    queue.wish(job.id, "stop")
    assert queue.get(job.id).state == "stopped"


def test_a_training_that_is_resumed_goes_on_with_its_run(queue):
    job, other = train(queue), train(queue)
    queue.take("heavy", "me")
    queue.note_run(job.id, "003")
    queue.started(job.id, 4711)
    assert queue.get(job.id).pid == 4711
    queue.folder(job.id).mkdir(parents=True)
    (queue.folder(job.id) / "result.json").write_text('{"state": "stopped"}', encoding="utf-8")
    with raises("job-not-resumable"):
        queue.resume(job.id)
    queue.end(job.id, "failed", "Out of memory.", {"x": 1}, "out-of-memory")
    ended = queue.get(job.id)
    assert (ended.error, ended.code, ended.result) == ("Out of memory.", "out-of-memory", {"x": 1})
    again = queue.resume(job.id)
    assert (again.state, again.arguments.run, again.error, again.result) == ("waiting", "003", "", {})
    assert again.code == ""
    assert again.arguments.base is None  # the run knows where it is by now
    assert (again.started, again.ended, again.pid, again.owner) == (None, None, 0, "")
    assert ids(queue.open()) == [job.id, other.id]
    assert not (queue.folder(job.id) / "result.json").exists()  # it would be taken for that of the new attempt


def test_what_is_finished_is_neither_resumed_nor_ended_again(queue):
    job = train(queue)
    queue.end(job.id, "failed", "never ran")
    assert queue.get(job.id).state == "waiting"
    queue.take("heavy", "me")
    queue.end(job.id, "finished")
    queue.end(job.id, "failed", "late")
    assert (queue.get(job.id).state, queue.get(job.id).error) == ("finished", "")
    with raises("job-not-resumable"):
        queue.resume(job.id)


def test_forgetting_takes_the_folder_too_and_a_number_is_never_given_again(queue):
    job = train(queue)
    folder = queue.folder(job.id)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("x", encoding="utf-8")
    with raises("job-active"):
        queue.forget(job.id)
    queue.wish(job.id, "stop")
    queue.forget(job.id)
    assert not folder.exists()
    assert queue.jobs() == []
    assert train(queue).id > job.id


def test_jobs_of_a_dead_supervisor_are_interrupted(queue):
    a, light = train(queue), queue.add(NAME, AuditArguments())
    queue.take("heavy", "dead")
    queue.take("light", "alive")
    queue.started(a.id, 99)
    gone = queue.abandoned(lambda owner: owner == "alive")
    assert [(job.id, job.state, job.pid) for job in gone] == [(a.id, "interrupted", 99)]
    interrupted = queue.get(a.id)
    assert (interrupted.code, interrupted.error, interrupted.result) == (*WEBUI_CLOSED, {})
    assert queue.get(light.id).state == "running"
    assert queue.abandoned(lambda owner: owner == "alive") == []
    assert queue.abandoned(lambda owner: False, "heavy") == []
    assert ids(queue.abandoned(lambda owner: False, "light")) == [light.id]
    assert queue.resume(a.id).state == "waiting"


def _add_and_take(root, count, found):
    queue = Queue(root)
    for number in range(count):
        queue.add("x", TrainArguments(base=f"{os.getpid()}-{number}"))
    for _ in range(count * 4):
        job = queue.take("heavy", str(os.getpid()))
        if job:
            found.put(job.id)
            queue.end(job.id, "finished")


def test_several_processes_on_a_new_file(queue):
    spawn = multiprocessing.get_context("spawn")
    found = spawn.Queue()
    workers = [spawn.Process(target=_add_and_take, args=(queue.root, 10, found)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(queue.jobs(100)) == 30
    taken = [found.get(timeout=5) for _ in range(sum(job.state == "finished" for job in queue.jobs(100)))]
    assert len(taken) == len(set(taken))
    assert len(taken) > 0


def test_several_threads_share_one_queue(queue):
    errors = []

    def work():
        try:
            for _ in range(10):
                train(queue)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(queue.open()) == 40


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("dream", {"base": "b", "files": {"b": "/models/b"}, "mood": "sad"}, "There is no job 'dream'"),
        ("train", {"base": "b", "mood": "sad"}, "unknown setting 'mood'"),
        ("train", {"base": 5, "files": ["b"]}, "expected text"),
        ("train", {"base": "../../b", "files": {"../../b": None}}, "is not a file in the data folder"),
        ("train", {"base": "b", "files": {"b": {"path": "/models/b"}}}, "This version cannot read where"),
        ("probe", {"base": "b", "files": {"b": 5}}, "This version cannot read where"),
    ],
)
def test_a_job_that_this_version_cannot_do_is_listed_resumed_and_removed(queue, kind, values, said):
    job, other = train(queue), train(queue)
    text = json.dumps(values)
    with queue._file.open(write=True) as db:
        db.execute("UPDATE jobs SET kind = ?, arguments = ? WHERE id = ?", (kind, text, job.id))

    def stored():
        with queue._file.open() as db:
            return db.execute("SELECT arguments FROM jobs WHERE id = ?", (job.id,)).fetchone()[0]

    assert ids(queue.jobs()) == ids(queue.open()) == [job.id, other.id]
    found = queue.get(job.id).arguments
    assert isinstance(found, UnreadableArguments)
    assert said in str(found.error)
    assert found.values == {key: value for key, value in values.items() if key != "files"}
    assert train(queue).id not in (job.id, other.id)  # beside one that cannot be read
    assert queue.take("heavy", "me").id == job.id
    queue.note_run(job.id, "003")
    queue.end(job.id, "failed", str(found.error))
    assert queue.resume(job.id).arguments == found
    assert stored() == text  # as the newer version wrote it
    queue.move(job.id, None)
    queue.wish(job.id, "stop")
    queue.forget(job.id)
    assert job.id not in ids(queue.jobs())


ADD = """
import sys
from pathlib import Path
from lib_lora.queue.job_types import TrainArguments
from lib_lora.queue.queue import Queue
queue = Queue(Path(sys.argv[1]))
for number in range(10_000):
    queue.add("x", TrainArguments(base=str(number)))
    print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_kill_9_loses_nothing_that_was_said_to_be_done(queue):
    command = [sys.executable, "-c", ADD, str(queue.root)]
    with subprocess.Popen(command, cwd=PACKAGE, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(20):
            said = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        said = max([said, *(int(line) for line in process.stdout if line.strip())])
    there = Queue(queue.root).open()
    assert said + 1 <= len(there) <= said + 2
    assert Queue(queue.root).notice() == ""
    train(queue)


def damage(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("data", [b"no database, but as long as one" * 99, b"SQLite format 3\0"])
def test_a_damaged_file_is_moved_aside_and_said(queue, data):
    damage(queue.path, data)
    (queue.root / "jobs" / "41").mkdir(parents=True)
    again = Queue(queue.root)
    moved = list(queue.root.glob("jobs.sqlite.damaged-*"))
    assert [path.read_bytes() for path in moved] == [data]
    assert str(moved[0]) in again.notice()
    assert train(again).id == 42  # the folder of job 41 is still there
    moved[0].unlink()
    assert again.notice() == ""


def test_damage_that_shows_later_is_said_once_and_then_all_works(queue):
    job = train(queue)
    damage(queue.path, b"x" * 5000)
    for ending in ("-wal", "-shm"):
        queue.path.with_name(queue.path.name + ending).unlink(missing_ok=True)
    with raises("queue-begun-anew"):
        queue.get(job.id)
    assert queue.open() == []
    assert train(queue).state == "waiting"


def test_while_it_is_kept_open_its_other_files_stay(queue):
    parts = [queue.path.with_name(queue.path.name + ending) for ending in ("-wal", "-shm")]
    train(queue)
    assert not any(part.exists() for part in parts)
    with queue.kept_open():
        train(queue)
        Queue(queue.root).jobs()
        assert all(part.exists() for part in parts)
    assert not any(part.exists() for part in parts)


@pytest.mark.skipif(sys.platform == "win32", reason="there an open file is not moved aside by another process")
def test_a_damaged_file_that_is_kept_open_is_replaced_by_one_that_is(queue):
    parts = [queue.path.with_name(queue.path.name + ending) for ending in ("-wal", "-shm")]
    with queue.kept_open():
        train(queue)
        damage(queue.path, b"x" * 5000)
        for part in parts:
            part.unlink()
        assert "was damaged" in Queue(queue.root).notice()  # which has moved it aside
        for _ in range(3):
            train(queue)
        assert all(part.exists() for part in parts)
        assert len(Queue(queue.root).open()) == 3
    assert not any(part.exists() for part in parts)
    assert len(Queue(queue.root).open()) == 3


def test_a_file_of_a_newer_version_is_left_alone(queue):
    train(queue)
    db = sqlite3.connect(queue.path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with raises("queue-of-newer-version"):
        Queue(queue.root).open()
    assert not list(queue.root.glob("*damaged*"))


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "data").write_text("", encoding="utf-8")
    with raises("file-inaccessible", has="Cannot write"):
        Queue(tmp_path / "data").open()


def test_readers_are_not_held_up_by_a_writer(queue):
    train(queue)
    db = sqlite3.connect(queue.path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM jobs")
    try:
        assert len(queue.open()) == 1
    finally:
        db.close()
