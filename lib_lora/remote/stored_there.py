"""Says what stays on a place from one job to the next, versions of SameFace and base models; deletes what nobody needs.

What the place says is hostile until it was looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lib_lora.errors import UserError
from lib_lora.files import size
from lib_lora.remote.place_connection import PlaceConnection, whole_number

_MOST = 1000  # rows of an answer
_DAY = 86400.0
_PART = "a file that has not come as a whole"


@dataclass(frozen=True)
class StoredItem:
    """A version of SameFace with its packages, or a shared file.

    Attributes:
        name: for people; of a version the beginning of its wheel's SHA-256.
        size: in bytes.
        idle: seconds since it was last used.
        needed: a job there needs it, or may be about to.
        where: in a cluster, as "on a-node" or "in the storage"; empty = on the machine itself.
    """

    name: str
    size: int
    idle: float
    needed: bool
    where: str = ""

    def words(self) -> str:
        """What it is, in words for people."""
        days = int(self.idle / _DAY)
        used = "in use" if self.needed else f"not used for {days} {'day' if days == 1 else 'days'}"
        return ", ".join(filter(None, [self.name, self.where, size(self.size), used]))


@dataclass(frozen=True)
class StoredThere:
    """What lies there.

    Attributes:
        versions: of SameFace.
        models: base models, and what has come of some.
        jobs: of which something is there.
        left: paths that could not be deleted.
        silent: nodes of a cluster that have not answered.
    """

    versions: tuple[StoredItem, ...]
    models: tuple[StoredItem, ...]
    jobs: int = 0
    left: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(item.size for item in (*self.versions, *self.models))

    def lines(self) -> list[str]:
        """The items in words for people, one line each."""
        shown = [f"  SameFace {item.words()}" for item in self.versions]
        return shown + [f"  {item.words()}" for item in self.models]

    def unheard(self) -> str:
        """Which nodes have not answered, a sentence; empty = all have."""
        return f"These nodes have not answered: {', '.join(self.silent)}." if self.silent else ""

    def values(self) -> dict[str, Any]:
        """All of it as plain values, for programs."""
        return {
            "versions": [vars(item) for item in self.versions],
            "models": [vars(item) for item in self.models],
            "bytes": self.size,
            "jobs": self.jobs,
            "silent": [*self.silent],
        }


def stored(connection: PlaceConnection) -> StoredThere:
    """What lies on a place.

    Raises:
        UserError: it cannot be reached, or does not say.
    """
    return _read(connection, connection.ask("stored"))


def clean(connection: PlaceConnection, version: str) -> StoredThere:
    """Delete old versions of SameFace, and base models, that no job there needs; those are given back.

    Args:
        connection: to the place.
        version: SHA-256 of the wheel of the version that stays.

    Raises:
        UserError: it cannot be reached, or does not say.
    """
    return _read(connection, connection.ask("clean", version=version))


def _read(connection: PlaceConnection, answer: Any) -> StoredThere:
    try:
        versions = tuple(_item(row, [row["version"]]) for row in _rows(answer["versions"]))
        models = tuple(_item(row, row["names"] or [_PART]) for row in _rows(answer["shared"]))
        left = tuple(_plain(path, 300) for path in _rows(answer.get("left", [])))
        silent = tuple(_plain(name, 100) for name in _rows(answer.get("silent", [])))
        return StoredThere(versions, models, whole_number(answer.get("jobs", 0)), left, silent)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{connection.place.address()} does not report what is stored there.",
            code="remote-answer-unreadable",
            place=connection.place.name,
        ) from error


def _rows(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise ValueError("no list")
    return value[:_MOST]


def _item(row: Any, names: Any) -> StoredItem:
    idle = row["idle"]
    if type(idle) not in (int, float) or not -1e12 < idle < 1e12:
        raise ValueError("no time")
    shown = ", ".join(_plain(name, 100) for name in _rows(names)[:3])
    where = _plain(row.get("where", ""), 100)
    return StoredItem(shown, whole_number(row["bytes"]), float(idle), row["needed"] is not False, where)


def _plain(value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise ValueError("no text")
    return "".join(letter for letter in value if letter.isprintable())[:most]
