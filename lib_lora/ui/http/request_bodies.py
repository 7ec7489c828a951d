"""Writes a large request body to disk as it arrives: JSON in which one field is a file in base64.

How many bodies are on their way at once, and how large they are together, is limited.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import IO

from lib_lora.errors import UserError

AT_ONCE, SUM = 4, 1 << 30  # bodies, and the bytes of all of them
_REST = 1 << 16  # bytes of a body without its file
_QUOTE, _ESCAPE = ord('"'), ord("\\")


class Full(Exception):
    """Too many bodies, or too much of them, are on their way already."""


class TooLarge(UserError):
    """A file has more bytes than it may have."""


class Uploads:
    """The bodies that are on their way. For any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._number = self._bytes = 0

    @contextmanager
    def place(self, size: int) -> Iterator[None]:
        """A place for one body of `size` bytes, while the block runs.

        Raises:
            Full: there is none.
        """
        with self._lock:
            if self._number >= AT_ONCE or (self._number and self._bytes + size > SUM):
                raise Full
            self._number += 1
            self._bytes += size
        try:
            yield
        finally:
            with self._lock:
                self._number -= 1
                self._bytes -= size


class StreamedBody:
    """Takes a body bit by bit: the text of one field is decoded into a file, the rest is kept.

    Args:
        field: its name, in the outermost object.
        file: a binary file, empty; where the field comes twice, the last one counts, as in JSON.
        most: bytes that the file may have.

    Attributes:
        rest: the body with an empty text in place of the file.
    """

    def __init__(self, field: str, file: IO[bytes], most: int) -> None:
        self.rest = bytearray()
        self._name, self._file, self._most = field.encode(), file, most
        self._depth, self._begin = 0, -1  # of brackets; where in the rest the text began that is read now
        self._named, self._inside = False, False  # the field's colon was read; its text is being read
        self._escaped = False
        self._last = b""  # the text that was read last
        self._carried, self._padded = b"", False

    def feed(self, block: bytes) -> None:
        """Take the next bytes.

        Raises:
            UserError: the file is no base64, or too large; or the rest is.
        """
        at = 0
        while at < len(block):
            at = self._text(block, at) if self._inside else self._plain(block, at)
        if len(self.rest) > _REST:
            raise UserError(
                "This is not a request with a file: the part besides the file is too long.", code="request-too-long"
            )

    def _plain(self, block: bytes, at: int) -> int:
        """Up to the beginning of the file's text, or the end of the block."""
        for place in range(at, len(block)):
            one = block[place]
            if self._begin < 0 and one == _QUOTE and self._named and self._depth == 1:
                self.rest += b'""'
                self._inside, self._named = True, False
                self._carried, self._padded = b"", False
                self._file.seek(0)
                self._file.truncate()
                return place + 1
            self.rest.append(one)
            if self._begin >= 0:
                self._in_a_text(one)
            else:
                self._between(one)
            if len(self.rest) > _REST:
                break
        return len(block)

    def _in_a_text(self, one: int) -> None:
        if self._escaped:
            self._escaped = False
        elif one == _ESCAPE:
            self._escaped = True
        elif one == _QUOTE:
            self._last, self._begin = bytes(self.rest[self._begin : -1]), -1

    def _between(self, one: int) -> None:
        if one == _QUOTE:
            self._begin = len(self.rest)
        elif one == ord(":"):
            self._named = self._depth == 1 and self._last == self._name
            return
        elif one in b"{[":
            self._depth += 1
        elif one in b"}]":
            self._depth -= 1
        if one not in b" \t\r\n":
            self._named = False

    def _text(self, block: bytes, at: int) -> int:
        """Up to the end of the file's text, or of the block."""
        if self._escaped:
            self._escaped = False
            if block[at] != ord("/"):  # the only letter of base64 that JSON may escape
                raise _no_base64()
            self._decode(b"/")
            return at + 1
        ends = [found for found in (block.find(b'"', at), block.find(b"\\", at)) if found >= 0]
        end = min(ends, default=len(block))
        self._decode(block[at:end])
        if end == len(block):
            return end
        self._escaped = block[end] == _ESCAPE
        if not self._escaped:
            self._inside, self._last = False, b""
            if self._carried:
                raise _no_base64()
        return end + 1

    def _decode(self, text: bytes) -> None:
        if text and self._padded:
            raise _no_base64()
        text = self._carried + text
        whole = len(text) - len(text) % 4
        self._carried, text = text[whole:], text[:whole]
        try:
            data = base64.b64decode(text, validate=True)
        except (ValueError, binascii.Error):
            raise _no_base64() from None
        self._padded = text.endswith(b"=")
        if self._file.tell() + len(data) > self._most:
            raise TooLarge(
                f"This is more than the {self._most >> 20} MB that a file may have; send it in parts.",
                code="upload-too-large",
            )
        self._file.write(data)


def _no_base64() -> UserError:
    return UserError("The data is not valid base64.", code="base64-invalid")
