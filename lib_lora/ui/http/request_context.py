"""Gives every route its context, and defines a route: its address, its fields, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_lora.hosts.host_protocol import Host
from lib_lora.ui.http.codes import Codes
from lib_lora.ui.http.request_bodies import Uploads
from lib_lora.ui.http.state_changes import StateChanges

if TYPE_CHECKING:
    from lib_lora.queue.queue import Queue
    from lib_lora.queue.running.supervisor import Supervisor

MB = 1 << 20
# The limits of what the routes take; the page gets the same, so that it asks for nothing that is refused.
PHOTO_FILE = 256 * MB  # bytes of a photo, or of a zip of photos
FACE_FILE = 64 * MB  # bytes of a picture that a character is made from
PHOTOS_AT_ONCE = 2  # opened; a photo of 100 megapixels takes 300 MB while it is open
PREFIX = "/sameface/v1"


@dataclass(frozen=True)
class RequestContext:
    """What the routes work with.

    Attributes:
        host: the program around SameFace.
        queue: of jobs; `supervisor` runs them.
        token: of this process's page; see `route_access`.
        codes: that confirm what a request alone may not do.
        uploads: those that are on their way.
        changes: of the state since it was told last.
    """

    host: Host
    queue: Queue
    supervisor: Supervisor
    token: str
    codes: Codes = field(default_factory=Codes)
    uploads: Uploads = field(default_factory=Uploads)
    changes: StateChanges = field(default_factory=StateChanges)

    @property
    def root(self) -> Path:
        """The data folder."""
        return self.host.roots().data


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        path: the parts of the address that vary, by name.
        query: what stands after the question mark.
        body: the dataclass of the route, filled; None where it takes none.
        file: what came in the route's `file`, on disk until it is answered; None where nothing came.
    """

    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    file: Path | None = None


Answer = Callable[[RequestContext, Call], Any]


@dataclass(frozen=True)
class Nothing:
    """The body of a request that only says: do it."""


@dataclass(frozen=True)
class Route:
    """One route.

    Attributes:
        method: GET or POST.
        path: below `PREFIX`; what varies in braces.
        answer: makes the answer: plain values for JSON, or a whole response. Its docstring is the documentation.
        body: the dataclass of what a POST brings.
        query: names of what a GET may have after the question mark.
        limit: bytes of a body.
        file: the field of the body that is a file in base64, and goes to disk as it comes; empty = none is.
        first: looked at before a body is read; refuses by raising.
    """

    method: str
    path: str
    answer: Answer
    body: type[Any] | None = None
    query: tuple[str, ...] = ()
    limit: int = MB
    file: str = ""
    first: Answer | None = None


def get(path: str, answer: Answer, *query: str) -> Route:
    """A route that changes nothing."""
    return Route("GET", path, answer, query=query)


def post(
    path: str,
    answer: Answer,
    body: type[Any] = Nothing,
    limit: int = MB,
    file: str = "",
    first: Answer | None = None,
) -> Route:
    """A route that changes something."""
    return Route("POST", path, answer, body, limit=limit, file=file, first=first)
