"""Follows a fleet in the terminal until all of it has ended; the jobs of other machines run meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from lib_lora.errors import StoppedByUser, typed
from lib_lora.job_host import JobHost
from lib_lora.queue.job_types import Lane
from lib_lora.remote.gpu_providers import is_rented
from lib_lora.remote.places import LOCAL
from lib_lora.workflows.fleet import fleet_jobs, fleet_progress
from lib_lora.workflows.fleet.fleet_plan import Fleet
from lib_lora.workflows.fleet.fleet_progress import RowProgress
from lib_lora.workflows.train.elsewhere.train_elsewhere import supervised

_POLL = 2.0  # seconds between two checks


def follow(
    host: JobHost, root: Path, fleet: Fleet, say: Callable[[str], None] = print, poll: float = _POLL
) -> tuple[Fleet, list[RowProgress]]:
    """Stay until nothing of a fleet waits or is at work; how each job stands then.

    Args:
        host: the program around SameFace.
        root: the data folder.
        fleet: which; its jobs are in the queue.
        say: is told how far it is, whenever that changes.
        poll: seconds between two checks.

    Raises:
        StoppedByUser: it was left; what is on other machines goes on there.
    """
    said = ""
    try:
        with supervised(host, root, _lanes(fleet)):
            while True:
                if not all(row.job for row in fleet.rows):  # who was queueing them has ended
                    fleet = fleet_jobs.put_in_line(root, fleet)
                fleet, found = fleet_progress.fleet_progress(root, fleet)
                if (text := fleet_progress.sentence(fleet, found)) != said:
                    say(text)
                    said = text
                if fleet_progress.all_ended(found):
                    return fleet, found
                time.sleep(poll)
    except KeyboardInterrupt:
        again, stop = typed("fleet", "follow", fleet.id), typed("fleet", "stop", fleet.id)
        raise StoppedByUser(
            f"Left; training on other machines continues. To follow it again: {again}; to end it: {stop}",
            code="fleet-left-running",
            again=again,
            end=stop,
        ) from None


def _lanes(fleet: Fleet) -> tuple[Lane, ...]:
    """Whose jobs are run meanwhile; the tests of what was trained on a rented GPU are done on this computer."""
    return get_args(Lane) if fleet.on == LOCAL or is_rented(fleet.on) else ("remote",)
