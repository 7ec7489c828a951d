"""Lists of jobs that older versions have written are opened as they are: nothing is lost, and their jobs can run.

The files in ``tests/data/old-queues`` were dumped from what the version of that day wrote: without seals, and with.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lib_lora.queue.job_types import AuditArguments, kind_of
from lib_lora.queue.queue import Queue

OLD = Path(__file__).resolve().parents[1] / "data" / "old-queues"
KINDS = {1: "audit", 2: "fill", 3: "train", 4: "train", 5: "test", 6: "probe", 7: "choose"}


@pytest.fixture(params=sorted(OLD.glob("*.sql")), ids=lambda path: path.stem)
def queue(request: pytest.FixtureRequest, tmp_path: Path) -> Queue:
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as db:
        db.executescript(request.param.read_text(encoding="utf-8"))
        db.commit()
    return Queue(tmp_path)


def test_nothing_of_it_is_lost(queue: Queue) -> None:
    jobs = {job.id: job for job in queue.jobs()}
    assert {number: job.kind for number, job in jobs.items()} == KINDS
    assert queue.notice() == ""
    assert queue.paused()
    states = {number: job.state for number, job in jobs.items()}
    assert states == {1: "finished", 2: "running", **dict.fromkeys((3, 4, 5, 6, 7), "waiting")}
    assert jobs[1].result == {"photos": 8}
    assert {number: kind_of(job.arguments) for number, job in jobs.items()} == KINDS  # none that cannot be read
    new = jobs[3].arguments
    assert (new.base, new.settings, new.few) == (
        "/models/mini-face.safetensors",
        {"steps": 8, "learning_rate": 0.0002},
        True,
    )
    assert (jobs[4].run or jobs[4].arguments.run, jobs[4].arguments.steps) == ("001", 10)


def test_its_order_holds_and_its_jobs_run(queue: Queue) -> None:
    assert [job.id for job in queue.abandoned(lambda owner: False)] == [2]
    assert queue.get(2).state == "interrupted"
    assert queue.resume(2).state == "waiting"
    queue.pause_all(False)
    taken = []
    while job := queue.take("heavy", "me"):
        taken.append(job.id)
        queue.end(job.id, "finished")
    assert taken[:2] == [4, 3]  # the fourth was moved to the front
    assert sorted(taken) == [3, 4, 5, 6, 7]
    assert queue.add("mara", AuditArguments()).id == 8  # numbers are never used again
