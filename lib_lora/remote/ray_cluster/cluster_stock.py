"""Says what the storage and the nodes of a cluster keep from one job to the next, and deletes what nobody needs.

Each node that lives is asked by a small Ray job of its own, which needs no CPU, so that a busy node answers too. What
nodes say is passed on as it came; who shows it looks at it (`remote.stored_there`).
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lib_lora.errors import UserError
from lib_lora.remote.connection import Unreachable
from lib_lora.remote.http_exchange import one_line
from lib_lora.remote.ray_cluster.ray_api import ENDED, RayApi, RayNode
from lib_lora.remote.ray_cluster.shared_storage import MOST, ORDER, Storage

STORED, CLEAN = "stored", "clean"  # what a node is asked
USED = "used"  # folder of the storage with a file for each shared one that was needed lately
FRESH = 3600.0  # seconds after its last use in which something may be about to be used again
_PATIENCE = 60.0  # seconds in which all nodes must have answered
_POLL = 0.5  # seconds between two checks
_FILE = re.compile(r"files/([0-9a-f]{64})(\.[0-9a-f]{12}\.tmp)?")
_MODEL, _WHEEL = "a base model", "a version of SameFace"

Row = dict[str, Any]


class ClusterStock:
    """What a cluster keeps.

    Args:
        storage: that its nodes share with this computer.
        api: of the cluster.
        send: submits a job of that id, told what to do, to a node.
        end: ensures that Ray has ended jobs, and forgets them.
    """

    def __init__(
        self,
        storage: Storage,
        api: RayApi,
        send: Callable[[str, dict[str, Any], str], None],
        end: Callable[[list[str]], None],
    ) -> None:
        self._storage, self._api, self._send, self._end = storage, api, send, end

    def stored(self) -> Row:
        """As `Agent.stored` answers: where each row is, and the nodes that have not answered.

        Raises:
            UserError, OSError: the storage or Ray cannot be asked.
        """
        found = self._asked_nodes({"do": STORED})
        found["shared"] += self._files(found)
        return found

    def clean(self, version: str) -> Row:
        """As `Agent.clean` answers, on all nodes and in the storage; see `stored`.

        Args:
            version: SHA-256 of the wheel of the version that stays.
        """
        known = self._asked_nodes({"do": STORED})  # what nobody knows by then has no name any more
        found = self._asked_nodes({"do": CLEAN, "version": version})
        gone = [row for row in self._files(known) if not row["needed"] and row["sha256"] != version]
        for row in gone:
            for name in (row["file"], f"{USED}/{row['sha256']}"):
                self._storage.delete(name)
        found["shared"] += gone
        found["left"] += [row["file"] for row in gone if self._storage.size(row["file"]) is not None]
        return found

    # ------------------------------------------------------------------------------------------------- in the storage

    def _files(self, of_nodes: Row) -> list[Row]:
        """The shared files of the storage. What a job needs that has not said so keeps all of them."""
        needed, unknown = self._needed()
        names = {row["sha256"]: row["names"] for row in of_nodes["shared"] if _has_names(row)}
        versions = {str(row.get("version")) for row in of_nodes["versions"]}
        found = []
        for file in self._storage.names("files"):
            if (match := _FILE.fullmatch(file)) is None or (size := self._storage.size(file)) is None:
                continue
            sha256, half = match[1], bool(match[2])
            ages = [self._storage.age(one) for one in (file, *([] if half else [f"{USED}/{sha256}"]))]
            idle = min([age for age in ages if age is not None], default=0.0)
            kind = _WHEEL if sha256[:16] in versions else _MODEL
            row = {"sha256": sha256, "names": [] if half else names.get(sha256) or [f"{kind} ({sha256[:16]})"]}
            keeps = unknown or idle < FRESH or (sha256 in needed and not half)
            found.append({**row, "bytes": size, "idle": idle, "needed": keeps, "where": "in the storage", "file": file})
        return found

    def _needed(self) -> tuple[set[str], bool]:
        """The files that jobs need; whether one does not say which."""
        found, unknown = set[str](), False
        for job in {name.split("/")[1] for name in self._storage.names("jobs") if name.count("/") > 1}:
            try:
                order = json.loads(self._storage.read(f"jobs/{job}/{ORDER}", MOST) or b"")
                found |= {str(order.get("version")), *map(str, order["shared"].values())}
            except (ValueError, KeyError, TypeError, AttributeError):
                unknown = True
        return found, unknown

    # --------------------------------------------------------------------------------------------------- on the nodes

    def _asked_nodes(self, what: dict[str, Any]) -> Row:
        """What the nodes that live have answered, together."""
        asked = {f"{what['do']}-{uuid.uuid4().hex[:12]}": node for node in self._api.nodes()}
        answers: dict[str, Any] = {}
        try:
            for one, node in asked.items():
                self._storage.write(f"probes/{one}.json", json.dumps({"time": time.time()}).encode("ascii"))
                self._send(f"sameface-{one}", {**what, "job": one}, node.id)
            until = time.monotonic() + _PATIENCE
            while (open_ones := [one for one in asked if one not in answers]) and time.monotonic() < until:
                for one in open_ones:
                    if (content := self._storage.read(f"probes/{one}-answer.json", MOST)) is not None:
                        answers[one] = _parsed(content)
                    elif self._is_over(f"sameface-{one}"):
                        late = self._storage.read(f"probes/{one}-answer.json", MOST)
                        answers[one] = None if late is None else _parsed(late)
                time.sleep(_POLL)
        finally:
            with suppress(UserError, OSError):
                self._end([f"sameface-{one}" for one in asked])
            for one in asked:
                for name in (f"probes/{one}.json", f"probes/{one}-answer.json"):
                    self._storage.delete(name)
        return _together([(node, answers.get(one)) for one, node in asked.items()])

    def _is_over(self, submission: str) -> bool:
        try:
            found = self._api.job_listed(submission)
            if found is None or found.state in ENDED:
                found = self._api.job(submission)  # the list may be older than the job
        except Unreachable:
            return False
        return found is None or found.state in ENDED


def _together(answers: list[tuple[RayNode, Any]]) -> Row:
    found: Row = {"versions": [], "shared": [], "jobs": 0, "left": [], "silent": []}
    seen: set[tuple[str, str]] = set()
    for node, answer in answers:
        rows = answer if isinstance(answer, dict) else {}
        lists = [rows.get(key, []) for key in ("versions", "shared", "left")]
        here = (str(rows.get("node")), str(rows.get("folder")))
        if not rows or not all(isinstance(one, list) for one in lists) or here in seen:
            found["silent"].append(node.name)  # one that has answered already is not the one that was asked
            continue
        seen.add(here)
        name = one_line(here[0])
        for key in ("versions", "shared"):
            found[key] += [{**row, "where": f"on {name}"} for row in rows.get(key, []) if isinstance(row, dict)]
        found["left"] += [f"{name}: {path}" for path in lists[2]]
        found["jobs"] += rows["jobs"] if type(rows.get("jobs")) is int else 0
    return found


def _has_names(row: Row) -> bool:
    names = row.get("names")
    return isinstance(row.get("sha256"), str) and isinstance(names, list) and bool(names)


def _parsed(content: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(content)
    return None
