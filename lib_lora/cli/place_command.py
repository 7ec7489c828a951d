"""The command about machines and clusters to train on: place add, list, check, clean and remove."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from lib_lora.cli.arguments import Answer, Commands, at_least
from lib_lora.errors import UserError, typed
from lib_lora.files import size
from lib_lora.remote import places, stored_there
from lib_lora.remote.places import Place
from lib_lora.remote.ray_cluster.shared_storage import is_url
from lib_lora.remote.stored_there import StoredThere
from lib_lora.typed_settings import to_dict
from lib_lora.workspace.workspace import data_root

_OF_CLUSTERS = ("storage", "storage_there", "gpus", "cpus", "memory", "retries", "painters")
_DOES = ("add", "list", "check", "clean", "remove")


def add(command: Commands) -> None:
    """Add this command."""
    place = command(
        "place", _place, "The machines to train on, over SSH or in a Ray cluster: add, list, check, clean, remove."
    )
    place.add_argument("does", choices=_DOES, metavar="add|list|check|clean|remove")
    place.add_argument("name", nargs="?", metavar="NAME", help="a short name for the machine, e.g. workshop")
    place.add_argument(
        "address",
        nargs="?",
        metavar="USER@HOST[:PORT]",
        help="with add: where it is; of a Ray cluster its dashboard, such as http://head:8265 (reach it through a "
        "tunnel or a private network only: whoever reaches it can run programs there)",
    )
    place.add_argument("--key", type=Path, metavar="FILE", help="with add: the private key (default: the agent's)")
    place.add_argument("--folder", metavar="DIR", help=f"with add: where all lies there (default: {places.FOLDER})")
    place.add_argument("--python", metavar="PROGRAM", help="with add: the Python there (default: python3)")
    place.add_argument("--port", type=at_least(1), metavar="N", help="with add: the SSH port")
    ray = place.add_argument_group("with add, for a Ray cluster")
    ray.add_argument(
        "--storage", metavar="STORAGE", help="a folder or fsspec URL that this computer and the nodes share"
    )
    ray.add_argument("--storage-there", metavar="STORAGE", help="where the nodes find it (default: at the same place)")
    ray.add_argument("--gpus", type=at_least(0), metavar="N", help="that a job gets (default: 1 where nodes have some)")
    ray.add_argument("--cpus", type=at_least(0), metavar="N", help="that a job gets (default: 1)")
    ray.add_argument("--memory", type=at_least(0), metavar="GB", help="that a job gets (default: nothing is asked for)")
    ray.add_argument(
        "--retries", type=at_least(0), metavar="N", help="of a job that is lost with its node (default: 3)"
    )
    ray.add_argument(
        "--painters", type=at_least(1), metavar="N", help="jobs over which a test's pictures are spread (default: 1)"
    )
    place.add_argument("--no-check", action="store_true", help="with add: do not connect to it now")


def _place(options: argparse.Namespace) -> Answer:
    root = data_root(options.data)
    if options.does == "list":
        found = places.load(root)
        text = (
            "\n".join(map(_line, found)) or f"No places yet. Add one with: {typed('place', 'add', 'NAME', 'USER@HOST')}"
        )
        return Answer(text, [to_dict(place) for place in found])
    if not options.name:
        raise UserError(f"Name the place: {typed('place', options.does, 'NAME')}", "name", code="place-not-named")
    if options.does in ("add", "remove"):
        _see_unused(root, options.name)
    if options.does == "remove":
        known = _stored(root, places.find(root, options.name), patient=False)
        gone = places.remove(root, options.name)
        where = gone.ray.storage if gone.ray else f"{gone.folder} on {gone.address()}"
        much = f" ({size(known.size)})" if known else ""
        return Answer(f"{gone.name} is forgotten; what lies in {where} stays there{much}.", {})
    if options.does == "clean":
        return _clean(root, places.find(root, options.name))
    if options.does == "add":
        place = _given(options)
        if options.no_check:
            places.save(root, place)
            return Answer(f"{place.name} is added, and was not checked.", to_dict(place))
        looked = look(root, place)
        places.save(root, looked)
        return Answer(f"Added:\n{_line(looked)}", to_dict(looked))
    looked = look(root, places.find(root, options.name))
    places.save(root, looked)
    kept = _stored(root, looked)
    if kept is None or not kept.lines():
        return Answer(_line(looked), to_dict(looked))
    clean = typed("place", "clean", looked.name)
    lies = f"In {looked.folder} lie {size(kept.size)}; what is not in use is deleted by: {clean}"
    return Answer("\n".join([_line(looked), lies, *kept.lines()]), {**to_dict(looked), "stored": kept.values()})


def _stored(root: Path, place: Place, patient: bool = True) -> StoredThere | None:
    """What lies on a machine for later jobs; None = it is a cluster, or cannot be asked and that is no error.

    Raises:
        UserError: it cannot be asked.
    """
    from lib_lora.remote.connection import Connection

    if place.ray:
        return None
    connection = Connection(root, place)
    try:
        return stored_there.stored(connection)
    except UserError:
        if patient:
            raise
        return None
    finally:
        connection.close()


def _clean(root: Path, place: Place) -> Answer:
    from lib_lora.remote import installation
    from lib_lora.remote.connection import Connection

    if place.ray:
        raise UserError(
            f"{place.name} is a cluster, where nothing is kept but what its nodes need; delete old files in "
            f"{place.ray.storage} by hand.",
            "name",
            code="place-is-cluster",
        )
    connection = Connection(root, place)
    try:
        gone = stored_there.clean(connection, installation.built(root).sha256)
    finally:
        connection.close()
    if not gone.lines():
        return Answer(f"There is nothing to delete on {place.name}: what lies there is in use, or new.", gone.values())
    text = "\n".join([f"Deleted on {place.name}, {size(gone.size)}:", *gone.lines()])
    if gone.left:
        text += f"\nCould not be deleted: {', '.join(gone.left[:3])}"
    return Answer(text, gone.values())


def _see_unused(root: Path, name: str) -> None:
    """
    Raises:
        UserError: something of a job is on the place.
    """
    from lib_lora.queue.job_types import asked_place
    from lib_lora.queue.queue import Queue
    from lib_lora.workspace.workspace import Workspace

    workspace = Workspace(root)
    if not workspace.queue_file.is_file():
        return
    for job in Queue(root).jobs():
        if (
            asked_place(job.arguments) in (f"{places.SSH}{name}", f"{places.RAY}{name}")
            and workspace.job(job.id).remote.is_file()
        ):
            raise UserError(
                f"Job {job.id} is on {name}; let it end, or stop it, first.",
                code="place-in-use",
                place=name,
                job=job.id,
            )


def _given(options: argparse.Namespace) -> Place:
    if not options.address:
        raise UserError(
            f"Say where it is: {typed('place', 'add', options.name, 'USER@HOST')}",
            "address",
            code="place-not-addressed",
        )
    if places.is_ray_address(options.address):
        return _given_cluster(options)
    if wrong := [name for name in _OF_CLUSTERS if getattr(options, name) is not None]:
        raise UserError(
            f"--{wrong[0].replace('_', '-')} is for a Ray cluster, whose address begins with http://; leave it out, or "
            "give such an address.",
            wrong[0],
            code="setting-invalid",
        )
    key = options.key.expanduser().absolute() if options.key else None
    if key and not key.is_file():
        raise UserError(
            f"There is no key {key}; name the file of the private key.", "key", code="file-missing", file=key
        )
    given = {"key": str(key or ""), "folder": options.folder, "python": options.python, "port": options.port}
    return places.parsed(options.name, options.address, **{name: value for name, value in given.items() if value})


def _given_cluster(options: argparse.Namespace) -> Place:
    given = {name: value for name in _OF_CLUSTERS if (value := getattr(options, name)) is not None}
    if "storage" not in given:
        raise UserError(
            "A Ray cluster needs storage that its nodes and this computer share; give a folder, such as a mounted one, "
            "or a URL such as s3://bucket/sameface with --storage.",
            "storage",
            code="storage-not-named",
        )
    for name in ("key", "port"):
        if getattr(options, name) is not None:
            raise UserError(
                f"--{name} is for a machine that is reached over SSH; leave it out.", name, code="setting-invalid"
            )
    if not is_url(given["storage"]):
        given["storage"] = str(Path(given["storage"]).expanduser().absolute())
    more = {name: value for name in ("folder", "python") if (value := getattr(options, name))}
    return places.parsed_ray(options.name, options.address, given, **more)


def look(root: Path, place: Place) -> Place:
    """A place with what is found there now.

    Raises:
        UserError: it cannot be reached, or cannot run SameFace.
    """
    from lib_lora.remote.connection import probe
    from lib_lora.remote.ray_cluster.connecting import connect

    connection = connect(root, replace(place, machine=None))  # what is known is not asked for again
    try:
        return replace(place, machine=probe(connection))
    finally:
        connection.close()


def _line(place: Place) -> str:
    return f"{place.name}  {places.described(place)}"
