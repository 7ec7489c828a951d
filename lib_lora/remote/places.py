"""Keeps the machines and clusters on which a user trains, by their names, in ``places.json`` of the data folder.

Host names, users and paths end up on a command line, so each is looked at before it is kept. Imports nothing heavy.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lib_lora import typed_settings
from lib_lora.errors import Misfit, UserError, typed
from lib_lora.files import read_json, size, write_json
from lib_lora.messages.message import Message
from lib_lora.remote.base_addresses import has_secret
from lib_lora.remote.gpu_providers import NAMES, USUAL, is_rented
from lib_lora.workspace.workspace import Workspace

LOCAL = "local"  # the name of this machine in `--on` and in a job's arguments
SSH = "ssh:"  # begins the name of a place in `--on`
RAY = "ray:"  # begins the name of a place that is a Ray cluster, or its address
FOLDER = "sameface"  # in the home folder there
RAY_PORT = 8265  # of Ray's dashboard, unless set otherwise
CLUSTER_AT_ONCE = 64  # jobs of one user on a Ray cluster, each followed by a thread here
PODS_AT_ONCE = 4  # jobs of one user for each of which a GPU is rented
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,253}")
_IPV6 = re.compile(r"([0-9A-Fa-f:.]{2,45})(%[A-Za-z0-9._-]{1,32})?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}")
_PROGRAM = re.compile(r"[A-Za-z0-9_/~.][A-Za-z0-9_/.+~-]{0,255}")
_RAY_ADDRESS = re.compile(r"((?i:https?))://(\[[0-9A-Fa-f:.]{2,45}\]|[^/:@?#\[\]]+)(?::([0-9]{1,5}))?/?", re.ASCII)
_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://[!-~]{1,400}")
_LONGEST_PATH = 255  # letters
_MOST_OF_A_KIND = 10_000  # GPUs, cores or GB that a job may ask a cluster for
# What a place is and has
_ADDRESS = "{address}"
_CLUSTER = "Ray cluster {address}, storage {storage}"
_UNCHECKED = "{where}, not checked yet"
_NO_GPU = "no NVIDIA GPU"
_MEMORY = "{size} memory"
_CORE, _CORES = "{n} core", "{n} cores"
_FREE = "{size} free on the disk"
_MACHINE = "{where}, {has}"
_NODE = "{where}; a node has {has}"
_NO_GPUS_ASKED = (
    "{found}, so jobs request no GPU; if nodes with GPUs are started on demand, add the place with --gpus 1"
)
_CHANGING = threading.Lock()  # several jobs may note at once what they found


@dataclass(frozen=True)
class Graphics:
    """A graphics card.

    Attributes:
        name: as its driver calls it.
        memory: bytes.
    """

    name: str
    memory: int


@dataclass(frozen=True)
class Machine:
    """What a machine was found to have.

    Attributes:
        time: when, unix seconds.
        python: version of the interpreter.
        system: as Python's ``sys.platform``.
        cores: that may be used.
        memory: bytes; None = not known.
        disk_free: bytes.
        gpus: its graphics cards.
    """

    time: float
    python: str
    system: str
    cores: int
    memory: int | None
    disk_free: int
    gpus: list[Graphics] = field(default_factory=list)


@dataclass(frozen=True)
class RayCluster:
    """What a place is told about that is a Ray cluster.

    Attributes:
        storage: where this computer finds the storage that it shares with the nodes: a folder, or an fsspec URL.
        storage_there: where the nodes find it; empty = at the same place.
        gpus, cpus: that a job gets; -1 = one GPU where the last look found one, else none.
        memory: GB that a job gets; 0 = nothing is asked for.
        retries: how often a job is submitted again that was lost with its node before it has saved anything.
        painters: jobs over which the pictures of one test are spread.
        scheme: of the address of its Jobs API, whose host and port are the place's: "http" or "https".
        marked: the storage was seen with the file that marks it: one without it is an empty mount point, say.
    """

    storage: str
    storage_there: str = ""
    gpus: int = -1
    cpus: int = 1
    memory: int = 0
    retries: int = 3
    painters: int = 1
    scheme: str = "http"
    marked: bool = False

    def __post_init__(self) -> None:
        for what, text in (("storage", self.storage), ("storage_there", self.storage_there)):
            known = _URL.fullmatch(text) or (_is_path(text, 1024) and "://" not in text)
            if not known and (text or what == "storage"):
                raise Misfit(
                    f"{text[:80]!r} is not a valid storage; give a folder that this computer and the nodes share, or "
                    "a URL such as s3://bucket/sameface.",
                    what,
                )
        for what, count, least in (
            ("gpus", self.gpus, -1),
            ("cpus", self.cpus, 0),
            ("memory", self.memory, 0),
            ("retries", self.retries, 0),
            ("painters", self.painters, 1),
        ):
            if not least <= count <= _MOST_OF_A_KIND:
                raise Misfit(f"{what} must be from 0 to {_MOST_OF_A_KIND:,}, not {count}.", what)
        if self.scheme not in ("http", "https"):
            raise Misfit(f"{self.scheme[:20]!r} is not supported by Ray; its address must begin with http.", "scheme")


@dataclass(frozen=True)
class Place:
    """A machine that is reached over SSH, or a Ray cluster.

    Attributes:
        name: short; what ``--on ssh:NAME`` or ``--on ray:NAME`` says.
        host: its name or address, or a ``Host`` of the user's own SSH configuration; of a cluster, its head node's.
        user: empty = as the SSH configuration says.
        port: 0 = as the SSH configuration says; of a cluster, that of its Jobs API.
        key: file of the private key; empty = those of the agent and of the SSH configuration.
        folder: where everything lies there; relative to the home folder, or absolute.
        python: the interpreter there, 3.10 or newer.
        machine: what it has, as the last look said; None = nobody has looked. Of a cluster, one of its nodes.
        ray: what else is known of a Ray cluster; None = it is a machine that is reached over SSH.
    """

    name: str
    host: str
    user: str = ""
    port: int = 0
    key: str = ""
    folder: str = FOLDER
    python: str = "python3"
    machine: Machine | None = None
    ray: RayCluster | None = None

    def __post_init__(self) -> None:
        _check("name", self.name, _NAME, "a short name of lower-case letters, digits, - and _, such as workshop")
        if not _is_ipv6(self.host):
            _check("host", self.host, _HOST, "a host name or an address, such as gpu.example.org or 192.168.1.20")
        _check("python", self.python, _PROGRAM, "a program such as python3 or /usr/bin/python3.11")
        if not _is_path(self.folder):
            raise Misfit(
                f"{self.folder[:80]!r} is not a valid folder; give one such as sameface or /data/sameface.", "folder"
            )
        if self.user:
            _check("user", self.user, _USER, "a user name such as mara")
        if not 0 <= self.port <= 65535:
            raise Misfit(f"port {max(self.port, 0)} is out of range (1 to 65535).", "port")
        if self.key and not (_is_path(self.key, 4096) and not self.key.startswith("-")):
            raise Misfit(f"{self.key[:80]!r} is not a valid key path; give the path of a private key file.", "key")

    @property
    def marked(self) -> bool:
        """Whether a cluster's storage had its mark; each that was looked at has it."""
        return self.ray is not None and (self.ray.marked or self.machine is not None)

    def address(self) -> str:
        """The address as a person writes it: ``user@host:port``, or ``http://head:port`` for a cluster."""
        if self.ray:
            return f"{self.ray.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{user}{host}{f':{self.port}' if self.port else ''}"

    def where(self) -> str:
        """Which machine, and which folder there: two places of one name differ in it where they are not the same."""
        return f"{self.address()} {self.ray.storage if self.ray else self.folder}"

    def on(self) -> str:
        """The place as ``--on`` names it."""
        return f"{RAY if self.ray else SSH}{self.name}"


def _check(what: str, text: str, pattern: re.Pattern[str], wanted: str) -> None:
    if not pattern.fullmatch(text):
        raise Misfit(f"{text[:80]!r} is not a valid {what}; give {wanted}.", what)


def _is_ipv6(text: str) -> bool:
    match = _IPV6.fullmatch(text)
    try:
        return match is not None and ipaddress.ip_address(match[1]).version == 6
    except ValueError:
        return False


def _is_path(text: str, longest: int = _LONGEST_PATH) -> bool:
    """Whether a text can be a path: all of it can be shown, so no line ends in it."""
    return 0 < len(text) <= longest and text.isprintable()


def jobs_at_once(on: str) -> int:
    """How many jobs may be at work at once where ``--on`` says so: a machine has one GPU to give, and a cluster lets
    those wait that it has no room for."""
    return CLUSTER_AT_ONCE if on.startswith(RAY) else PODS_AT_ONCE if is_rented(on) else 1


RENTED = Place(USUAL.name, "not-rented-yet")  # stands for a machine that is still to be rented


def parsed(name: str, address: str, **fields: Any) -> Place:
    """A place from ``[user@]host[:port]``.

    Raises:
        UserError: a part of it cannot be used; its field is named.
    """
    user, at, rest = address.rpartition("@")
    if at and not user:
        raise UserError(
            f"the place: {address[:80]!r} has no user before its @; give a user name, or leave out the @.",
            "user",
            code="setting-invalid",
        )
    host, port = rest, ""
    if match := re.fullmatch(r"(\[[^\]]*\]|[^:]*):([0-9]{1,6})", rest, re.ASCII):
        host, port = match[1], match[2]
    if bracketed := re.fullmatch(r"\[([^\]]*:[^\]]*)\]", host):
        host = bracketed[1]
    # 0 stands for the port of the SSH configuration, so one that is written as 0 is none
    number = (int(port) or -1) if port else 0
    return typed_settings.from_dict(
        Place, {"name": name, "host": host, "user": user, "port": number, **fields}, "the place"
    )


def is_ray_address(text: str) -> bool:
    """Whether a text is meant as the address of a Ray cluster's Jobs API."""
    return text.lower().startswith(("http://", "https://"))


def parsed_ray(name: str, address: str, cluster: dict[str, Any], **fields: Any) -> Place:
    """A Ray cluster from the address of its Jobs API, such as ``http://head:8265``.

    Args:
        name: of the place.
        address: of the API.
        cluster: fields of `RayCluster`.
        fields: of `Place`.

    Raises:
        UserError: a part of it cannot be used; its field is named.
    """
    scheme, host, port = _ray_address(address)
    for key in ("storage", "storage_there"):
        _see_no_secret(str(cluster.get(key, "")), key)
    values = {"name": name, "host": host, "port": port, **fields, "ray": {**cluster, "scheme": scheme}}
    return typed_settings.from_dict(Place, values, "the place")


def _see_no_secret(storage: str, field: str) -> None:
    """
    Raises:
        UserError: the URL of a storage has a password or a key in it.
    """
    try:
        parts = urlsplit(storage) if "://" in storage else None
        secret = parts is not None and bool(parts.password or has_secret(parts.query))
    except ValueError:
        return  # it is no URL, which is said elsewhere
    if secret:
        raise UserError(
            "The URL of the storage contains a password or key, which would be stored, shown and sent; give one "
            "without, and let each side log in with its own credentials, such as a profile or a key file.",
            field,
            code="storage-with-secret",
        )


def _ray_address(address: str) -> tuple[str, str, int]:
    match = _RAY_ADDRESS.fullmatch(address.strip())
    if match is None or (match[3] and not 0 < int(match[3]) < 65536):
        raise UserError(
            f"{address[:80]!r} is not the address of a Ray cluster; give its dashboard, such as http://head:8265.",
            "address",
            code="setting-invalid",
        )
    scheme = match[1].lower()
    return scheme, match[2].strip("[]"), int(match[3]) if match[3] else (443 if scheme == "https" else RAY_PORT)


def load(root: Path) -> list[Place]:
    """The places of a data folder, by name.

    Raises:
        UserError: the file is damaged.
    """
    path = Workspace(root).places
    if not path.is_file():
        return []
    stored = read_json(path)
    rows = stored.get("places") if isinstance(stored, dict) else None
    if not isinstance(rows, list):
        raise UserError(
            f"{path} holds no list of places; delete it, and add them again.", code="places-damaged", file=path
        )
    return sorted((typed_settings.from_dict(Place, row, str(path)) for row in rows), key=lambda place: place.name)


def save(root: Path, place: Place) -> None:
    """Keep a place; another one of its name is replaced. A host key that was another address's is forgotten."""
    with _CHANGING:
        places = load(root)
        if any(one.name == place.name and (one.host, one.port) != (place.host, place.port) for one in places):
            known_hosts(root, place).unlink(missing_ok=True)
        _write(root, [*(one for one in places if one.name != place.name), place])


def remove(root: Path, name: str) -> Place:
    """Forget a place, and its host key.

    Raises:
        UserError: there is none of that name.
    """
    with _CHANGING:
        place = find(root, name)
        _write(root, [one for one in load(root) if one.name != place.name])
    known_hosts(root, place).unlink(missing_ok=True)
    return place


def find(root: Path, name: str) -> Place:
    """The place of a name.

    Raises:
        UserError: there is none; those that there are are named.
    """
    places = load(root)
    for place in places:
        if place.name == name:
            return place
    there = ", ".join(place.name for place in places)
    known = f"there are {there}" if there else f"add one with: {typed('place', 'add', 'NAME', 'USER@HOST')}"
    raise UserError(f"There is no place called {name[:80]!r}; {known}.", "on", code="place-not-found", place=name)


def named(root: Path, on: str) -> Place | None:
    """The place that ``--on`` names; None = this computer, `RENTED` = one that is still to be rented.

    Raises:
        UserError: it names none.
    """
    if on in ("", LOCAL):
        return None
    if is_rented(on):
        return RENTED
    if not on.startswith((SSH, RAY)):
        raise UserError(
            f"Unknown training location {on[:80]!r}; use {LOCAL}, {', '.join(NAMES)}, or {SSH}NAME or {RAY}NAME of a "
            "place.",
            "on",
            code="place-unknown",
            place=on,
        )
    if on.startswith(RAY) and is_ray_address(on[len(RAY) :]):
        return _at_address(root, on[len(RAY) :])
    place = find(root, on[len(SSH) :])
    if place.on() != on:
        kind = "a Ray cluster" if place.ray else "reached over SSH"
        raise UserError(f"{place.name} is {kind}; give {place.on()}.", "on", code="place-kind-wrong", place=on)
    return place


def _at_address(root: Path, address: str) -> Place:
    """The place that is the Ray cluster of an address.

    Raises:
        UserError: there is none.
    """
    known = _ray_address(address)
    for place in load(root):
        if place.ray and (place.ray.scheme, place.host, place.port) == known:
            return place
    raise UserError(
        f"The Ray cluster {address[:80]} is not known yet; tell where the storage is that it shares with this computer:"
        f" {typed('place', 'add', 'NAME', address, '--storage', 'FOLDER_OR_URL')}",
        "on",
        code="cluster-not-found",
        place=address,
    )


def checked(root: Path, place: Place, machine: Machine) -> Place:
    """The place with what was found there, kept if it still is one of the data folder's."""

    def found(one: Place) -> Place:
        return replace(one, machine=machine, ray=one.ray and replace(one.ray, marked=True))

    _change(root, place, found)
    return found(place)


def note_marked(root: Path, place: Place) -> None:
    """Keep that a cluster's storage has its mark."""
    _change(root, place, lambda one: replace(one, ray=one.ray and replace(one.ray, marked=True)))


def _change(root: Path, place: Place, change: Callable[[Place], Place]) -> None:
    """Change a place, if it still is one of the data folder's."""
    with _CHANGING:
        before = load(root)
        after = [change(one) if (one.name, one.where()) == (place.name, place.where()) else one for one in before]
        if after != before:
            _write(root, after)


def described(place: Place) -> str:
    """A place on one line, with what it has."""
    return str(description(place))


def description(place: Place) -> Message:
    """What `described` says, for other languages too."""
    machine, ray = place.machine, place.ray
    values: dict[str, Any] = {"address": place.address(), "storage": ray.storage if ray else ""}
    where = Message(_CLUSTER if ray else _ADDRESS, values)
    if machine is None:
        return Message(_UNCHECKED, {"where": where})
    has = [
        _gpus(machine) or Message(_NO_GPU),
        *([Message(_MEMORY, {"size": size(machine.memory)})] if machine.memory else []),
        Message(_CORE if machine.cores == 1 else _CORES, {"n": machine.cores}),
        Message(_FREE, {"size": size(machine.disk_free)}),
        f"Python {machine.python}",
    ]
    found = Message(_NODE if ray else _MACHINE, {"where": where, "has": has})
    return Message(_NO_GPUS_ASKED, {"found": found}) if ray and ray.gpus < 0 and not machine.gpus else found


def templates() -> tuple[str, ...]:
    """Of `description`."""
    return (_ADDRESS, _CLUSTER, _UNCHECKED, _NO_GPU, _MEMORY, _CORE, _CORES, _FREE, _MACHINE, _NODE, _NO_GPUS_ASKED)


def title(place: Place) -> str:
    """A place for a list to choose from: its name, and its GPU."""
    kind = "Ray cluster, " if place.ray else ""
    return f"{place.name}: {kind}{(_gpus(place.machine) or _NO_GPU) if place.machine else place.address()}"


def _gpus(machine: Machine) -> str:
    return ", ".join(f"{gpu.name} ({size(gpu.memory)})" for gpu in machine.gpus)


def sent_sentence(place: Place) -> str:
    """What leaves this computer where one trains on a place, and what stays there."""
    name, deleted = _named_and_deleted(place)
    return (
        f"Sent to {name}: the photos in use (their pixels alone, under neutral names), their captions, where faces are "
        "on them, the character's name, trigger, traits and consent, the settings, the base model, and what the run "
        f"has saved so far. Templates of the face stay here. {deleted} at the end."
    )


def painting_sentence(place: Place) -> str:
    """What leaves this computer where one paints on a place, and what stays there."""
    name, deleted = _named_and_deleted(place)
    return (
        f"Sent to {name}: the prompts, the base model, and the LoRA, whose metadata hold the character's name, the "
        "words "
        f"of the captions and the consent. Photos and templates of the face stay here. {deleted} at the end."
    )


def _named_and_deleted(place: Place) -> tuple[str, str]:
    """A place in a sentence, and what is deleted there, before "at the end"."""
    if place == RENTED:
        return f"a GPU that is rented at {USUAL.title}", "All of it is deleted there, and the rented machine too,"
    storage = " and in the shared storage" if place.ray else ""
    return place.name, f"All but the base model is deleted there{storage}"


def known_hosts(root: Path, place: Place) -> Path:
    """The file with the host key of a place, which is pinned when it is first reached."""
    return Workspace(root).host_key(place.name)


def _write(root: Path, places: Iterable[Place]) -> None:
    rows = [typed_settings.to_dict(place) for place in sorted(places, key=lambda place: place.name)]
    write_json(Workspace(root).places, {"places": rows})
