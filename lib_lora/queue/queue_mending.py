"""Checks whether the queue's file is damaged, and saves what of it can still be read."""

from __future__ import annotations

import re
import shutil
import sqlite3
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora.queue import queue_rows
from lib_lora.queue.queue_rows import COLUMNS, SEAL, SEALED

FACTS = {"name": "TEXT", "value": "TEXT"}
PARTS = ("", "-wal", "-shm")  # of the file's name
_MOST = 100_000  # numbers that are looked for one by one
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)  # the second: SQLite quotes damaged text in what it says
WRITING = 2.0  # seconds that a process may need between two parts of a change
_WRITING_ON = 10.0  # seconds after which a log that was never whole is damaged, although it grows
_OF_THE_DISK = (5, 6, 7, 10, 13, 14)  # SQLITE_BUSY, LOCKED, NOMEM, IOERR, FULL, CANTOPEN (sqlite.org/rescode.html)
_SHORT_READ = 522  # SQLITE_IOERR_SHORT_READ: the file, or its log, is shorter than it was
_POLL, _RARELY = 0.05, 0.4  # seconds between two checks at it: at first, and later


@dataclass
class RecoveredRows:
    """What is left of a damaged file.

    Attributes:
        rows: of the table of jobs, in the order of `queue_rows.COLUMNS`.
        lost: numbers of jobs of which something is there that cannot be read.
        paused: whether heavy jobs were kept from starting.
        highest: number that was given last, as far as it is known.
        cut: the changes made last may be missing, because the log of changes is damaged.
    """

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    paused: bool = False
    highest: int = 0
    cut: bool = False


def damage(path: Path, version: int, patience: float) -> str:
    """What is wrong with the file; empty where nothing is, or where it cannot be used for another reason.

    Args:
        path: of the file.
        version: of its layout; one of a later version is not judged.
        patience: seconds to wait for another process's transaction.
    """
    if not path.is_file():
        return ""
    try:
        if log_is_damaged(path):
            return "its log of changes is damaged"
        with closing(sqlite3.connect(path, timeout=patience)) as db:
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found > version:
                return ""
            said = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
            if _unread(said):
                return ""
            if said != "ok" or not (found or db.execute("SELECT 1 FROM sqlite_master").fetchone()):
                return "" if said == "ok" else said
            return _odd_tables(db, found) or _odd_rows(db)
    except sqlite3.OperationalError as error:
        return str(error) if _of_the_content(error) else ""
    except UNREADABLE as error:
        return str(error) or "it cannot be read"  # Python 3.10 does not say what SQLite says with damaged text
    except OSError:
        return ""


def _of_the_content(error: sqlite3.OperationalError) -> bool:
    """Whether it is the file's content that is wrong; a lock, the disk or a permission has no such words."""
    words = (
        "no such|no column|malformed|could not decode|duplicate column|already exists|syntax|unsupported file format"
    )
    return re.search(words, str(error), re.IGNORECASE) is not None


def _unread(said: str) -> bool:
    """Whether ``integrity_check`` could not read a page, and why says nothing of the content: disk, lock, memory."""
    code = re.search(r"error code=(\d+)", said)
    number = int(code[1]) if code else 0
    return number != _SHORT_READ and number & 0xFF in _OF_THE_DISK  # the rest is what kind of that error it is


def _odd_tables(db: sqlite3.Connection, found: int) -> str:
    columns = {**COLUMNS, **({SEAL: "TEXT"} if found >= SEALED else {})}
    for table, wanted in (("jobs", columns), ("facts", FACTS)):
        there = [(row[1], row[2]) for row in db.execute(f"PRAGMA table_info({table})")]
        if there != [(name, kind.split()[0]) for name, kind in wanted.items()]:
            return f"the table {table} has other columns"
    return ""


def _odd_rows(db: sqlite3.Connection) -> str:
    for row in db.execute("SELECT * FROM jobs"):
        queue_rows.check(row)
    for name, value in db.execute("SELECT name, value FROM facts"):
        if name == "paused" and value not in ("0", "1"):
            return "a fact is damaged"
    return ""


def log_is_damaged(path: Path) -> bool:
    """Whether the log of changes beside the file (``-wal``) is damaged: SQLite passes over the rest of it in silence.

    A change that a killed process left half written ends the log, and is no damage. What another process is writing at
    this moment looks like damage too (SQLite writes the head of a page before the page), until it has gone on; on a
    busy machine that can take a while. So what looks damaged is looked at again, until nobody has written to it for
    `WRITING` seconds.

    Raises:
        OSError: it cannot be read. One that is deleted meanwhile, since all of it is in the file, is no damage.
    """
    log = path.with_name(path.name + "-wal")
    began = changed = time.monotonic()
    pause, before = _POLL, b""
    while (found := _content(log)) == before or _is_cut(found):
        now = time.monotonic()
        if found != before:
            before, changed = found, now
        if not found:
            return False
        if now - changed >= WRITING or now - began >= _WRITING_ON:
            return True
        time.sleep(pause)
        pause = min(2 * pause, _RARELY)
    return False


def _content(log: Path) -> bytes:
    try:
        return log.read_bytes()
    except FileNotFoundError:
        return b""


def _is_cut(log: bytes) -> bool:
    """Whether it breaks off where its checksums do (sqlite.org/fileformat2.html#the_write_ahead_log)."""
    if len(log) < 32:
        return False
    magic, _, page = struct.unpack_from(">III", log)
    if magic & ~1 != 0x377F0682 or not 512 <= page <= 65536:
        return True
    order = ">" if magic & 1 else "<"
    sums = _sums(log[:24], order, (0, 0))
    if sums != struct.unpack_from(">II", log, 24):
        return True
    for at in range(32, len(log) - 24 - page + 1, 24 + page):
        if log[at + 8 : at + 16] != log[16:24]:
            return False  # of an earlier round: the log ended before it
        sums = _sums(log[at + 24 : at + 24 + page], order, _sums(log[at : at + 8], order, sums))
        if sums != struct.unpack_from(">II", log, at + 16):
            return True
    return False


def _sums(content: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    numbers = struct.unpack(f"{order}{len(content) // 4}I", content)
    for first, second in zip(numbers[::2], numbers[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def saved(path: Path, folder: Path) -> RecoveredRows:
    """Everything that can still be read of a damaged file.

    Args:
        path: of the file, which is not touched.
        folder: for a copy, meanwhile.
    """
    found = RecoveredRows(cut=log_is_damaged(path))
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as here:
        copy = Path(here) / path.name
        shutil.copyfile(path, copy)
        log = path.with_name(path.name + PARTS[1])
        with suppress(FileNotFoundError):  # there is none, or not any more
            shutil.copyfile(log, copy.with_name(copy.name + PARTS[1]))
        with suppress(*UNREADABLE), closing(sqlite3.connect(copy, isolation_level=None)) as db:
            if not _table(db):
                _name_tables(db)
        with suppress(*UNREADABLE), closing(sqlite3.connect(copy)) as db:
            db.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            _read(db, found)
    return found


def _name_tables(db: sqlite3.Connection) -> None:
    """Where the table of tables is damaged: list them again. They lie where they were made, in their order."""
    db.execute("PRAGMA writable_schema = ON")
    db.execute("DELETE FROM sqlite_master WHERE rootpage NOT IN (2, 3, 5)")
    columns = ", ".join([*(f"{name} {kind}" for name, kind in COLUMNS.items()), queue_rows.SEAL_COLUMN])
    for page, name, content in ((2, "jobs", columns), (5, "facts", "name TEXT, value TEXT")):
        db.execute(
            "UPDATE sqlite_master SET type = 'table', name = ?, tbl_name = ?, sql = ? WHERE rootpage = ?",
            (name, name, f"CREATE TABLE {name} ({content})", page),
        )


def _read(db: sqlite3.Connection, found: RecoveredRows) -> None:
    with suppress(*UNREADABLE):
        found.paused = ("paused", "1") in db.execute("SELECT * FROM facts").fetchall()
    with suppress(*UNREADABLE, TypeError):
        found.highest = int(db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()[0])
    for row in _rows(db, _table(db) or "jobs", found):
        values = tuple(row[: len(COLUMNS)])
        number = values[0]
        try:
            queue_rows.check(row)
            found.rows.append(values)
        except UNREADABLE:
            found.lost.append(number if type(number) is int else 0)
    found.lost = sorted({*found.lost} - {row[0] for row in found.rows})
    found.highest = max([found.highest, *found.lost, *(row[0] for row in found.rows)])


def _table(db: sqlite3.Connection) -> str:
    """The table of jobs, which may have lost its name: the one with as many columns; empty where none is."""
    with suppress(*UNREADABLE):
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            quoted = '"' + str(name).replace('"', '""') + '"'
            if len(db.execute(f"PRAGMA table_info({quoted})").fetchall()) in (len(COLUMNS), len(COLUMNS) + 1):
                return quoted
    return ""


def _rows(db: sqlite3.Connection, table: str, found: RecoveredRows) -> Iterator[tuple[Any, ...]]:
    """Each row that can be read: all at once; what is missing then, one number after the other."""
    given: set[int] = set()
    last = 0
    try:
        for row in db.execute(f"SELECT * FROM {table} NOT INDEXED"):
            given.add(row[0])
            yield row
    except UNREADABLE:
        last = _MOST
    known = _numbers(db, table)  # a damaged page may hide a row without an error
    last = min(max([found.highest, *known, *given]), last)
    for number in sorted(({*range(1, last + 1)} | known) - given):
        try:
            row = db.execute(f"SELECT * FROM {table} WHERE rowid = ?", (number,)).fetchone()
        except UNREADABLE:
            found.lost.append(number)
            continue
        if row is not None:
            yield row
        elif number in known:
            found.lost.append(number)


def _numbers(db: sqlite3.Connection, table: str) -> set[int]:
    """The numbers of jobs that the table, from either end, or its index knows."""
    numbers: set[int] = set()
    for order in (f"{table} ORDER BY rowid ASC", f"{table} ORDER BY rowid DESC", f"{table} INDEXED BY jobs_by_state"):
        with suppress(*UNREADABLE):
            numbers |= {row[0] for row in db.execute(f"SELECT rowid FROM {order}")}
    return numbers
