"""Adds the command about machines and clusters to train on: place add, list, check, clean and remove."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lib_lora.cli.arguments import Answer, Commands, at_least
from lib_lora.errors import UserError, typed
from lib_lora.files import size
from lib_lora.remote import places, stored_there
from lib_lora.remote.places import Place
from lib_lora.remote.stored_there import StoredThere
from lib_lora.typed_settings import to_dict
from lib_lora.workflows.train.elsewhere import place_keeping
from lib_lora.workspace.workspace import data_root

_GIVEN = ("key", "port", "folder", "python", *place_keeping.OF_CLUSTERS)
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
    place.add_argument(
        "--folder", metavar="DIR", help=f"with add: directory on that machine (default: {places.FOLDER})"
    )
    place.add_argument("--python", metavar="PROGRAM", help="with add: the Python there (default: python3)")
    place.add_argument("--port", type=at_least(1), metavar="N", help="with add: the SSH port")
    ray = place.add_argument_group("with add, for a Ray cluster")
    ray.add_argument(
        "--storage", metavar="STORAGE", help="a folder or fsspec URL that this computer and the nodes share"
    )
    ray.add_argument("--storage-there", metavar="STORAGE", help="where the nodes find it (default: at the same place)")
    ray.add_argument("--gpus", type=at_least(0), metavar="N", help="GPUs per job (default: 1 where nodes have any)")
    ray.add_argument("--cpus", type=at_least(0), metavar="N", help="CPUs per job (default: 1)")
    ray.add_argument("--memory", type=at_least(0), metavar="GB", help="memory per job (default: not requested)")
    ray.add_argument(
        "--retries", type=at_least(0), metavar="N", help="retries of a job that is lost with its node (default: 3)"
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
        place_keeping.see_unused(root, options.name)
    if options.does == "remove":
        place = places.find(root, options.name)
        asked = place.machine and not place.ray  # one that was never reached is not, nor are a cluster's nodes
        known = _stored(root, place, patient=False) if asked else None
        gone = places.remove(root, options.name)
        where = gone.ray.storage if gone.ray else f"{gone.folder} on {gone.address()}"
        much = f" ({size(known.size)})" if known else ""
        return Answer(f"{gone.name} was removed; the files in {where} are kept{much}.", {})
    if options.does == "clean":
        return _clean(root, places.find(root, options.name))
    if options.does == "add":
        place = place_keeping.place_of(
            options.name, options.address or "", {key: getattr(options, key) for key in _GIVEN}
        )
        if options.no_check:
            place = place_keeping.unchecked(root, place)
            places.save(root, place)
            return Answer(f"{place.name} is added, and was not checked.", to_dict(place))
        inspected = place_keeping.inspect(root, place, new=True, say=_say)
        places.save(root, inspected)
        return Answer(f"Added:\n{_line(inspected)}", to_dict(inspected))
    inspected = place_keeping.inspect(root, places.find(root, options.name), say=_say)
    assert inspected.machine
    inspected = places.checked(root, inspected, inspected.machine)
    try:
        kept = _stored(root, inspected)
    except UserError as error:
        if not inspected.ray:
            raise
        return Answer(f"{_line(inspected)}\nWhat its nodes store is unknown: {error}", to_dict(inspected))
    if kept is None or not (kept.lines() or kept.silent):
        return Answer(_line(inspected), to_dict(inspected))
    clean = typed("place", "clean", inspected.name)
    where = f"In the storage and on the nodes of {inspected.name}" if inspected.ray else f"In {inspected.folder}"
    lies = f"{where}, {size(kept.size)} are stored; to delete what is not in use: {clean}"
    shown = [_line(inspected), lies, *kept.lines(), kept.unheard()]
    return Answer("\n".join(filter(None, shown)), {**to_dict(inspected), "stored": kept.values()})


def _stored(root: Path, place: Place, patient: bool = True) -> StoredThere | None:
    """What lies on a machine, or in a cluster, for later jobs; None = it cannot be asked and that is no error.

    Raises:
        UserError: it cannot be asked.
    """
    from lib_lora.remote.ray_cluster.connecting import connect

    connection = connect(root, place)
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
    from lib_lora.remote.ray_cluster.connecting import connect

    connection = connect(root, place)
    try:
        gone = stored_there.clean(connection, installation.built(root).sha256)
    finally:
        connection.close()
    text = [f"Deleted on {place.name}, {size(gone.size)}:", *gone.lines()]
    if not gone.lines():
        text = [f"There is nothing to delete on {place.name}: everything there is in use, or new."]
    if gone.left:
        text.append(f"Could not be deleted: {', '.join(gone.left[:3])}")
    return Answer("\n".join(filter(None, [*text, gone.unheard()])), gone.values())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _line(place: Place) -> str:
    return f"{place.name}  {places.described(place)}"
