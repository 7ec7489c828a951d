"""One request over HTTP and its answer, whose size and time are limited. Follows no redirect. Imports nothing heavy."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import cast
from urllib.error import URLError
from urllib.request import HTTPErrorProcessor, OpenerDirector, ProxyHandler, Request, build_opener


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
    """

    status: int
    content: bytes
    retry_after: float | None = None
    date: str = ""


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
    try:
        with opener.open(request, timeout=timeout) as opened:
            response = cast(HTTPResponse, opened)
            while len(content) <= longest and (chunk := response.read1(1 << 16)):
                content += chunk
                if time.monotonic() > until:
                    raise AnswerLost("the answer takes too long")
            if len(content) > longest:
                raise AnswerLost("the answer is too long")
            retry_after, date = response.headers.get("Retry-After"), response.headers.get("Date")
            return Reply(response.status, content, _seconds(retry_after), date or "")
    except URLError as error:
        raise AnswerLost(str(error.reason)) from None
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a header that is none
        raise AnswerLost(type(error).__name__) from None


def _seconds(text: str | None) -> float | None:
    """Retry-After as a whole number of seconds."""
    return float(text.strip()) if text and re.fullmatch(r"\s*[0-9]{1,9}\s*", text) else None
