"""Defines the rows of the queue's table of jobs: their columns, the seal that shows damage, and what a sound row is.

SQLite looks at no checksum of what it stores, so each row holds one of itself. It is renewed by SQLite, in the
transaction that changes the row. Knows nothing of what a job is.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Literal, get_args

State = Literal["waiting", "running", "paused", "stopped", "interrupted", "failed", "finished"]
Wish = Literal["", "stop", "pause"]

COLUMNS = {  # as they stand in the table
    "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "lane": "TEXT NOT NULL",
    "kind": "TEXT NOT NULL",
    "character": "TEXT NOT NULL",
    "slug": "TEXT NOT NULL",
    "state": "TEXT NOT NULL",
    "arguments": "TEXT NOT NULL",
    "created": "REAL NOT NULL",
    "started": "REAL",
    "ended": "REAL",
    "place": "REAL NOT NULL",
    "run": "TEXT NOT NULL DEFAULT ''",
    "error": "TEXT NOT NULL DEFAULT ''",
    "result": "TEXT NOT NULL DEFAULT '{}'",
    "wish": "TEXT NOT NULL DEFAULT ''",
    "owner": "TEXT NOT NULL DEFAULT ''",
    "pid": "INTEGER NOT NULL DEFAULT 0",
}
SEAL = "seal"
SEALED = 2  # the version of the file from which on rows have one; it stays so until one is on another machine
SEAL_COLUMN = f"{SEAL} TEXT NOT NULL DEFAULT ''"  # empty in rows of older versions
_LIST = ", ".join(COLUMNS)
_OLD = ", ".join(f"OLD.{name}" for name in COLUMNS)
_RENEW = f"BEGIN UPDATE jobs SET {SEAL} = sealed({_LIST}) WHERE id = NEW.id; END"
_TRIGGERS = (
    f"seal_new AFTER INSERT ON main.jobs {_RENEW}",
    f"seal_changed AFTER UPDATE OF {_LIST} ON main.jobs {_RENEW}",
    f"seal_kept BEFORE UPDATE OF {_LIST} ON main.jobs WHEN OLD.{SEAL} NOT IN ('', sealed({_OLD}))"
    " BEGIN SELECT RAISE(ABORT, 'a row is damaged'); END",
)


class DamagedRowError(sqlite3.DatabaseError):
    """A row of the table is not as it was written."""


def keep_sealed(db: sqlite3.Connection) -> None:
    """Renew the seal of each row that this connection changes, as long as the row is whole before."""
    _can_seal(db)
    db.execute("PRAGMA temp_store = MEMORY")
    for trigger in _TRIGGERS:
        db.execute(f"CREATE TEMP TRIGGER {trigger}")


def _can_seal(db: sqlite3.Connection) -> None:
    db.create_function("sealed", len(COLUMNS), lambda *values: seal(values))


def seal_all(db: sqlite3.Connection) -> None:
    """Seal the rows that have no seal yet."""
    _can_seal(db)
    db.execute(f"UPDATE jobs SET {SEAL} = sealed({_LIST}) WHERE {SEAL} = ''")


def seal(values: Sequence[Any]) -> str:
    """The seal (32 hex digits) of a row's values, in the order of `COLUMNS`."""
    return hashlib.sha256(json.dumps(list(values), default=repr).encode("ascii")).hexdigest()[:32]


def check(values: Sequence[Any]) -> None:
    """See that a row is sound.

    Args:
        values: in the order of `COLUMNS`; then the seal, if the file's version has one.

    Raises:
        DamagedRowError: it is not as it was written, or nothing that could be written.
    """
    row = dict(zip(COLUMNS, values, strict=False))
    said = values[len(COLUMNS)] if len(values) > len(COLUMNS) else ""
    if len(row) < len(COLUMNS) or said not in ("", seal(values[: len(COLUMNS)])):
        raise DamagedRowError("a row is damaged")
    texts = [name for name, kind in COLUMNS.items() if kind.startswith("TEXT")]
    numbers = {"id": int, "created": float, "place": float, "pid": int}
    sound = (
        all(isinstance(row[name], str) for name in texts)
        and all(type(row[name]) is kind for name, kind in numbers.items())
        and all(isinstance(row[name], (float, type(None))) for name in ("started", "ended"))
        and row["lane"] in ("light", "heavy", "remote")
        and row["state"] in get_args(State)
        and row["wish"] in get_args(Wish)
        and all(_is_table(row[name]) for name in ("arguments", "result"))
    )
    if not sound:
        raise DamagedRowError("a row holds what is never written there")


def _is_table(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
