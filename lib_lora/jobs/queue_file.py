"""The file ``jobs.sqlite``: its tables, short transactions on it, and what happens to one that is damaged.

Knows nothing of what a job is.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from lib_lora import private
from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.jobs.lock import only_process

FILE_NAME = "jobs.sqlite"
FOLDER = "jobs"  # of the jobs' own folders
FILE_VERSION = 1
_PATIENCE = 30.0  # seconds that one process waits for the transaction of another
_BEGUN_ANEW = "The list of jobs was damaged, so a new one was begun; try again."

_TABLES = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, kind TEXT NOT NULL, character TEXT NOT NULL,
    slug TEXT NOT NULL, state TEXT NOT NULL, arguments TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL,
    place REAL NOT NULL, run TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT '{}', wish TEXT NOT NULL DEFAULT '', owner TEXT NOT NULL DEFAULT '',
    pid INTEGER NOT NULL DEFAULT 0
);
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
        self.path = root / FILE_NAME
        self.folder = root / FOLDER
        self._lock = threading.Lock()
        self._keeps = False
        self._kept: sqlite3.Connection | None = None
        self._kept_file: os.stat_result | None = None
        if self.path.exists() and self._damaged():
            self._move_aside()

    @contextmanager
    def open(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction; an exception takes it back.

        Args:
            write: nobody else writes while the block runs.
        """
        with explained(self.path):
            private.make_folder(self.path.parent)
            if not self.path.exists():
                open(self.path, "ab", opener=private.opener).close()  # the files beside it get its rights
        try:
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)) as db:
                db.row_factory = sqlite3.Row
                self._prepare(db)
                if self._keeps:
                    self._keep()
                db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                yield db
                db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            if _says_damaged(error):
                self._move_aside()
                raise UserError(self.notice() or _BEGUN_ANEW) from error
            raise UserError(
                f"Cannot use {self.path} ({error}); see that its disk is not full and its folder can be written."
            ) from error

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """While the block runs one idle connection stays.

        The last one that is closed deletes the files beside this one, and on a full disk they cannot be made anew:
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
            moved = fact(db, "moved")
        if not moved or not Path(moved).exists():
            return ""
        return (
            f"The list of jobs was damaged and is now {moved}; a new one was begun. Photos, runs and LoRAs are "
            "untouched. Delete that file when you do not need it."
        )

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Make the tables of a new file."""
        version = _version(db)
        if version > FILE_VERSION:
            raise UserError(f"{self.path} was written by a newer SameFace; update this one.")
        if version == 0:
            _write_ahead(db)
            db.execute("BEGIN IMMEDIATE")
            if _version(db) == 0:  # no other process was quicker
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                # the folders of jobs that a lost file knew keep their numbers
                folders = [int(path.name) for path in self.folder.glob("*") if path.name.isdecimal()]
                db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', ?)", (max(folders, default=0),))
                db.execute(f"PRAGMA user_version = {FILE_VERSION}")
            db.execute("COMMIT")

    def _damaged(self) -> bool:
        try:
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as db:
                return bool(db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        except sqlite3.DatabaseError as error:
            return _says_damaged(error)

    def _move_aside(self) -> None:
        target = self.path.with_name(f"{FILE_NAME}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        mending = self.folder / "mending"
        with explained(mending):
            private.make_folder(mending)
        with only_process(mending, "try again", patience=_PATIENCE):
            if not self._damaged():
                return  # another process was quicker
            self._let_go()  # Windows moves no file that is open
            with explained(self.path):
                self.path.replace(target)
                for ending in ("-wal", "-shm"):
                    part = self.path.with_name(FILE_NAME + ending)
                    if part.exists():
                        part.replace(target.with_name(target.name + ending))
            with self.open(write=True) as db:
                note(db, "moved", str(target))


def fact(db: sqlite3.Connection, name: str) -> str:
    """What was noted under a name; empty where nothing was."""
    row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return str(row["value"]) if row else ""


def note(db: sqlite3.Connection, name: str, value: str) -> None:
    """Note something under a name."""
    db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))


def _says_damaged(error: sqlite3.DatabaseError) -> bool:
    return type(error) is sqlite3.DatabaseError  # its subclasses have other causes


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
