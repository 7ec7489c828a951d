"""Runs OpenSSH's sftp to its end: files that go to a place, and files that come from one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from lib_lora.errors import StoppedByUser, UserError
from lib_lora.remote import openssh
from lib_lora.remote.place_connection import Download, Upload
from lib_lora.remote.places import Place

_POLL = 1.0  # seconds between two checks at how far a transfer is


def put(
    root: Path, place: Place, files: Sequence[Upload], check: Callable[[], None], stop: Callable[[], bool]
) -> bytes | None:
    """Send files in one call of sftp. They go by links that have names of ours, since a file's own name may be one that
    sftp takes for something else; see `run`."""
    with tempfile.TemporaryDirectory(prefix="sameface-") as links:
        batch = [
            f"{'reput' if one.goes_on else 'put'} {openssh.quoted(_linked(one, Path(links)))} "
            f"{openssh.quoted(one.there)}"
            for one in files
        ]
        return run(root, place, batch, Path(links), check, stop)


def get(
    root: Path,
    place: Place,
    files: Sequence[Download],
    folder: Path,
    check: Callable[[], None],
    stop: Callable[[], bool],
) -> bytes | None:
    """Fetch files into a folder in one call of sftp; see `run`."""
    batch = [
        f"{'reget' if one.goes_on else 'get'} {openssh.quoted(one.there)} {openssh.quoted(one.name)}" for one in files
    ]
    return run(root, place, batch, folder, check, stop)


def _linked(one: Upload, folder: Path) -> str:
    """A name in `folder` by which a file can be read."""
    link = folder / one.name
    try:
        if sys.platform == "win32":  # where only an administrator may make the other kind
            os.link(one.path, link)
        else:
            link.symlink_to(one.path.absolute())
    except OSError:  # another disk
        return one.path.absolute().as_posix()
    return link.name


def run(
    root: Path,
    place: Place,
    batch: Sequence[str],
    folder: Path,
    check: Callable[[], None],
    stop: Callable[[], bool],
) -> bytes | None:
    """Run a batch of sftp to its end.

    Args:
        root: the data folder.
        place: where to.
        batch: lines of sftp; names of files here are relative to `folder`.
        folder: see `batch`.
        check: called now and then; what it raises ends the transfer, apart from a `UserError`.
        stop: asked meanwhile; true = give up.

    Returns:
        What sftp said where it failed; None = all went well.

    Raises:
        StoppedByUser: `stop` said so.
    """
    if not batch:
        return None
    process = openssh.start_transfer(root, place, batch, folder)
    said: list[bytes] = []
    readers = [
        threading.Thread(target=_drain, args=(stream, kept), name="sameface-sftp", daemon=True)
        for stream, kept in ((process.stderr, said), (process.stdout, None))
    ]
    for reader in readers:
        reader.start()
    try:
        checked_at = time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                break
            if stop():
                raise StoppedByUser(
                    "Stopped during a file transfer; what was received is kept.", code="transfer-stopped"
                )
            if time.monotonic() - checked_at > _POLL:
                with suppress(UserError):  # the transfer itself tells what is wrong
                    check()
                checked_at = time.monotonic()
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join(2)
    return b"".join(said) if process.returncode else None


def _drain(stream: IO[bytes] | None, kept: list[bytes] | None) -> None:
    with suppress(OSError, ValueError):
        while stream and (chunk := stream.read1(4096)):  # type: ignore[attr-defined]
            if kept is not None and len(kept) < 64:
                kept.append(chunk)
