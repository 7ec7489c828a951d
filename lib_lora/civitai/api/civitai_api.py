"""Makes the few calls of Civitai's API, version 1, that a look-up needs, and repeats each where that may help.

The size of an answer is limited, and `civitai_answers` must be able to read it before it counts. The token is in no
address, error or ``repr``. Imports nothing heavy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from lib_lora.civitai.api import civitai_answers
from lib_lora.civitai.api.civitai_requests import (
    LONGEST_WAIT,
    REDIRECTING,
    REDIRECTS,
    host_in,
    next_address,
    refusal,
    request_to,
    unreachable,
    web_page,
)
from lib_lora.civitai.api.site_address import DEFAULT, hash_in, site_of
from lib_lora.errors import UserError
from lib_lora.remote.api_key_store import KEY
from lib_lora.remote.http_exchange import AnswerLost, Reply, exchange, opener_for

_LONGEST = 8 << 20  # bytes of an answer; a model with hundreds of versions has some
_LONGEST_PICTURE = 32 << 20


class CivitaiApi:
    """A client for one Civitai.

    Args:
        site: its address.
        token: the API key; empty = none.
        timeout: seconds for a connection and for each wait for data.
        attempts: how often a request is tried in all.
        pause: waits that many seconds between two tries; for tests.

    Raises:
        UserError: no token may be sent to the address.
    """

    def __init__(
        self,
        site: str = DEFAULT,
        token: str = "",
        *,
        timeout: float = 20.0,
        attempts: int = 3,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.site = site_of(site)
        self.token = token if KEY.fullmatch(token) else ""
        self._timeout, self._attempts, self._pause = timeout, attempts, pause

    def __repr__(self) -> str:
        return f"CivitaiApi({self.site!r})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("A token is not pickled.")

    def by_hash(self, digest: str) -> dict[str, Any] | None:
        """The version that has a file with a hash, as it is answered; None = Civitai knows none.

        Args:
            digest: hex digits, of any kind that Civitai has.

        Raises:
            UserError: it is no hash, the site cannot be reached, refuses, or answers something else.
        """
        known = hash_in(digest)
        if not known:
            raise UserError(
                f"{digest[:80]!r} is not a hash that Civitai supports.", "what", code="civitai-hash-invalid"
            )
        return self._row(f"/model-versions/by-hash/{quote(known, safe='')}", 0)

    def version(self, number: int) -> dict[str, Any] | None:
        """A version by its number; see `by_hash`."""
        return self._row(f"/model-versions/{int(number)}", int(number))

    def model(self, number: int) -> dict[str, Any] | None:
        """A model by its number, with the permissions of its page; see `by_hash`."""
        return self._row(f"/models/{int(number)}", int(number), model=True)

    def picture(self, url: str) -> bytes:
        """The bytes of a picture on a page; what they are is not looked at.

        Args:
            url: as an answer says it; no token is sent to it.

        Raises:
            UserError: the address is not safe to ask, or the picture cannot be had.
        """
        where = next_address(self.site, url)
        reply, last = self._asked(where, _LONGEST_PICTURE, token=False)
        if reply.status != 200:
            raise refusal(reply, last)
        return reply.content

    def _row(self, path: str, number: int, model: bool = False) -> dict[str, Any] | None:
        url = f"{self.site}/api/v1{path}"
        reply, last = self._asked(url, _LONGEST)
        if reply.status in (200, 404) and civitai_answers.is_web_page(reply.content):
            raise web_page(last)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise refusal(reply, last)
        row = civitai_answers.parsed(reply.content)
        read = (civitai_answers.model_of if model else civitai_answers.version_of)(row)
        if read is None or not isinstance(row, dict) or (number and read.id != number):
            raise UserError(
                f"The answer of {host_in(last)} is not as Civitai's API should answer; try again later, and look for "
                "a newer SameFace, since that API may have changed.",
                code="civitai-answer-unreadable",
                host=host_in(last),
            )
        return row

    def _asked(self, url: str, longest: int, token: bool = True) -> tuple[Reply, str]:
        """The answer to a request that was sent on where it redirects, and who has given it."""
        for _ in range(REDIRECTS + 1):
            reply = self._patient(url, longest, token)
            if reply.status not in REDIRECTING:
                return reply, url
            url = next_address(url, reply.location)
        raise UserError(
            f"{host_in(url)} keeps redirecting the request; try again later.", code="civitai-redirect-endless"
        )

    def _patient(self, url: str, longest: int, token: bool) -> Reply:
        """The answer, asked for again where it is lost or the host is busy."""
        said = ""
        for attempt in range(self._attempts):
            wait = min(2.0**attempt, LONGEST_WAIT)
            last = attempt + 1 == self._attempts
            try:
                request = request_to(url, self.site, self.token if token else "")
                reply = exchange(opener_for(url), request, self._timeout, longest)
            except AnswerLost as error:
                said = str(error)
            else:
                busy = reply.status in (429, 500, 502, 503, 504)
                if not busy or (last and reply.status == 429):
                    return reply
                if civitai_answers.is_web_page(reply.content) and reply.retry_after is None and last:
                    return reply
                said = f"it answers {reply.status}"
                if reply.retry_after is not None:
                    wait = min(reply.retry_after, LONGEST_WAIT)
            if not last:
                self._pause(wait)
        raise unreachable(url, said)
