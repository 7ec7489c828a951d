"""Defines the interface of a connection to a place: requests to the agent there, and files sent and fetched.

`remote.connection` is one over SSH, `remote.ray_cluster.ray_connection` one to a Ray cluster. Which requests there are,
and what they answer, the methods of `remote.agent.Agent` say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lib_lora.remote.places import Place


@dataclass(frozen=True)
class Upload:
    """A file that is sent.

    Attributes:
        path: where it lies here.
        name: plain; no other file of the same call has it.
        there: its path on the place.
        goes_on: a part of it is there, which is continued where that can be done.
    """

    path: Path
    name: str
    there: str
    goes_on: bool


@dataclass(frozen=True)
class Download:
    """A file that is fetched.

    Attributes:
        there: its path on the place.
        name: plain; what it is called in the folder here.
        goes_on: a part of it is here, which is continued where that can be done.
    """

    there: str
    name: str
    goes_on: bool


class PlaceConnection(Protocol):
    """A connection to a place. May be used by several threads."""

    @property
    def root(self) -> Path:
        """The data folder here."""
        ...

    @property
    def place(self) -> Place:
        """The place."""
        ...

    def ask(self, what: str, **fields: Any) -> Any:
        """What the agent answers.

        Raises:
            Unreachable: the place cannot be reached now.
            UserError: it cannot be used, or the agent refuses.
        """
        ...

    def ask_bytes(self, what: str, **fields: Any) -> tuple[Any, bytes]:
        """Like `ask`, with the bytes that follow the answer."""
        ...

    def put(self, files: Sequence[Upload], check: Callable[[], None], stop: Callable[[], bool]) -> None:
        """Send files.

        Args:
            files: which.
            check: called now and then; what it raises ends the transfer, apart from a `UserError`.
            stop: asked meanwhile; true = give up.

        Raises:
            Unreachable: it was cut off.
            UserError: it failed.
            StoppedByUser: `stop` said so.
        """
        ...

    def get(self, files: Sequence[Download], folder: Path, check: Callable[[], None], stop: Callable[[], bool]) -> None:
        """Fetch files into a folder here; see `put`."""
        ...

    def close(self) -> None:
        """End the connection; what runs on the place goes on."""
        ...


def whole_number(value: Any, least: int = 0) -> int:
    """A whole number in what a place has answered, which may be anything.

    Raises:
        ValueError: it is not one, or less than `least`.
    """
    if type(value) is not int or not least <= value < 1 << 63:
        raise ValueError("not a whole number")
    return value
