"""Opens the file ``jobs.sqlite``: its tables, short transactions on it, and what happens to a damaged one.

Knows nothing of what a job is.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from lib_lora import file_permissions
from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.queue import queue_mending, queue_rows
from lib_lora.queue.queue_rows import COLUMNS, SEAL_COLUMN, SEALED
from lib_lora.runs.run_lock import only_process
from lib_lora.workspace.file_cache import mark
from lib_lora.workspace.workspace import Workspace

MENDING = "mending"  # in the folder of the jobs
FILE_VERSION = 3  # 1: rows without a seal; 2: none is on another machine, which older versions would take for damage
_PATIENCE = 30.0  # seconds that one process waits for the transaction of another
_NAMED = 10  # numbers of lost jobs that are named
_making = threading.Lock()  # held while a thread of this process has a new file open; see `_make_file`
_BEGUN_ANEW = "The list of jobs was damaged, so a new one was begun; try again."

_TABLES = f"""
CREATE TABLE jobs ({", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())}, {SEAL_COLUMN});
CREATE INDEX jobs_by_state ON jobs (state, place);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class QueueFile:
    """The file in a data folder. A connection for each `open`, so that threads and processes share nothing but it.

    Raises:
        UserError: (by every method too) it cannot be used. One that is damaged is moved aside, and the next `open`
            begins a new one.
    """

    def __init__(self, root: Path) -> None:
        workspace = Workspace(root)
        self.path, self.folder = workspace.queue_file, workspace.jobs
        self._begun = self.folder / "begun"  # there has been a file
        self._mending = self.folder / MENDING
        self._new = self._mending / self.path.name  # the mended one, until it is in its place
        self._lock = threading.Lock()
        self._keeps = False
        self._kept: sqlite3.Connection | None = None
        self._kept_file: os.stat_result | None = None
        if self._is_there() and self._damaged():
            self._move_aside()

    @contextmanager
    def open(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, which an exception rolls back.

        Args:
            write: nobody else writes while the block runs.
        """
        with explained(self.path):
            file_permissions.make_folder(self.path.parent)
        try:
            if self._new.exists() and not self.path.exists():
                self._move_aside()  # a process was killed while it did so
            with explained(self.path):
                self._make_file()
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)) as db:
                db.row_factory = sqlite3.Row
                self._prepare(db)
                if write:
                    queue_rows.keep_sealed(db)
                if self._keeps:
                    self._keep()
                db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                yield db
                db.execute("COMMIT")
        except queue_mending.UNREADABLE as error:
            if _says_damaged(error) or self._damaged():
                self._move_aside()
                raise UserError(self.notice() or _BEGUN_ANEW, code="queue-begun-anew", file=self.path) from error
            if isinstance(error, UnicodeDecodeError):
                raise  # of what the block did
            raise UserError(
                f"Cannot use {self.path} ({error}); make sure that its disk is not full and its folder is writable.",
                code="queue-unusable",
                file=self.path,
            ) from error

    def _make_file(self) -> None:
        """Make an empty file where none is: the files that SQLite makes beside it get its rights.

        One that is there is not opened. Whoever closes a file gives up all POSIX locks that the process has on it
        (sqlite.org/howtocorrupt.html, 2.2): another process would then delete the log that connections here write to.
        For the same reason no other thread connects to a new one before it is closed.
        """
        with _making, suppress(FileExistsError):
            open(self.path, "xb", opener=file_permissions.opener).close()

    def _is_there(self) -> bool:
        """Whether there is a file that no thread of this process is just making, so that it may be connected to."""
        with _making:
            return self.path.exists()

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """While the block runs one idle connection stays.

        The last one that is closed deletes the files beside this one, and on a full disk they cannot be made again:
        then nothing could even be read.
        """
        self._keeps = True
        try:
            with self.open():  # from here on
                pass
            yield
        finally:
            self._keeps = False
            self._let_go()

    def _keep(self) -> None:
        with self._lock:
            now = self.path.stat() if self.path.exists() else None
            if now and self._kept_file and os.path.samestat(now, self._kept_file):
                return
            self._close_kept()  # of a file that another process has moved aside
            kept = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            self._kept = kept
            kept.execute("SELECT COUNT(*) FROM facts").fetchall()  # only now it has the other files
            self._kept_file = now

    def _let_go(self) -> None:
        with self._lock:
            self._close_kept()

    def _close_kept(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = self._kept_file = None

    def notice(self) -> str:
        """What the user should know: that a damaged file was moved aside. Empty once that is deleted."""
        with self.open() as db:
            moved, left = fact(db, "moved"), fact(db, "left")
        if not moved or mark(moved) is None:
            return ""
        return (
            f"The list of jobs was damaged and is now {moved}; a new one was begun. {left}{' ' if left else ''}Photos, "
            "runs and LoRAs are untouched. Delete that file when you do not need it."
        )

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Make the tables of a new file."""
        version = _version(db)
        if version > FILE_VERSION:
            raise UserError(
                f"{self.path} was written by a newer SameFace; update this one.",
                code="queue-of-newer-version",
                file=self.path,
            )
        if version == 0:
            _write_ahead(db)
            db.execute("BEGIN IMMEDIATE")
            if _version(db) == 0:  # no other process was quicker
                self._begin(db)
            db.execute("COMMIT")
            with explained(self._begun):
                file_permissions.make_folder(self._begun.parent)
                open(self._begun, "ab", opener=file_permissions.opener).close()
        elif version < SEALED:
            db.execute("BEGIN IMMEDIATE")
            if _version(db) < SEALED:
                db.execute(f"ALTER TABLE jobs ADD COLUMN {SEAL_COLUMN}")
                queue_rows.seal_all(db)
                db.execute(f"PRAGMA user_version = {SEALED}")
            db.execute("COMMIT")

    def _begin(self, db: sqlite3.Connection, highest: int = 0) -> None:
        """Make the tables; numbers begin after `highest`, and after the folders of jobs that a lost file knew."""
        for statement in _TABLES.split(";"):
            db.execute(statement)
        folders = [int(path.name) for path in self.folder.glob("*") if path.name.isdecimal()]
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', ?)", (max([highest, *folders]),))
        db.execute(f"PRAGMA user_version = {SEALED}")

    def _damaged(self) -> bool:
        emptied = self._begun.exists() and self.path.exists() and self.path.stat().st_size == 0
        return emptied or bool(queue_mending.damage(self.path, FILE_VERSION, _PATIENCE))

    def _move_aside(self) -> None:
        """Put a new file in place of a damaged one, with what of it can still be read; the old one is kept beside it.

        The new one is whole before the old one is moved, so a process that is killed in between loses nothing.
        """
        with explained(self._mending):
            file_permissions.make_folder(self._mending)
        with only_process(self._mending, "try again", patience=_PATIENCE):
            if self._is_there() and not self._damaged():
                return  # another process was quicker
            self._let_go()  # Windows moves no file that is open
            name, number = f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}", 1
            target = self.path.with_name(name)
            while target.exists():  # of the same second
                number += 1
                target = self.path.with_name(f"{name}-{number}")
            with explained(self.path):
                if self.path.exists():
                    try:
                        self._mend(target)
                    except queue_mending.UNREADABLE as error:
                        raise UserError(
                            f"{self.path} is damaged and cannot be repaired ({error}); check that its disk is not "
                            "full, "
                            "and try again.",
                            code="queue-damaged",
                            file=self.path,
                        ) from error
                for part in queue_mending.PARTS:  # a log of changes beside the new file would be taken for its own
                    if (old := self.path.with_name(self.path.name + part)).exists():
                        old.replace(target.with_name(target.name + part))
                if self._new.exists():
                    self._new.replace(self.path)

    def _mend(self, target: Path) -> None:
        """Write the new file, which says that the old one is at `target`."""
        saved = queue_mending.saved(self.path, self._mending)
        for part in queue_mending.PARTS:
            self._new.with_name(self.path.name + part).unlink(missing_ok=True)  # of a process that was killed
        open(self._new, "ab", opener=file_permissions.opener).close()
        with closing(sqlite3.connect(self._new, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            self._begin(db, saved.highest)
            places = ", ".join("?" * len(COLUMNS))
            names = ", ".join(COLUMNS)
            rows = [(*row, queue_rows.seal(row)) for row in saved.rows]
            db.executemany(f"INSERT INTO jobs ({names}, {queue_rows.SEAL}) VALUES ({places}, ?)", rows)
            if any("remote" in row for row in saved.rows):
                note_remote(db)
            note(db, "moved", str(target))
            note(db, "left", _left(saved))
            if saved.paused:
                note(db, "paused", "1")
            db.execute("COMMIT")
            _write_ahead(db)


def _left(saved: queue_mending.RecoveredRows) -> str:
    """What became of the jobs, in one sentence or two."""
    said = f"{_count(len(saved.rows))} taken over."
    if saved.lost:
        numbers = ", ".join(map(str, saved.lost[:_NAMED])) + (" and more" if len(saved.lost) > _NAMED else "")
        said += f" {_count(len(saved.lost))} damaged and left out (number {numbers}); start them again."
    if saved.cut:
        said += " What was changed last may be missing."
    return said


def _count(number: int) -> str:
    return "1 job was" if number == 1 else f"{number:,} jobs were"


def fact(db: sqlite3.Connection, name: str) -> str:
    """What was noted under a name; empty where nothing was."""
    row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return str(row["value"]) if row else ""


def note(db: sqlite3.Connection, name: str, value: str) -> None:
    """Note something under a name."""
    db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))


def _says_damaged(error: Exception) -> bool:
    return type(error) is sqlite3.DatabaseError  # its subclasses have other causes


def note_remote(db: sqlite3.Connection) -> None:
    """Note that the file holds a job on another machine; from then on older versions leave it alone."""
    if _version(db) < FILE_VERSION:
        db.execute(f"PRAGMA user_version = {FILE_VERSION}")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _write_ahead(db: sqlite3.Connection) -> None:
    """Let readers and the writer not wait for each other; where the file system cannot do that, it stays as it is."""
    for attempt in range(50):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:  # sqlite does not wait while another process does the same
            if attempt == 49:
                raise
            time.sleep(0.05)
