"""Keeps fleets on disk, each as a file in ``fleets`` of the data folder.

Imports nothing heavy.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lib_lora import file_permissions, typed_settings
from lib_lora.errors import UserError, typed
from lib_lora.files import explained, read_json, write_json
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.fleet.fleet_plan import Fleet, FleetRow, What
from lib_lora.workspace.workspace import Workspace


def make(root: Path, what: What, on: str, rows: list[FleetRow]) -> Fleet:
    """Write a new fleet down, before anything of it is queued.

    Raises:
        UserError: it cannot be written.
    """
    folder = Workspace(root).fleets
    with explained(folder):
        file_permissions.make_folder(folder)
    number = max((int(one) for one in identifiers(root)), default=0)
    while True:
        number += 1
        fleet = Fleet(f"{number:03d}", what, on, time.time(), rows)
        path = _path(root, fleet.id)
        with explained(path):
            try:
                open(path, "xb", opener=file_permissions.opener).close()  # nobody else has this number then
            except FileExistsError:
                continue
        save(root, fleet)
        return fleet


def save(root: Path, fleet: Fleet) -> None:
    """Write a fleet as it is now."""
    write_json(_path(root, fleet.id), typed_settings.to_dict(fleet))


@contextmanager
def changing(root: Path, patience: float = 30.0) -> Iterator[None]:
    """While the block runs, nobody else changes a fleet. What was read before may be outdated; read it in the block.

    Raises:
        UserError: somebody else does, for longer than `patience` seconds.
    """
    folder = Workspace(root).fleets
    with explained(folder):
        file_permissions.make_folder(folder)
    with only_process(folder, "try again in a moment", patience):
        yield


def load(root: Path, identifier: str) -> Fleet:
    """A fleet.

    Raises:
        UserError: there is none of that number, or its file is damaged.
    """
    there = identifiers(root)
    number = identifier.zfill(3) if identifier.isascii() and identifier.isdigit() else identifier
    if number not in there:
        known = f"there are {', '.join(there[-10:])}" if there else f"make one with: {typed('fleet', 'train')}"
        raise UserError(f"There is no fleet {identifier[:40]!r}; {known}.", code="fleet-not-found", fleet=identifier)
    path = _path(root, number)
    return typed_settings.from_dict(Fleet, read_json(path), str(path))


def identifiers(root: Path) -> list[str]:
    """The numbers of all fleets, the oldest first."""
    found = (path.stem for path in Workspace(root).fleets.glob("*.json"))
    return sorted((one for one in found if one.isascii() and one.isdigit() and len(one) < 10), key=int)


def _path(root: Path, identifier: str) -> Path:
    return Workspace(root).fleets / f"{identifier}.json"
