"""The command about machines to train on: place add, list, check and remove."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from lib_lora.cli.arguments import Answer, Commands, at_least
from lib_lora.errors import UserError, typed
from lib_lora.remote import places
from lib_lora.remote.places import Place
from lib_lora.typed_settings import to_dict
from lib_lora.workspace.workspace import data_root

_DOES = ("add", "list", "check", "remove")


def add(command: Commands) -> None:
    """Add this command."""
    place = command("place", _place, "The machines to train on: add one that is reached over SSH, list, check, remove.")
    place.add_argument("does", choices=_DOES, metavar="add|list|check|remove")
    place.add_argument("name", nargs="?", metavar="NAME", help="a short name for the machine, e.g. workshop")
    place.add_argument("address", nargs="?", metavar="USER@HOST[:PORT]", help="with add: where it is")
    place.add_argument("--key", type=Path, metavar="FILE", help="with add: the private key (default: the agent's)")
    place.add_argument("--folder", metavar="DIR", help=f"with add: where all lies there (default: {places.FOLDER})")
    place.add_argument("--python", metavar="PROGRAM", help="with add: the Python there (default: python3)")
    place.add_argument("--port", type=at_least(1), metavar="N", help="with add: the SSH port")
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
        gone = places.remove(root, options.name)
        return Answer(f"{gone.name} is forgotten; what lies in {gone.folder} on {gone.address()} stays there.", {})
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
    return Answer(_line(looked), to_dict(looked))


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
        if asked_place(job.arguments) == f"{places.SSH}{name}" and workspace.job(job.id).remote.is_file():
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
    key = options.key.expanduser().absolute() if options.key else None
    if key and not key.is_file():
        raise UserError(
            f"There is no key {key}; name the file of the private key.", "key", code="file-missing", file=key
        )
    given = {"key": str(key or ""), "folder": options.folder, "python": options.python, "port": options.port}
    return places.parsed(options.name, options.address, **{name: value for name, value in given.items() if value})


def look(root: Path, place: Place) -> Place:
    """A place with what is found there now.

    Raises:
        UserError: it cannot be reached, or cannot run SameFace.
    """
    from lib_lora.remote.connection import Connection, probe

    connection = Connection(root, place)
    try:
        return replace(place, machine=probe(connection))
    finally:
        connection.close()


def _line(place: Place) -> str:
    return f"{place.name}  {places.described(place)}"
