"""Knows who uses which rented pod, and ends those whose user has died.

Imports nothing heavy.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from lib_lora.queue.job_types import Rental
from lib_lora.queue.queue import Queue
from lib_lora.queue.runners import remote_job
from lib_lora.queue.runners.remote_job import RemoteJob
from lib_lora.queue.runners.rented_pod import PodOrder, RentedPod, read_memo
from lib_lora.remote import places
from lib_lora.remote.connection import Connection
from lib_lora.workspace.workspace import JobFolder, Workspace

PAINTING = "painting"  # begins the names of the folders of painters elsewhere
COMMAND = 0  # in place of a job's number: a command, which has none
_JOB = re.compile(rf"{PAINTING}-job-([0-9]{{1,9}})-.+")


def pods_in_use(root: Path) -> dict[str, int]:
    """The pods that something of this data folder uses, by name: the number of the job, or `COMMAND`.

    A job uses its pod until it has ended and nothing of it is on the pod alone, a painter until its process ends.
    """
    workspace, queue = Workspace(root), Queue(root)
    jobs = [*queue.open(), *(job for job in queue.ended() if workspace.job(job.id).remote.is_file())]
    files = {job.id: workspace.job(job.id).pod for job in jobs}
    used = {name: number for number, path in files.items() if (memo := read_memo(path)) for name in memo.names}
    for folder in _painters(workspace):
        if not remote_job.is_ownerless(folder) and (memo := read_memo(JobFolder(folder).pod)):
            match = _JOB.fullmatch(folder.name)
            used |= dict.fromkeys(memo.names, int(match[1]) if match else COMMAND)
    return used


def end_left(root: Path, say: Callable[[str], None]) -> None:
    """Delete the pods of painters whose process has died, and write down what they cost. Where that fails, they stay
    remembered for the next time; what is wrong is said, and nothing raised.

    Args:
        root: the data folder.
        say: is told what is done, for the user.
    """
    workspace = Workspace(root)
    for folder in _painters(workspace):
        if not remote_job.is_ownerless(folder) or (memo := read_memo(JobFolder(folder).pod)) is None:
            continue
        job = RemoteJob(workspace, folder.name, Connection(root, places.RENTED), folder, say)
        order = PodOrder(memo.slug, "", Rental(), memo.since, keeps=False)
        pod = RentedPod(job, folder, partial(_same, order), partial(_warned, say))
        say(f"Deleted rented pod {memo.name}, left behind by a painter that was killed.")
        if pod.give_back():
            pod.forget()
            shutil.rmtree(folder, ignore_errors=True)


def _painters(workspace: Workspace) -> Iterator[Path]:
    named = workspace.remote_work(PAINTING, "*").name
    yield from sorted(path for path in workspace.remote.glob(named) if JobFolder(path).pod.is_file())


def _same(order: PodOrder) -> PodOrder:
    return order


def _warned(say: Callable[[str], None], kind: str, **fields: object) -> None:
    if kind == "warning":
        say(str(fields.get("text", "")))
