"""The real Ray cluster of `remote_faults`: a head and nodes of this machine, that all trials share.

Only home's way to the storage can be cut here, and what runs on nodes killed; the head stays. A script stands for the
trainer and for what is installed, as on the stand-in.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import ray_nodes
from fake_ray import FakeRay
from ray_nodes import RayNodes
from remote_harness import STEPS, TRAINER

from bench.faults.fault_cluster import Cluster
from lib_lora.remote import installation
from lib_lora.remote.ray_cluster import ray_node, shared_storage

_EMPTIES = 30.0  # seconds in which all of a job goes from the nodes


class SharedNodes(FakeRay):
    """The nodes, as the harness of a trial takes a cluster; it neither starts nor ends them.

    Args:
        folder: of the trial.
        nodes: that all trials share.
    """

    def __init__(self, folder: Path, nodes: RayNodes) -> None:
        super().__init__(folder)
        self.real = nodes
        self.port = nodes.port
        self.there = nodes.there(nodes.nodes()[0])

    def start(self) -> None:
        """See `FakeRay`."""

    def stop(self) -> None:
        """See `FakeRay`."""

    def listed(self) -> list[dict[str, Any]]:
        """Our jobs, as Ray lists them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/jobs/", timeout=20) as answer:
            rows = json.load(answer)
        return [row for row in rows if str(row.get("submission_id")).startswith("sameface-")]


class Nodes(Cluster):
    """A home, and a real cluster. See `Machine`."""

    kind = "ray-nodes"
    real: RayNodes  # that all trials share

    def __init__(self, work: Path, prepared: Path, mounts: bool) -> None:
        for name in ("jobs", "files", "used", "probes"):
            shutil.rmtree(self.real.storage / name, ignore_errors=True)
        super().__init__(work, prepared, mounts=False)
        for name in self.real.nodes():
            self._prepare(name)

    def _cluster(self, work: Path) -> SharedNodes:
        shutil.rmtree(self.real.there(self.real.nodes()[0]), ignore_errors=True)
        return SharedNodes(work / "cluster", self.real)

    def _disk(self, work: Path) -> Path:
        return self.real.storage

    def _prepare(self, node: str) -> None:
        """Let a script be SameFace on a node."""
        there = self.real.there(node)
        version = there / "versions" / installation.built(self.harness.root).sha256[:16]
        program = version / "venv" / "bin" / "python"
        program.parent.mkdir(parents=True, exist_ok=True)
        (version / "trainer.py").write_text(TRAINER, encoding="utf-8")
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {version}/trainer.py "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        (version / "ready.json").write_text("{}", encoding="utf-8")
        (there / "control.json").write_text(json.dumps({"until": STEPS, "pace": self.pace}), encoding="utf-8")

    # --------------------------------------------------------------------------------------------- what happens to it

    def _kill(self, *names: str) -> None:
        for node in self.real.busy():
            for path in self.real.there(node).glob("jobs/*/beat.json"):
                with suppress(OSError, ValueError, KeyError, psutil.Error):
                    beat = json.loads(path.read_text(encoding="utf-8"))
                    for name in names:
                        psutil.Process(beat[name]).kill()

    def end_program(self) -> None:
        """See `Cluster`."""
        for process in self.processes(shared_storage.VARIABLE):
            with suppress(psutil.Error):
                if ray_node.__name__ in process.cmdline():
                    process.kill()

    def lose_node(self) -> None:
        """A node is gone with all that runs there, and another one joins."""
        for node in self.real.busy():
            self.real.kill(node)
        self._join()

    def cut_node_off(self) -> None:
        """Ray ends on a node, and another one joins; the machine lives on."""
        for node in self.real.busy():
            self.real.kill_raylet(node)
        self._join()

    def _join(self) -> None:
        while len(self.real.nodes()) < 2:
            self._prepare(self.real.add())

    # ------------------------------------------------------------------------------------------------ what came of it

    def _left(self) -> dict[str, bool]:
        assert isinstance(self.cluster, SharedNodes)
        until = time.monotonic() + _EMPTIES
        while (self.real.busy() or self._workers()) and time.monotonic() < until:
            time.sleep(0.2)
        return {
            "something is left on a node": bool(self.real.busy()),
            "something runs there": bool(self._workers()),
            "Ray still has a job": bool(self.cluster.listed()),
        }

    def _workers(self) -> list[psutil.Process]:
        return [one for name in self.real.nodes() for one in self.processes(str(self.real.there(name) / "jobs"))]


@contextmanager
def cluster_of_nodes() -> Iterator[None]:
    """Start the cluster that all trials share, and end it."""
    if why := ray_nodes.missing():
        raise SystemExit(why)
    folder = Path(f"/tmp/sf-faults-{time.time_ns()}")
    Nodes.real = RayNodes(folder)
    try:
        Nodes.real.start()
        yield
    finally:
        Nodes.real.stop()
        shutil.rmtree(folder, ignore_errors=True)
