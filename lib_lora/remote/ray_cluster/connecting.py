"""Connects to a place, whichever kind it is.

Imports nothing heavy.
"""

from __future__ import annotations

import threading
from pathlib import Path

from lib_lora.remote.connection import Connection
from lib_lora.remote.place_connection import PlaceConnection
from lib_lora.remote.places import Place
from lib_lora.remote.ray_cluster.ray_api import RayApi
from lib_lora.remote.ray_cluster.ray_connection import RayConnection


class Connector:
    """Connects to places. All connections to one cluster ask its API together, so that many jobs cost what one does."""

    def __init__(self) -> None:
        self._apis: dict[tuple[str, str], RayApi] = {}
        self._lock = threading.Lock()

    def connect(self, root: Path, place: Place) -> PlaceConnection:
        """A connection to a place, made when something is first asked.

        Args:
            root: the data folder.
            place: the place.
        """
        if place.ray is None:
            return Connection(root, place)
        with self._lock:
            key = (place.address(), place.name)
            api = self._apis.setdefault(key, RayApi(*key))
        return RayConnection(root, place, api)


def connect(root: Path, place: Place) -> PlaceConnection:
    """Like `Connector.connect`, for a single connection."""
    return Connector().connect(root, place)
