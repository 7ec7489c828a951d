"""Fetches a file whose SHA-256 is known: resumes, follows redirects, and gives the file its name once it is whole.

What comes is hostile: it is never more than was announced, it is a safetensors file by its header and not by its name,
and nothing is written but the file and what there is of it (`.NAME.part`) in the folder that was given.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import BinaryIO

from lib_lora import file_permissions
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
from lib_lora.errors import UserError
from lib_lora.files import explained, note_sha256, opened, put_in_place, sha256, sha256_once, size
from lib_lora.models.reading.header import read_header
from lib_lora.remote.http_exchange import AnswerLost, Reply, head_of, opened_answer, opener_for, read_piece
from lib_lora.workspace.file_lock import held

_SPARE = 256 << 20  # bytes of the disk that stay free
_SLACK = 1 << 20  # bytes by which an announced size may be wrong
_LARGEST = 64 << 30  # bytes, where no size is announced
_REFUSAL = 64 << 10  # bytes of a refusal that are read
_BUSY = (429, 500, 502, 503, 504)
_AGAIN = "; run the same command again to continue"


@dataclass(frozen=True)
class WantedFile:
    """A file to be fetched.

    Attributes:
        url: its address.
        name: of the file; safe (`file_names.safe_name`).
        sha256: lower-case hex.
        bytes: as announced; 0 = not known.
        site, token: the token goes to this site alone; empty = none.
    """

    url: str
    name: str
    sha256: str
    bytes: int = 0
    site: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return f"WantedFile({self.name!r})"


@dataclass(frozen=True)
class Patience:
    """How long and how often a download is tried.

    Attributes:
        timeout: seconds for a connection, and for each wait for data.
        attempts: in a row that bring nothing new.
        pause: waits that many seconds between two tries.
    """

    timeout: float = 30.0
    attempts: int = 4
    pause: Callable[[float], None] = time.sleep


def fetch(
    wanted: WantedFile,
    folder: Path,
    progress: Callable[[int, int], None] = lambda *_: None,
    patience: Patience | None = None,
) -> Path:
    """Fetch a file into a folder; one that is there already, with the same bytes, is not fetched again.

    Args:
        wanted: the file.
        folder: is made where it is not there.
        progress: is told the bytes that are there, and how many there will be (0 = not known); what it raises ends
            the download, which can be resumed.
        patience: None = the usual one.

    Returns:
        The file.

    Raises:
        UserError: it cannot be had, is not what was announced, or there is no room.
    """
    with explained(folder):
        file_permissions.make_folder(folder)
    target = folder / wanted.name
    part = folder / f".{wanted.name}.{wanted.sha256[:12]}.part"
    if _is_there(target, wanted):
        return target
    with held(part.with_name(f"{part.name}.lock"), remove=True) as is_held:  # or two would write into one part
        if not is_held:
            raise UserError(
                f"{wanted.name} is being fetched into {folder} by another program; wait for it, or stop it.",
                code="civitai-fetched-elsewhere",
                file=target,
            )
        if _is_there(target, wanted):  # it was just fetched
            return target
        _Transfer(wanted, part, progress, patience or Patience()).run()
        _check(part, wanted)
        with explained(target):
            placed = put_in_place(part, target)
        if not placed and _is_there(target, wanted):  # one that came meanwhile is the user's
            with explained(part):
                part.unlink(missing_ok=True)
    note_sha256(target, wanted.sha256)
    return target


def _is_there(target: Path, wanted: WantedFile) -> bool:
    """Whether a file is there already.

    Raises:
        UserError: another one has its name.
    """
    if not os.path.lexists(target):
        return False
    if target.is_file() and sha256_once(target) == wanted.sha256:
        return True
    raise UserError(
        f"{target} already exists, and is another file; move it away, or choose another folder.",
        code="civitai-file-there",
        file=target,
    )


class _Transfer:
    """A download into the file `part`, as long as something new comes."""

    def __init__(
        self, wanted: WantedFile, part: Path, progress: Callable[[int, int], None], patience: Patience
    ) -> None:
        self._wanted, self._part, self._progress, self._patience = wanted, part, progress, patience
        self._restarts = 0

    def run(self) -> None:
        """Until all bytes are there that were announced."""
        failures, said, url = 0, "", self._wanted.url
        while True:
            before, wait = self._there(), 0.0
            if before > self._most():
                self._forget()
                continue
            try:
                if self._once(url):
                    return
                said = "it ended too early"
            except AnswerLost as error:
                said = str(error)
            except _Busy as error:
                said, wait = f"it answers {error.reply.status}", error.reply.retry_after or 0.0
                if error.reply.status == 429 and failures + 1 >= self._patience.attempts:
                    raise refusal(error.reply, url) from None
            failures = 0 if self._there() > before else failures + 1
            if failures >= self._patience.attempts:
                raise unreachable(url, said + (_AGAIN if self._there() else ""))
            self._patience.pause(min(max(wait, 2.0**failures), LONGEST_WAIT))

    def _once(self, url: str) -> bool:
        """Ask once from where the file ends; whether it is whole now."""
        first = self._there()
        for _ in range(REDIRECTS + 1):
            request = request_to(url, self._wanted.site or url, self._wanted.token, first)
            with opened_answer(opener_for(url), request, self._patience.timeout) as response:
                if response.status in (200, 206):
                    return self._take(response, first, url)
                if response.status == 416 and first:  # nothing after its end, or it is not what it was
                    return self._nothing_more(url)
                if response.status not in REDIRECTING:
                    reply = self._refusal(response)
                    if reply.status in _BUSY:
                        raise _Busy(reply)
                    raise refusal(reply, url)
                location = head_of(response).location
            url = next_address(url, location)
        raise UserError(f"Too many redirects from {host_in(url)}; try again later.", code="civitai-download-endless")

    def _take(self, response: HTTPResponse, first: int, url: str) -> bool:
        """Write what comes; whether it is all."""
        kind = (response.headers.get("Content-Type") or "").lower()
        if "text/html" in kind or "application/json" in kind:
            raise web_page(url)
        start = _start(response, first)
        if start is None:
            raise AnswerLost("it sends another part than was asked for")
        length = response.headers.get("Content-Length") or ""
        announced = start + int(length) if re.fullmatch(r"[0-9]{1,18}", length) else 0
        if announced > self._most() or (self._wanted.bytes and announced and announced < self._wanted.bytes - _SLACK):
            raise UserError(
                f"{host_in(url)} sends {size(announced)} for {self._wanted.name}, where "
                f"{size(self._wanted.bytes) if self._wanted.bytes else 'less'} was announced; it is not fetched.",
                code="civitai-size-wrong",
                file=self._wanted.name,
            )
        total = announced or self._wanted.bytes
        self._see_that_it_fits(total - start)
        with explained(self._part), _opened(self._part, start) as stream:
            there = start
            while piece := read_piece(response):
                there += len(piece)
                if there > (announced or self._most()):
                    raise UserError(
                        f"{host_in(url)} sends more for {self._wanted.name} than was announced; it is not fetched.",
                        code="civitai-too-long",
                        file=self._wanted.name,
                    )
                stream.write(piece)
                self._progress(there, total)
            stream.flush()
            os.fsync(stream.fileno())
        return there == announced if announced else there >= self._wanted.bytes - _SLACK

    def _nothing_more(self, url: str) -> bool:
        """The host has nothing after what is there: either that is all, or it is not what was wanted."""
        if sha256(self._part) == self._wanted.sha256:
            return True
        self._forget()
        self._restarts += 1
        if self._restarts > 1:
            raise unreachable(url, "it says of a file that it is longer than it is")
        return False

    def _refusal(self, response: HTTPResponse) -> Reply:
        content = b""
        with suppress(AnswerLost):
            while len(content) < _REFUSAL and (piece := read_piece(response)):
                content += piece
        return head_of(response, content[:_REFUSAL])

    def _see_that_it_fits(self, more: int) -> None:
        with explained(self._part):
            free = shutil.disk_usage(self._part.parent).free
        if max(more, 0) + _SPARE > free:
            raise UserError(
                f"{self._wanted.name} needs {size(max(more, 0))} more, and {self._part.parent} has {size(free)} free; "
                "free some space, or choose another folder.",
                code="civitai-disk-too-small",
                file=self._wanted.name,
            )

    def _most(self) -> int:
        return self._wanted.bytes + _SLACK if self._wanted.bytes else _LARGEST

    def _there(self) -> int:
        try:
            return self._part.stat().st_size
        except OSError:
            return 0

    def _forget(self) -> None:
        with explained(self._part):
            self._part.unlink(missing_ok=True)


class _Busy(Exception):
    """The host may answer later."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def _start(response: HTTPResponse, first: int) -> int | None:
    """At which byte an answer begins; None = at another one than was asked for. Some servers send all of it anyway."""
    if response.status == 200:
        return 0
    match = re.match(r"bytes ([0-9]{1,18})-", response.headers.get("Content-Range") or "")
    return first if match and int(match[1]) == first else None


@contextmanager
def _opened(part: Path, start: int) -> Iterator[BinaryIO]:
    """The file to write from a byte on; what is after it goes. A link that lies there is not followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(part, flags, 0o666), "r+b") as stream:
        stream.truncate(start)
        stream.seek(start)
        yield stream


def _check(part: Path, wanted: WantedFile) -> None:
    """Delete what is not what was wanted, and say so."""
    try:
        found = sha256(part)
        if found != wanted.sha256:
            raise UserError(
                f"The download of {wanted.name} does not have the SHA-256 that was announced ({found[:12]} instead of "
                f"{wanted.sha256[:12]}), so it was damaged or replaced on the way; it was deleted, try again.",
                code="civitai-hash-wrong",
                file=wanted.name,
            )
        see_that_it_is_safe(part, wanted.name)
    except UserError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def see_that_it_is_safe(path: Path, name: str) -> None:
    """Nothing where a file is a safetensors file, in which there is nothing that can be executed.

    Args:
        path: of the file.
        name: for the sentence.

    Raises:
        UserError: it is something else, whatever it is called.
    """
    with explained(path, "read"), opened(path) as stream:
        head = stream.read(4)
    pickled = head.startswith((b"PK\x03\x04", b"\x80"))
    try:
        if not pickled:
            read_header(path)
            return
        why = "it is a pickle, which can run programs when it is opened"
    except UserError:
        why = "its header cannot be read"
    raise UserError(
        f"{name} is not a .safetensors file, despite its name: {why}; it was not imported.",
        code="civitai-not-safetensors",
        file=name,
    )
