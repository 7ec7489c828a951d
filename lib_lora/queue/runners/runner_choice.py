"""Chooses who runs a job: this machine, or the place that the job names.

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lib_lora.job_host import JobHost
from lib_lora.queue.job_types import place_in
from lib_lora.queue.queue import Job
from lib_lora.queue.runners.local_runner import LocalRunner
from lib_lora.queue.runners.pod_runner import PodRunner
from lib_lora.queue.runners.ray_runner import RayRunner
from lib_lora.queue.runners.ssh_runner import SshRunner
from lib_lora.queue.running.runner_protocol import Runner, WorkerHandle
from lib_lora.remote import places
from lib_lora.remote.gpu_providers import is_rented
from lib_lora.remote.places import LOCAL


class ChosenRunner:
    """See `queue.running.runner_protocol.Runner`: passes each job on to the runner for where it is done.

    Args:
        root, host: see `LocalRunner`.
    """

    def __init__(self, root: Path, host: Callable[[], JobHost]) -> None:
        self._local = LocalRunner(root, host)
        self._ssh, self._pods, self._ray = SshRunner(root, host), PodRunner(root, host), RayRunner(root, host)

    def start(self, job: Job) -> WorkerHandle:
        """See `Runner.start`."""
        return self._of(job).start(job)

    def end_left_behind(self, job: Job, patience: float, giving_up: Callable[[], bool]) -> None:
        """See `Runner.end_left_behind`."""
        self._of(job).end_left_behind(job, patience, giving_up)

    def _of(self, job: Job) -> Runner:
        place = place_in(job.arguments)
        if place == LOCAL:
            return self._local
        return self._pods if is_rented(place) else self._ray if place.startswith(places.RAY) else self._ssh
