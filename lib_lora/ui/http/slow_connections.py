"""Closes connections that send nothing, or too slowly, so that they do not block others.

In a webui this is up to the webui's own server; here it is done only for the standalone page. Headers are watched where
the bytes come in, bodies where they are read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

HEADERS = 15.0  # seconds from the first byte, or from the connection, to the end of the headers
BODY = 30.0  # seconds that a body may take, and one more for each so many bytes:
RATE = 8 << 10


def hurried(receive: Receive) -> Receive:
    """A request's `receive` that says "disconnected" where its body comes too slowly."""
    begun, got, whole = time.monotonic(), 0, False

    async def received() -> MutableMapping[str, Any]:
        nonlocal got, whole
        if whole:  # what is awaited now is that the browser goes
            return await receive()
        left = begun + BODY + got / RATE - time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), max(left, 0.01))
        except asyncio.TimeoutError:
            whole = True
            return {"type": "http.disconnect", "slow": True}
        got += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        return message

    return received


def watching(protocol: type[Any]) -> type[Any]:
    """uvicorn's class for one connection, made to close it where the headers of a request do not come in time.

    Args:
        protocol: `uvicorn.protocols.http.h11_impl.H11Protocol`, or the one of httptools.
    """

    class Watched(protocol):  # type: ignore[misc]
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._rest()
            super().connection_lost(exc)

        def _watch(self) -> None:
            cycle = getattr(self, "cycle", None)  # the request that is answered now, once its headers are there
            if cycle is not None and not cycle.response_complete:
                self._rest()
            elif self._late is None:
                self._late = asyncio.get_running_loop().call_later(HEADERS, self._close)

        def _rest(self) -> None:
            if self._late is not None:
                self._late.cancel()
            self._late = None

        def _close(self) -> None:
            self._late = None
            cycle, transport = getattr(self, "cycle", None), self.transport
            waits = cycle is None or cycle.response_complete
            if waits and not transport.is_closing() and transport.get_protocol() is self:  # else it is a websocket now
                transport.close()

    return Watched
