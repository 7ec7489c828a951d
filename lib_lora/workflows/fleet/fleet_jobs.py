"""Queues the jobs of a fleet, stops them, and resumes them.

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import slug
from lib_lora.queue.job_types import TestArguments
from lib_lora.queue.queue import OPEN, Job, Queue
from lib_lora.workflows.fleet import fleet_store
from lib_lora.workflows.fleet.fleet_plan import Fleet

RESUMABLE = ("paused", "stopped", "interrupted", "failed")


def put_in_line(root: Path, fleet: Fleet) -> Fleet:
    """Queue what of a fleet is not in the queue yet. What a killed program has queued already is not queued twice.

    Raises:
        UserError: the queue is full, or cannot be written; what was queued is noted.
    """
    with fleet_store.changing(root):
        return _put_in_line(root, fleet_store.load(root, fleet.id))


def _put_in_line(root: Path, fleet: Fleet) -> Fleet:
    queue = Queue(root)
    if all(row.job for row in fleet.rows):
        return fleet
    noted = {row.job for one in fleet_store.identifiers(root) for row in fleet_store.load(root, one).rows}
    loose = [job for job in queue.open() if job.created >= fleet.created and job.id not in noted]
    for place, row in enumerate(fleet.rows):
        if row.job:
            continue
        same = (one for one in loose if one.slug == slug(row.character) and one.arguments == row.arguments)
        job = next(same, None) or queue.add(row.character, row.arguments, again=True)
        loose = [one for one in loose if one.id != job.id]
        rows = [*fleet.rows[:place], replace(row, job=job.id), *fleet.rows[place + 1 :]]
        fleet = replace(fleet, rows=rows)
        fleet_store.save(root, fleet)
    return fleet


def stop(root: Path, fleet: Fleet) -> int:
    """Ask all jobs of a fleet that wait or run to stop, and the tests of its runs; how many were asked."""
    queue, asked = Queue(root), 0
    for job in list(_open_jobs(queue, fleet)):
        try:
            queue.wish(job.id, "stop")
            asked += 1
        except UserError as error:
            if error.code != "job-ended":  # meanwhile
                raise
    return asked


def resume(root: Path, fleet: Fleet) -> Fleet:
    """Put back in line what has stopped, failed or was interrupted, and what was never queued.

    Raises:
        UserError: the queue is full, or cannot be written.
    """
    queue = Queue(root)
    with fleet_store.changing(root):
        fleet = fleet_store.load(root, fleet.id)
        rows = []
        for row in reversed(fleet.rows):  # each goes to the front of the line
            job = found(queue, row.job)
            if job is None and row.job and not row.run:
                row = replace(row, job=0)  # somebody took it off the list before it had a run
            elif job is not None and job.state in RESUMABLE:
                queue.resume(job.id)
            rows.append(row)
        fleet = replace(fleet, rows=rows[::-1])
        fleet_store.save(root, fleet)
        return _put_in_line(root, fleet)


def found(queue: Queue, number: int) -> Job | None:
    """The job of a number; None where there is none any more."""
    try:
        return queue.get(number) if number else None
    except UserError as error:
        if error.code != "job-not-found":
            raise
        return None


def tests_of(jobs: list[Job], character: str, run: str) -> list[Job]:
    """The jobs that test a run."""
    name = slug(character)
    return [
        job
        for job in jobs
        if job.slug == name and isinstance(job.arguments, TestArguments) and job.arguments.run == run
    ]


def _open_jobs(queue: Queue, fleet: Fleet) -> Iterator[Job]:
    there = queue.open()
    numbers = {row.job for row in fleet.rows}
    for job in there:
        if job.id in numbers and job.state in OPEN:
            yield job
    for row in fleet.rows:
        if row.train and row.run:
            yield from tests_of(there, row.character, row.run)
