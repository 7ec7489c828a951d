"""Adds a machine or a cluster to train on from what a user says of it, and inspects what it has.

For the command and for the page. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError, typed
from lib_lora.queue.job_types import asked_place
from lib_lora.queue.queue import Queue
from lib_lora.remote import places
from lib_lora.remote.places import Place
from lib_lora.remote.ray_cluster.shared_storage import is_url
from lib_lora.workspace.workspace import Workspace

OF_CLUSTERS = ("storage", "storage_there", "gpus", "cpus", "memory", "retries", "painters")
_OF_BOTH = ("folder", "python")


def place_of(name: str, address: str, given: Mapping[str, Any]) -> Place:
    """A place from what is said of it.

    Args:
        name: the name that it should have.
        address: ``[user@]host[:port]``, or of a Ray cluster that of its dashboard.
        given: key, port, folder, python, and what `OF_CLUSTERS` names; None = nothing is said of it.

    Raises:
        UserError: a part of it cannot be used; its field is named.
    """
    if not address:
        raise UserError(
            f"Say where it is: {typed('place', 'add', name, 'USER@HOST')}", "address", code="place-not-addressed"
        )
    said = {key: value for key, value in given.items() if value is not None}
    if places.is_ray_address(address):
        return _cluster(name, address, said)
    if wrong := [key for key in OF_CLUSTERS if key in said]:
        raise UserError(
            f"--{wrong[0].replace('_', '-')} is for a Ray cluster, whose address begins with http://; leave it out, or "
            "give such an address.",
            wrong[0],
            code="setting-invalid",
        )
    key = Path(said["key"]).expanduser().absolute() if said.get("key") else None
    if key and not key.is_file():
        raise UserError(
            f"There is no key {key}; name the file of the private key.", "key", code="file-missing", file=key
        )
    fields = {"key": str(key or ""), "port": said.get("port"), **{name: said.get(name) for name in _OF_BOTH}}
    return places.parsed(name, address, **{name: value for name, value in fields.items() if value})


def _cluster(name: str, address: str, said: Mapping[str, Any]) -> Place:
    given = {key: said[key] for key in OF_CLUSTERS if key in said}
    if "storage" not in given:
        raise UserError(
            "A Ray cluster needs storage that its nodes and this computer share; give a folder, such as a mounted one, "
            "or a URL such as s3://bucket/sameface with --storage.",
            "storage",
            code="storage-not-named",
        )
    for key in ("key", "port"):
        if key in said:
            raise UserError(
                f"--{key} is for a machine that is reached over SSH; leave it out.", key, code="setting-invalid"
            )
    if not is_url(given["storage"]):
        given["storage"] = str(Path(given["storage"]).expanduser().absolute())
    return places.parsed_ray(name, address, given, **{key: said[key] for key in _OF_BOTH if said.get(key)})


def see_unused(root: Path, name: str) -> None:
    """See that no job is on a place, before it is changed or removed.

    Raises:
        UserError: something of a job is there.
    """
    workspace = Workspace(root)
    if not workspace.queue_file.is_file():
        return
    for job in [*Queue(root).open(), *Queue(root).ended()]:
        on = asked_place(job.arguments)
        if on in (f"{places.SSH}{name}", f"{places.RAY}{name}") and workspace.job(job.id).remote.is_file():
            raise UserError(
                f"Job {job.id} is on {name}; let it end, or stop it, first.",
                code="place-in-use",
                place=name,
                job=job.id,
            )


def unchecked(root: Path, place: Place) -> Place:
    """A place that is kept as it is said to be; what was known of a cluster's storage stays known."""
    known = any(one.marked and one.where() == place.where() for one in places.load(root))
    return replace(place, ray=replace(place.ray, marked=known)) if place.ray else place


def inspect(
    root: Path,
    place: Place,
    new: bool = False,
    patience: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Place:
    """A place with what is found there now.

    Args:
        root: the data folder.
        place: which.
        new: it is added now, so a cluster's storage may lack the mark that it had before.
        patience: seconds in which a node of a cluster must have room; None = 10 minutes.
        say: is told what goes on, for the user.

    Raises:
        UserError: it cannot be reached, or cannot run SameFace; code ``ray-no-room``: no node had room.
    """
    from lib_lora.remote.connection import probe
    from lib_lora.remote.ray_cluster.connecting import connect

    ray = place.ray and replace(place.ray, marked=place.marked)
    connection = connect(root, replace(place, machine=None, ray=ray))  # what is known is not asked for again
    try:
        machine = probe(connection, **({"new": new, "patience": patience, "say": say} if ray else {}))
    finally:
        connection.close()
    return replace(place, machine=machine, ray=ray and replace(ray, marked=True))
