"""Sends files to a place and fetches them: by SHA-256, resumed where they were cut off, left out where they are there.

Files go under their hashes, so no name from elsewhere is part of a path; the agent says what is there already.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora import file_permissions
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import SHA256_HEX, explained, replace, sha256
from lib_lora.files import size as in_words
from lib_lora.remote.connection import Unreachable
from lib_lora.remote.place_connection import Download, PlaceConnection, Upload

_TRIES = 5  # of a transfer that is cut off, without anything that came between
_ROUNDS = 2  # of files that come with another hash; the first may have been continued from what was there
_BATCH = 200  # files that are sent or fetched in one call

Progress = Callable[[int, int], None]  # bytes that are there, bytes in all


@dataclass(frozen=True)
class Sent:
    """A file to be sent.

    Attributes:
        path: where it lies here.
        sha256: of its content.
        size: in bytes.
        address: from where the place may fetch it, in place of its being sent; empty = from nowhere.
    """

    path: Path
    sha256: str
    size: int
    address: str = ""


def sent(path: Path, known_sha256: str = "") -> Sent:
    """A file to be sent, whose hash is computed where it is not known.

    Raises:
        UserError: it cannot be read.
    """
    with explained(path, "read"):
        return Sent(path, known_sha256 or sha256(path), path.stat().st_size)


def send(
    connection: PlaceConnection,
    files: Iterable[Sent],
    job: str | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """See that a place has these files.

    Args:
        connection: to the place.
        files: which; those that are there are not sent again.
        job: the job whose private files they are; None = they are shared, and stay there.
        progress: is told how much is there.
        stop: asked meanwhile; true = give up. What was sent is kept.

    Raises:
        UserError: they cannot be sent.
        StoppedByUser: `stop` said so.
    """
    distinct = {one.sha256: one for one in files}
    asked = [[one.sha256, one.size] for one in distinct.values()]
    whole = sum(one.size for one in distinct.values())
    tries, rounds, most = 0, 0, -1
    while True:
        folder, missing = _expected(connection, connection.ask("expect", files=asked, job=job))
        lacking = [one for one in distinct.values() if one.sha256 in missing]
        if not lacking:
            if progress:
                progress(whole, whole)
            return
        if rounds == _ROUNDS:
            raise _damaged(connection, lacking[0])
        there = whole - sum(one.size for one in lacking)

        def check(lacking: Sequence[Sent] = lacking, there: int = there) -> None:
            if progress:
                sizes = connection.ask("sizes", files=[one.sha256 for one in lacking], job=job)
                come = sum(_count(sizes.get(one.sha256)) for one in lacking) if isinstance(sizes, dict) else 0
                progress(min(there + come, whole), whole)

        came = there + sum(missing.values())
        tries, most = (0, came) if came > most >= 0 else (tries, max(most, came))
        try:
            for start in range(0, len(lacking), _BATCH):
                _put(connection, lacking[start : start + _BATCH], folder, missing, check, stop)
        except Unreachable:
            tries += 1
            if tries >= _TRIES:
                raise
            _pause(tries, stop)
            continue
        answer = connection.ask("accept", files=[one.sha256 for one in lacking], job=job)
        wrong = _listed(connection, answer, "wrong")
        rounds += 1
        for one in lacking:
            if one.sha256 in wrong and sha256(one.path) != one.sha256:
                raise _damaged(connection, one)


def _damaged(connection: PlaceConnection, one: Sent) -> UserError:
    """Why a file arrives with another content than it should have."""
    changed = sha256(one.path) != one.sha256
    reason = "it was changed meanwhile" if changed else "the connection, or the disk there, damages what is sent"
    return UserError(
        f"{one.path} arrived at {connection.place.address()} with different content: {reason}.",
        code="transfer-damaged",
        file=one.path,
    )


def _put(
    connection: PlaceConnection,
    files: Sequence[Sent],
    folder: str,
    missing: Mapping[str, int],
    check: Callable[[], None],
    stop: Callable[[], bool],
) -> None:
    """Send files under their hashes, as parts; what is there of one is continued."""
    batch = []
    for one in files:
        with explained(one.path, "read"):
            size = one.path.stat().st_size
        if size and missing[one.sha256] == one.size:
            continue  # all of it came, and nobody has looked at its hash
        batch.append(Upload(one.path, one.sha256, f"{folder}/{one.sha256}.part", bool(missing[one.sha256])))
    if batch:
        connection.put(batch, check, stop)


def _expected(connection: PlaceConnection, found: Any) -> tuple[str, dict[str, int]]:
    """The folder, and the bytes that are there of each file that is not there as a whole, of an answer."""
    missing = found.get("missing") if isinstance(found, dict) else None
    folder = found.get("folder") if isinstance(found, dict) else None
    if not isinstance(missing, dict) or not _is_folder(folder):
        raise _unreadable(connection)
    return str(folder), {str(one): _count(size) for one, size in missing.items()}


def _listed(connection: PlaceConnection, found: Any, name: str) -> list[Any]:
    values = found.get(name) if isinstance(found, dict) else None
    if not isinstance(values, list):
        raise _unreadable(connection)
    return values


def _is_folder(value: Any) -> bool:
    """Whether what comes from elsewhere is a path that may stand in a batch of sftp."""
    return isinstance(value, str) and value.startswith("/") and value.isprintable()


def _count(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0


def _unreadable(connection: PlaceConnection) -> UserError:
    place = connection.place
    return UserError(
        f"{place.address()} does not answer as SameFace does.", code="remote-answer-unreadable", place=place.name
    )


def fetch(
    connection: PlaceConnection,
    job: str,
    names: Mapping[str, Path],
    folder: Path,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Bring files of a job's data folder here.

    Each is written beside its place first, and put there once its hash is right: nobody sees half a file.

    Args:
        connection: to the place.
        job: its key there.
        names: where each file should lie here, by its name there.
        folder: for what is on its way; what was cut off is kept in it.
        progress: is told how much is here.
        stop: asked meanwhile; true = give up. What has come is kept.

    Returns:
        The names of those that have come; a file that is gone there is left out.

    Raises:
        UserError: they cannot be fetched.
        StoppedByUser: `stop` said so.
    """
    with explained(folder):
        file_permissions.make_folder(folder)
    come: list[str] = []
    tries, rounds, most = 0, 0, -1
    while left := [name for name in names if name not in come]:
        there, offered = _offered(connection, connection.ask("offer", job=job, names=left), left)
        if not offered:
            return come
        files = dict(offered.values())
        here = sum(min(_size(folder / digest), size) for digest, size in files.items())
        with explained(folder):
            free = shutil.disk_usage(folder).free
        needed = sum(files.values()) - here
        if needed > free:
            raise UserError(
                f"The results on {connection.place.name} need {in_words(needed)}, but {folder} has only "
                f"{in_words(free)} free; free some space to continue.",
                code="disk-too-full",
                folder=folder,
                free=free,
            )
        tries, most = (0, here) if here > most >= 0 else (tries, max(most, here))
        try:
            _get(connection, there, files, folder, progress, stop)
        except Unreachable:
            tries += 1
            if tries >= _TRIES:
                raise
            _pause(tries, stop)
            continue
        wrong = [name for name, (digest, _) in offered.items() if not _taken(folder / digest, digest, names[name])]
        come += [name for name in offered if name not in wrong]
        connection.ask("fetched", job=job, files=sorted(files))
        for digest in files:
            (folder / digest).unlink(missing_ok=True)
        rounds += bool(wrong)
        if wrong and rounds >= _ROUNDS:
            raise UserError(
                f"{wrong[0]} arrived from {connection.place.address()} with different content than it has there.",
                code="transfer-damaged",
                file=wrong[0],
            )
        if len(offered) < len(left):
            return come
    return come


def _offered(connection: PlaceConnection, found: Any, asked: Sequence[str]) -> tuple[str, dict[str, tuple[str, int]]]:
    """The folder, and hash and size of each file that was asked for, of an answer."""
    files = found.get("files") if isinstance(found, dict) else None
    folder = found.get("folder") if isinstance(found, dict) else None
    if not isinstance(files, dict) or not _is_folder(folder):
        raise _unreadable(connection)
    offered = {}
    for name in asked:
        mark = files.get(name)
        if name in files:
            if not (isinstance(mark, list) and len(mark) == 2 and isinstance(mark[0], str) and type(mark[1]) is int):
                raise _unreadable(connection)
            if not SHA256_HEX.fullmatch(mark[0]) or mark[1] < 0:
                raise _unreadable(connection)
            offered[name] = (mark[0], mark[1])
    return str(folder), offered


def _get(
    connection: PlaceConnection,
    there: str,
    files: Mapping[str, int],
    folder: Path,
    progress: Progress | None,
    stop: Callable[[], bool],
) -> None:
    """Fetch files by their hashes into a folder; one that is here in part is continued.

    Raises:
        UserError: see `PlaceConnection.get`.
    """
    whole = sum(files.values())

    def check() -> None:
        if progress:
            progress(min(sum(_size(folder / one) for one in files), whole), whole)
        for digest, size in files.items():
            if _size(folder / digest) > size:
                raise _TooMuch

    batch = []
    for digest, size in files.items():
        here = _size(folder / digest)
        if here > size:
            (folder / digest).unlink()
            here = 0
        if here < size or not size:
            batch.append(Download(f"{there}/{digest}", digest, bool(here)))
    for start in range(0, len(batch), _BATCH):
        with suppress(_TooMuch):  # its hash is wrong, so nobody takes it
            connection.get(batch[start : start + _BATCH], folder, check, stop)
    with suppress(_TooMuch):
        check()


class _TooMuch(Exception):
    """More comes than was offered."""


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _taken(path: Path, digest: str, target: Path) -> bool:
    """Put a file that has come in its place, if its content is right. Of two with one content, both get it."""
    if not path.is_file() or sha256(path) != digest:
        return False
    with explained(target):
        file_permissions.make_folder(target.parent)
        copy = target.with_name(f"{target.name[:100]}.come.tmp")
        copy.unlink(missing_ok=True)
        _copied(path, copy)
        if sys.platform != "win32":  # it has come with the other machine's
            copy.chmod(0o600 if file_permissions.is_private(target) else 0o644)
        with open(copy, "rb+") as stream:  # it is deleted there soon
            os.fsync(stream.fileno())
        replace(copy, target)
    return True


def _copied(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _pause(tries: int, stop: Callable[[], bool]) -> None:
    """Before a transfer is tried again; longer each time."""
    until = time.monotonic() + min(2.0**tries, 30.0)
    while time.monotonic() < until:
        if stop():
            raise StoppedByUser("Stopped during a file transfer; what was received is kept.", code="transfer-stopped")
        time.sleep(0.1)
