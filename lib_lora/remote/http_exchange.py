"""Sends one HTTP request and reads its answer, whose size and time are limited.

Follows no redirect. Imports nothing heavy.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, cast
from urllib.error import URLError
from urllib.request import HTTPErrorProcessor, OpenerDirector, ProxyHandler, Request, build_opener

_DIGITS = 18  # of a whole number


class AnswerLost(Exception):
    """Nothing certain is known of what became of a request: it may have been done."""


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        status: of HTTP.
        content: bytes.
        retry_after: seconds, as its header says; None = it does not.
        date: as its header says; empty = it does not.
        location: to which a redirect leads; empty = to none.
    """

    status: int
    content: bytes
    retry_after: float | None = None
    date: str = ""
    location: str = ""


class _AsItIs(HTTPErrorProcessor):
    """Follows no redirect, which would take a key to another host, and makes no exception of a status."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        return response

    https_response = http_response


def opener_for(base: str) -> OpenerDirector:
    """What opens requests to an address. No proxy reads what is not encrypted."""
    return build_opener(_AsItIs, *([ProxyHandler({})] if base.lower().startswith("http:") else []))


def exchange(opener: OpenerDirector, request: Request, timeout: float, longest: int) -> Reply:
    """The answer to a request.

    Args:
        opener: see `opener_for`.
        request: it.
        timeout: seconds for a connection and for each wait for data; the whole may take four times as long.
        longest: bytes of an answer.

    Raises:
        AnswerLost: there is none, or not a whole one in time.
    """
    until = time.monotonic() + 4 * timeout
    content = b""
    with opened_answer(opener, request, timeout) as response:
        while len(content) <= longest and (chunk := read_piece(response)):
            content += chunk
            if time.monotonic() > until:
                raise AnswerLost("the answer takes too long")
        if len(content) > longest:
            raise AnswerLost("the answer is too long")
        if response.length:  # of what its header says, so much did not come
            raise AnswerLost("the answer is cut off")
        return head_of(response, content)


@contextmanager
def opened_answer(opener: OpenerDirector, request: Request, timeout: float) -> Iterator[HTTPResponse]:
    """The answer to a request, to be read in the block with `read_piece`; for what is too long for `exchange`.

    Args:
        opener, request, timeout: as in `exchange`, but the whole may take any time.

    Raises:
        AnswerLost: there is none.
    """
    try:
        opened = opener.open(request, timeout=timeout)
    except URLError as error:
        raise AnswerLost(str(error.reason)) from None
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a header that is none
        raise AnswerLost(type(error).__name__) from None
    with opened:
        yield cast(HTTPResponse, opened)


def read_piece(response: HTTPResponse, most: int = 1 << 16) -> bytes:
    """The next bytes of an answer, at most so many; none at its end.

    Raises:
        AnswerLost: the connection is broken, or nothing comes.
    """
    try:
        return response.read1(most)
    except (OSError, HTTPException, ValueError) as error:
        raise AnswerLost(type(error).__name__) from None


def head_of(response: HTTPResponse, content: bytes = b"") -> Reply:
    """What the headers of an answer say.

    Args:
        response: it.
        content: what was read of it.
    """
    header = response.headers.get
    retry_after, date, location = header("Retry-After"), header("Date"), header("Location")
    return Reply(response.status, content, _seconds(retry_after), date or "", location or "")


def json_of(content: bytes, fraction: Callable[[str], Any]) -> Any:
    """An answer in JSON; None = it is not one, or has whole numbers without end, or what is no number.

    Args:
        content: bytes.
        fraction: reads a number that is not whole; it may raise a ValueError or an ArithmeticError.
    """

    def whole(digits: str) -> int:
        if len(digits) > _DIGITS:
            raise ValueError("too many digits")
        return int(digits)

    def refused(name: str) -> None:
        raise ValueError(name)

    try:
        return json.loads(content.decode("utf-8"), parse_float=fraction, parse_int=whole, parse_constant=refused)
    except (ValueError, RecursionError, ArithmeticError):
        return None


def json_in(reply: Reply, unreadable: Callable[[], Exception]) -> Any:
    """The JSON in an answer whose size is limited; what it holds is not checked.

    Raises:
        Exception: what `unreadable` gives; it is no JSON.
    """
    try:
        return json.loads(reply.content)
    except (ValueError, RecursionError):
        raise unreadable() from None


def one_line(text: Any) -> str:
    """A text from somebody else on one line, without what a terminal would obey, shortened; empty where it is none."""
    if not isinstance(text, str):
        return ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[:2000]).split())[:300]


def _seconds(text: str | None) -> float | None:
    """Retry-After as a whole number of seconds."""
    return float(text.strip()) if text and re.fullmatch(r"\s*[0-9]{1,9}\s*", text) else None
