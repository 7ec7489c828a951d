"""Trains on a Ray cluster, as `ssh_runner` does on a machine, over a connection of shared storage and Ray's Jobs API.

What differs is in that connection (`remote.ray_cluster.ray_connection`): a job waits in the cluster for a node that has
room, and is submitted again where its node dies. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lib_lora.job_host import JobHost
from lib_lora.queue.runners.ssh_runner import SshRunner
from lib_lora.remote.ray_cluster.connecting import Connector


class RayRunner(SshRunner):
    """See `queue.running.runner_protocol.Runner`.

    Args:
        root, host: see `SshRunner`.
    """

    def __init__(self, root: Path, host: Callable[[], JobHost]) -> None:
        super().__init__(root, host, Connector().connect)
