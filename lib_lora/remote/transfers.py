"""Sends files to a place and fetches them: by SHA-256, resumed where they were cut off, left out where they are there.

Files go by sftp, under their hashes, so no name from elsewhere is in its batch; the agent says what is there already.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lib_lora import file_permissions
from lib_lora.errors import StoppedByUser, UserError
from lib_lora.files import explained, replace, sha256
from lib_lora.remote import openssh
from lib_lora.remote.connection import Connection, Unreachable

HASH = re.compile(r"[0-9a-f]{64}")
_LOOK = 1.0  # seconds between two looks at how far a transfer is
_TRIES = 5  # of a transfer that is cut off
_ROUNDS = 2  # of files that come with another hash
_BATCH = 200  # files in one call of sftp

Progress = Callable[[int, int], None]  # bytes that are there, bytes in all


@dataclass(frozen=True)
class Sent:
    """A file to be sent.

    Attributes:
        path: where it lies here.
        sha256: of its content.
        size: in bytes.
    """

    path: Path
    sha256: str
    size: int


def sent(path: Path, known_sha256: str = "") -> Sent:
    """A file to be sent, whose hash is computed where it is not known.

    Raises:
        UserError: it cannot be read.
    """
    with explained(path, "read"):
        return Sent(path, known_sha256 or sha256(path), path.stat().st_size)


def send(
    connection: Connection,
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
    tries = rounds = 0
    while True:
        found = connection.ask("expect", files=asked, job=job)
        folder, missing = str(found["folder"]), found["missing"]
        lacking = [one for one in distinct.values() if one.sha256 in missing]
        if not lacking:
            if progress:
                progress(whole, whole)
            return
        there = whole - sum(one.size for one in lacking)

        def look(lacking: Sequence[Sent] = lacking, there: int = there) -> None:
            if progress:
                sizes = connection.ask("sizes", files=[one.sha256 for one in lacking], job=job)
                come = sum(int(size) for size in sizes.values() if isinstance(size, int))
                progress(min(there + come, whole), whole)

        try:
            for start in range(0, len(lacking), _BATCH):
                _put(connection, lacking[start : start + _BATCH], folder, missing, look, stop)
        except Unreachable:
            tries += 1
            if tries >= _TRIES:
                raise
            _pause(tries, stop)
            continue
        wrong = connection.ask("accept", files=[one.sha256 for one in lacking], job=job)["wrong"]
        rounds += bool(wrong)
        if wrong and rounds > _ROUNDS:
            bad = next((one for one in lacking if one.sha256 in wrong), lacking[0])
            changed = not bad.path.is_file() or sha256(bad.path) != bad.sha256
            reason = (
                "it was changed meanwhile" if changed else "the connection, or the disk there, damages what is sent"
            )
            raise UserError(
                f"{bad.path} arrives at {connection.place.address()} with another content: {reason}.",
                code="transfer-damaged",
                file=bad.path,
            )


def _put(
    connection: Connection,
    files: Sequence[Sent],
    folder: str,
    missing: Mapping[str, int],
    look: Callable[[], None],
    stop: Callable[[], bool],
) -> None:
    """Send files in one call of sftp for each folder here, so that only names of files stand in its batch."""
    by_folder: dict[Path, list[str]] = {}
    for one in files:
        target = openssh.quoted(f"{folder}/{one.sha256}.part")
        command = "reput" if missing[one.sha256] else "put"
        by_folder.setdefault(one.path.parent, []).append(f"{command} {openssh.quoted(one.path.name)} {target}")
    for here, batch in by_folder.items():
        _run(connection, batch, here, look, stop)


def fetch(
    connection: Connection,
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
        names: where each file shall lie here, by its name there.
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
    tries = rounds = 0
    while left := [name for name in names if name not in come]:
        found = connection.ask("offer", job=job, names=left)
        offered = {
            name: (mark[0], mark[1])
            for name, mark in found["files"].items()
            if name in left and HASH.fullmatch(str(mark[0])) and isinstance(mark[1], int) and mark[1] >= 0
        }
        if not offered:
            return come
        try:
            _get(connection, str(found["folder"]), dict(offered.values()), folder, progress, stop)
        except Unreachable:
            tries += 1
            if tries >= _TRIES:
                raise
            _pause(tries, stop)
            continue
        wrong = [name for name, (digest, _) in offered.items() if not _taken(folder / digest, digest, names[name])]
        come += [name for name in offered if name not in wrong]
        connection.ask("fetched", job=job, files=sorted({digest for digest, _ in offered.values()}))
        for digest, _ in offered.values():
            (folder / digest).unlink(missing_ok=True)
        rounds += bool(wrong)
        if wrong and rounds > _ROUNDS:
            raise UserError(
                f"{wrong[0]} comes from {connection.place.address()} with another content than it has there.",
                code="transfer-damaged",
                file=wrong[0],
            )
        if len(offered) < len(left):
            return come
    return come


def _get(
    connection: Connection,
    there: str,
    files: Mapping[str, int],
    folder: Path,
    progress: Progress | None,
    stop: Callable[[], bool],
) -> None:
    """Fetch files by their hashes into a folder; one that is here in part is continued."""
    whole = sum(files.values())

    def look() -> None:
        if progress:
            progress(min(sum(_size(folder / one) for one in files), whole), whole)

    batch = []
    for digest, size in files.items():
        here = _size(folder / digest)
        if here > size:
            (folder / digest).unlink()
            here = 0
        if here < size or not size:
            batch.append(f"{'reget' if here else 'get'} {openssh.quoted(f'{there}/{digest}')} {openssh.quoted(digest)}")
    for start in range(0, len(batch), _BATCH):
        _run(connection, batch[start : start + _BATCH], folder, look, stop)
    look()


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
        replace(copy, target)
    return True


def _copied(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def _run(
    connection: Connection, batch: Sequence[str], folder: Path, look: Callable[[], None], stop: Callable[[], bool]
) -> None:
    """Run a batch of sftp to its end.

    Raises:
        Unreachable: it was cut off.
        UserError: it failed.
        StoppedByUser: `stop` said so.
    """
    if not batch:
        return
    process = openssh.start_transfer(connection.root, connection.place, batch, folder)
    said: list[bytes] = []
    readers = [
        threading.Thread(target=_drain, args=(stream, kept), name="sameface-sftp", daemon=True)
        for stream, kept in ((process.stderr, said), (process.stdout, None))
    ]
    for reader in readers:
        reader.start()
    try:
        looked = time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                break
            if stop():
                raise StoppedByUser("Stopped while files were on their way; what has come is kept.")
            if time.monotonic() - looked > _LOOK:
                with suppress(UserError):  # the transfer itself tells what is wrong
                    look()
                looked = time.monotonic()
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join(2)
    if process.returncode:
        error = openssh.why(b"".join(said).decode("utf-8", "replace"), connection.place)
        if error.code in ("host-unreachable", "ssh-failed"):
            raise Unreachable(str(error), code=error.code, place=connection.place.name)
        raise error


def _drain(stream: IO[bytes] | None, kept: list[bytes] | None) -> None:
    with suppress(OSError, ValueError):
        while stream and (chunk := stream.read1(4096)):  # type: ignore[attr-defined]
            if kept is not None and len(kept) < 64:
                kept.append(chunk)


def _pause(tries: int, stop: Callable[[], bool]) -> None:
    """Before a transfer is tried again; longer each time."""
    until = time.monotonic() + min(2.0**tries, 30.0)
    while time.monotonic() < until:
        if stop():
            raise StoppedByUser("Stopped while files were on their way; what has come is kept.")
        time.sleep(0.1)
