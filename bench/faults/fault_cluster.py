"""The Ray cluster of `remote_faults`: its API is a stand-in's, its storage a folder that each side may lose a while.

Home and node find the storage by a name of their own, as where a share is mounted on each.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fake_ray import FakeRay
from remote_harness import RemoteHarness

from bench.faults.fault_machines import AWAY, FaultyMachine
from lib_lora.remote import places
from lib_lora.remote.ray_cluster import ray_connection
from lib_lora.remote.ray_cluster.shared_storage import FolderStorage

HERE, THERE = "here", "there"
_THERE = "Bringing files to the node"  # from the storage, which is the end of the upload
_BRINGS = ("Bringing", "Installing")
_SWEEPS = 15.0  # seconds in which a node deletes what is left of a job
_LIES = (  # answers of an API that lies
    b"<html>not found</html>",
    b'{"status": "SUCCEEDED", "submission_id": "../../jobs/x", "message": 5}',
    b'[{"submission_id": "sameface-x-1", "status": "FAILED"}, 3, null]',
    b'{"result": false, "jobs": {"a": 1}, "ray_version": "\\u0000"}',
    b"[]",
)


class Cluster(FaultyMachine):
    """A home, and a cluster of one node. See `Machine`."""

    kind = "ray"
    pace = 0.8  # a node puts what is new into the storage once a second

    def __init__(self, work: Path, prepared: Path, mounts: bool) -> None:
        self.cluster = self._cluster(work)
        self.disk = self._disk(work)
        self._seen = {HERE: self.cluster.storage, THERE: self.cluster.storage.with_name("as the nodes see it")}
        self.cluster.storage.rmdir()
        for path in self._seen.values():
            path.symlink_to(self.disk)
        self.cluster.storage_there = self._seen[THERE]
        self.written_nowhere = False  # into the folder of a share that was not mounted
        super().__init__(work, prepared, mounts)

    def _cluster(self, work: Path) -> FakeRay:
        return FakeRay(work / "cluster")

    def _disk(self, work: Path) -> Path:
        """The storage itself, which each side finds by another name."""
        made = work / "cluster" / "disk"
        made.mkdir()
        return made

    def _made(self, prepared: Path) -> RemoteHarness:
        self.cluster.environment |= self.environment
        return RemoteHarness(self.work, prepared, runs_jobs=False, cluster=self.cluster)

    def _mount(self) -> None:
        super()._mount()
        self._mount_disk(self.disk)

    def _add(self) -> int:
        ray_connection._mark(FolderStorage(self.disk))  # as `place add` does
        places.save(self.harness.root, _marked(self.cluster.place()))
        return super()._add()

    # --------------------------------------------------------------------------------------------------- what it does

    def phase(self) -> str:
        """See `Machine`; a node says only now and then what it does, so it is looked at there."""
        found = super().phase()
        if found == "download" and [text for text in self.said() if text.startswith(_BRINGS)][-1].startswith(_THERE):
            found = "upload"
        if found == "upload" and any(not (one / "ready.json").is_file() for one in self.there.glob("versions/*")):
            found = "installation"
        return found

    def watch(self, look: Callable[[str], None]) -> None:
        """See `Machine`."""
        self.cluster.before = look

    # --------------------------------------------------------------------------------------------- what happens to it

    def cut_head(self) -> None:
        """Nobody reaches the head for a while; the storage can be reached."""
        self.cluster.close()
        time.sleep(AWAY)
        self.cluster.start()

    def cut_network(self) -> None:
        """See `Machine`: home reaches neither the head nor the storage."""
        self.cluster.close()
        self.unmount(HERE)
        self.cluster.start()

    def restart_head(self) -> None:
        """The head ends with all jobs, and begins again without having heard of any."""
        self.cluster.close()
        self.cluster.begin_anew()
        time.sleep(AWAY)
        self.cluster.start()

    def end_program(self) -> None:
        """What Ray has started on the node is killed; the worker, which has a session of its own, is not."""
        for job in self.cluster.running():
            self.cluster.kill(job)

    def lose_node(self) -> None:
        """The node is gone with all that runs there; it is back, without it, when the job is attempted anew."""
        for job in self.cluster.running():
            self.cluster.lose(job)
        self.end_processes(str(self.there))

    def cut_node_off(self) -> None:
        """Ray takes the node for dead, and what runs there goes on."""
        for job in self.cluster.running():
            self.cluster.take_for_lost(job)

    def unmount(self, *sides: str) -> None:
        """The storage is not mounted for a while: in its place is an empty folder."""
        for side in sides:
            self._seen[side].unlink()
            self._seen[side].mkdir()
        time.sleep(AWAY)
        for side in sides:
            if any(self._seen[side].iterdir()):
                self.written_nowhere = True
                self._seen[side].rename(self._seen[side].with_name(f"written into nothing {side}"))
            else:
                self._seen[side].rmdir()
            self._seen[side].symlink_to(self.disk)

    def fill_storage(self) -> None:
        """The storage has no byte free for a while."""
        self._fill(self.disk)

    def mislead(self, fault: str, draw: random.Random) -> None:
        """Let the API answer wrongly: with a status, "slow", or "lies"; from the next request on."""
        times = draw.randint(1, 3)
        if fault == "slow":
            self.cluster.plan(0, times, wait=6.0)
        elif fault == "lies":
            self.cluster.plan(200, times, _LIES[draw.randrange(len(_LIES))])
        else:
            self.cluster.plan(int(fault), times, b"something of a proxy's")

    # ------------------------------------------------------------------------------------------------ what came of it

    def met(self) -> bool:
        """Whether an answer that was to be another one was given; those that were not are taken back."""
        self.cluster.forget_plans()
        return self.cluster.given > 0

    def wrong(self) -> list[str]:
        """See `Machine`; and nothing is left in the storage, in Ray's list and among the node's processes."""
        there = self._left()
        looks = {
            **there,
            "something is left in the storage": any(
                path.is_file() for name in ("jobs", "probes") for path in (self.disk / name).rglob("*")
            ),
            "something was written where the storage was not mounted": self.written_nowhere,
        }
        return super().wrong() + [text for text, is_so in looks.items() if is_so]

    def _left(self) -> dict[str, bool]:
        """What may still be on the node and in Ray's list once it had time to go, and whether it is."""
        until = time.monotonic() + _SWEEPS
        while (self.harness.jobs_there() or self.processes(str(self.there))) and time.monotonic() < until:
            time.sleep(0.1)
        return {
            "something runs there": bool(self.processes(str(self.there))),
            "Ray still has a job": bool(self.cluster.jobs),
        }


def _marked(place: places.Place) -> places.Place:
    assert place.ray
    return replace(place, ray=replace(place.ray, marked=True))
