"""Keeps the queue of jobs in ``jobs.sqlite``, shared by every process on one data folder.

Knows nothing of workers, but is told who runs a job. The queue survives ``kill -9``.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from lib_lora.errors import UserError
from lib_lora.files import explained, slug
from lib_lora.queue import queue_file, queue_rows
from lib_lora.queue.crash_reasons import WEBUI_CLOSED
from lib_lora.queue.job_types import (
    Arguments,
    Lane,
    TrainArguments,
    UnreadableArguments,
    arguments_in_row,
    as_plain,
    kind_of,
    lane_of,
    place_in,
    with_files,
)
from lib_lora.queue.queue_file import fact, note
from lib_lora.queue.queue_rows import State, Wish
from lib_lora.remote.places import LOCAL
from lib_lora.workspace import file_cache
from lib_lora.workspace.workspace import Workspace

MOST_WAITING = 1000
OPEN = ("waiting", "running", "paused")
# Beside the stored arguments: where each file lies here that they name; null = under that name in the data folder; an
# incomplete path stands for itself. Rows of older versions have only those that lie elsewhere, or none.
_FILES = "files"
_CODE = "error_code"  # kept beside a result, so that older versions read the table too
_IDENTIFIER = re.compile(r"[^/\\:\0]{1,80}")  # of a run: the name of a folder
RESULT = "result.json"  # in a job's folder, the last thing its worker writes


@dataclass(frozen=True)
class Job:
    """One job. Times are unix seconds.

    Attributes:
        id: its number, never used again.
        kind, arguments: what it should do (`queue.job_types`).
        character, slug: whose; the name as the user writes it, and the name of its folder.
        state: see `State`; "paused" is still open, the last four have ended.
        created, started, ended: when; the latter two of the last attempt.
        place: in the line of those that wait; lower is sooner.
        run: identifier of the run it made or works on, or empty.
        error: one sentence, or empty.
        code: what kind of error that is (`errors.UserError`, `crash_reasons.CrashReason`); empty where there is none,
            and of jobs of earlier versions.
        result: small and plain; what is in it depends on the kind.
        wish: what the user wants of it while it runs.
        owner: the supervisor that runs it; `pid` of its worker.
    """

    id: int
    kind: str
    character: str
    slug: str
    state: State
    arguments: Arguments | UnreadableArguments
    created: float
    started: float | None
    ended: float | None
    place: float
    run: str
    error: str
    result: dict[str, Any]
    wish: Wish
    owner: str
    pid: int
    code: str = ""


class Queue:
    """The queue of a data folder. Any number of these, in any number of threads and processes, may be used at once.

    Raises:
        UserError: (by every method too) the file cannot be used, one sentence. One that is damaged is moved aside,
            and the next call begins a new one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._file = queue_file.QueueFile(root)
        self.path = self._file.path

    def add(self, character: str, arguments: Arguments, first: bool = False, again: bool = False) -> Job:
        """Put a job in line.

        The same job that waits already is returned, not doubled (unless `again`). Of light ones, which say what should
        hold of photos and captions, only the last of its kind in line: one behind it would undo what is asked for now.

        Args:
            character: its name.
            arguments: what the job should do; their class says of which type it is.
            first: before all others that wait, and also where the line is full: a job that has ended makes it.
            again: also where the same waits already.

        Raises:
            UserError: a text that cannot be written, or a full line.
        """
        text, wanted = self._stored(arguments)
        if any("\ud800" <= one <= "\udfff" for one in character + text):
            raise UserError(
                "A name in this job contains characters that are not valid UTF-8; rename that file first.",
                code="job-not-utf8",
            )
        kind, name = kind_of(arguments), slug(character)
        lane = lane_of(kind, arguments)
        with self._file.open(write=True) as db:
            alike = "state = 'waiting' AND kind = ? AND slug = ? ORDER BY place, id"
            rows = db.execute(f"SELECT * FROM jobs WHERE {alike}", (kind, name)).fetchall()
            line = [self._job(row) for row in rows]
            twin = next((job for job in line[-1 if lane == "light" else 0 :] if job.arguments == wanted), None)
            if twin and not again:
                if first:
                    twin = replace(twin, place=_first(db))
                    db.execute("UPDATE jobs SET place = ? WHERE id = ?", (twin.place, twin.id))
                return twin
            waiting = db.execute("SELECT COUNT(*) FROM jobs WHERE state = 'waiting'").fetchone()[0]
            if waiting >= MOST_WAITING and not first:
                raise UserError(
                    f"{MOST_WAITING:,} jobs are waiting, which is the limit; remove some, or wait until they are done.",
                    code="queue-full",
                    waiting=MOST_WAITING,
                )
            if lane == "remote":
                queue_file.note_remote(db)
            added = db.execute(
                "INSERT INTO jobs (lane, kind, character, slug, state, arguments, created, place)"
                " VALUES (?, ?, ?, ?, 'waiting', ?, ?, ?)",
                (lane, kind, character, name, text, time.time(), _first(db) if first else _last(db)),
            )
            return self._job(self._row(db, added.lastrowid or 0), wanted)

    def get(self, number: int) -> Job:
        """The job of that number.

        Raises:
            UserError: there is none.
        """
        with self._file.open() as db:
            return self._get(db, number)

    def jobs(self, limit: int = 50) -> list[Job]:
        """Those that wait, in line; those that run or are paused; then the newest that have ended, `limit` in all.
        None that is open is left out."""
        with self._file.open() as db:
            found = self._open_ones(db)
            ended = db.execute(
                "SELECT * FROM jobs WHERE state NOT IN (?, ?, ?) ORDER BY ended DESC, id DESC LIMIT ?",
                (*OPEN, max(limit - len(found), 0)),
            )
            return found + [self._job(row) for row in ended]

    def ended(self) -> list[Job]:
        """All jobs that have ended, the newest first."""
        with self._file.open() as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE state NOT IN (?, ?, ?) ORDER BY ended DESC, id DESC", OPEN
            ).fetchall()
            return [self._job(row) for row in rows]

    def open(self) -> list[Job]:
        """The jobs that wait, in order, and those that run or are paused."""
        with self._file.open() as db:
            return self._open_ones(db)

    def observe(self) -> None:
        """Let `file_cache.unless_changed` know that what is being made comes from this queue."""
        for part in ("", "-wal"):  # SQLite's changes that are not in the file yet; empty while somebody reads
            file_cache.observe_settled(f"{self.path}{part}")

    def folder(self, number: int) -> Path:
        """Where the events, the log and the result of a job lie; it may not be there yet."""
        return Workspace(self.root).job(number).path

    def take(self, lane: Lane, owner: str, may_start: Callable[[Job, list[Job]], bool] | None = None) -> Job | None:
        """The next job of a lane that may start, now running; None where none may.

        Args:
            lane: which.
            owner: who runs it.
            may_start: whether a job may, beside those of the lane that run; None = while none does. Heavy ones never
                start while the queue is paused.
        """
        with self._file.open(write=True) as db:
            if lane == "heavy" and fact(db, "paused") == "1":
                return None
            ordered = "SELECT * FROM jobs WHERE lane = ? AND state = ? ORDER BY place, id"
            running = [self._job(row) for row in db.execute(ordered, (lane, "running")).fetchall()]
            if may_start is None and running:
                return None
            waiting = (self._job(row) for row in db.execute(ordered, (lane, "waiting")))
            job = next((one for one in waiting if may_start is None or may_start(one, running)), None)
            if job is None:
                return None
            db.execute(
                "UPDATE jobs SET state = 'running', started = ?, ended = NULL, owner = ?, pid = 0,"
                " wish = CASE lane WHEN 'remote' THEN wish ELSE '' END WHERE id = ?",
                (time.time(), owner, job.id),
            )
            return self._job(self._row(db, job.id), job.arguments)

    def started(self, number: int, pid: int) -> None:
        """Note which process works on a job."""
        with self._file.open(write=True) as db:
            db.execute("UPDATE jobs SET pid = ? WHERE id = ?", (pid, number))

    def note_run(self, number: int, run: str) -> None:
        """Note which run a job made or works on. What would lead out of the folder of runs is no run, and not noted."""
        if not _IDENTIFIER.fullmatch(run) or run in (".", ".."):
            return
        with self._file.open(write=True) as db:
            db.execute("UPDATE jobs SET run = ? WHERE id = ?", (run, number))

    def end(
        self, number: int, state: State, error: str = "", result: dict[str, Any] | None = None, code: str = ""
    ) -> None:
        """End a job that runs, or one that was given up although its worker came to an end.

        A heavy one that has paused only after the pause was over goes on at once.
        """
        with self._file.open(write=True) as db:
            db.execute(
                "UPDATE jobs SET state = ?, ended = ?, error = ?, result = ?, wish = '', owner = '', pid = 0"
                " WHERE id = ? AND state IN ('running', 'interrupted')",
                (state, time.time(), error, _json({**(result or {}), **({_CODE: code} if code else {})}), number),
            )
            if state == "paused" and fact(db, "paused") != "1":
                job = self._get(db, number)
                if job.state == "paused" and lane_of(job.kind, job.arguments) == "heavy":
                    self._back_in_line(db, job, _first(db))

    def put_back(self, number: int) -> None:
        """Put a job that runs back in line, as the first: its worker goes on elsewhere, and whoever takes the job next
        takes that up."""
        with self._file.open(write=True) as db:
            if self._get(db, number).state == "running":
                self._let_go(db, number)

    def _let_go(self, db: sqlite3.Connection, number: int) -> None:
        """Put a job whose worker goes on elsewhere back in line; what the user wants of it still holds."""
        db.execute(
            "UPDATE jobs SET state = 'waiting', place = ?, owner = '', pid = 0 WHERE id = ?", (_first(db), number)
        )

    def wish(self, number: int, wish: Wish) -> None:
        """Ask a job to stop or to pause; "" takes it back as long as nobody has acted on it.

        A job that waits or is paused stops at once. Pausing a heavy job also keeps those behind it from starting
        (`pause_all`).

        Raises:
            UserError: it has ended, or is not running and should pause.
        """
        if wish not in get_args(Wish):
            raise UserError(
                f"A job can be asked to stop or to pause, not to {wish!r}.", code="job-request-unknown", request=wish
            )
        with self._file.open(write=True) as db:
            job = self._get(db, number)
            if job.state not in OPEN:
                raise UserError(f"Job {number} has already ended ({job.state}).", code="job-ended", job=number)
            if job.state == "running" or (job.state == "waiting" and self._is_elsewhere(number)):
                db.execute("UPDATE jobs SET wish = ? WHERE id = ?", (wish, number))
                if wish == "pause" and job.state == "running" and lane_of(job.kind, job.arguments) == "heavy":
                    note(db, "paused", "1")
            elif wish == "stop":
                db.execute("UPDATE jobs SET state = 'stopped', ended = ? WHERE id = ?", (time.time(), number))
            elif wish == "pause" and job.state == "waiting":
                raise UserError(
                    f"Job {number} is not running yet; stop it, or pause the queue.", code="job-not-running", job=number
                )

    def resume(self, number: int) -> Job:
        """Put a job that was paused, stopped, interrupted or failed back in line, as the first.

        A training that has a run goes on with it.

        Raises:
            UserError: it waits, runs or is finished.
        """
        with self._file.open(write=True) as db:
            job = self._get(db, number)
            if job.state in ("waiting", "running", "finished"):
                raise UserError(
                    f"Job {number} is {job.state}; only a paused, stopped or failed job can be resumed.",
                    code="job-not-resumable",
                    job=number,
                    state=job.state,
                )
            self._back_in_line(db, job, _first(db))
            with explained(self.folder(number) / RESULT):
                (self.folder(number) / RESULT).unlink(missing_ok=True)  # of the attempt before
            return self._get(db, number)

    def move(self, number: int, before: int | None) -> None:
        """Give a job that waits another place in line.

        Args:
            number: of the job.
            before: number of another one that waits; None = at the end.

        Raises:
            UserError: one of them does not wait.
        """
        with self._file.open(write=True) as db:
            line = [job.id for job in self._open_ones(db) if job.state == "waiting"]
            for one in (number, before):
                if one is not None and one not in line:
                    raise UserError(
                        f"Job {one} is not waiting, so it has no place in the queue.",
                        code="job-not-waiting",
                        job=one,
                    )
            if number == before:
                return
            line.remove(number)
            line.insert(len(line) if before is None else line.index(before), number)
            db.executemany("UPDATE jobs SET place = ? WHERE id = ?", [(place, one) for place, one in enumerate(line)])

    def forget(self, number: int) -> None:
        """Take a job that has ended off the list, and delete its folder (not what it made).

        Raises:
            UserError: it has not ended, or the folder cannot be deleted.
        """
        with self._file.open(write=True) as db:
            job = self._get(db, number)
            if job.state in OPEN:
                raise UserError(
                    f"Job {number} is {job.state}; stop it first.", code="job-active", job=number, state=job.state
                )
            if self._is_elsewhere(number):
                left = Workspace(self.root).job(number).remote
                raise UserError(
                    f"Something of job {number} is still on another machine; resume the job, so that it is fetched and "
                    f"deleted there. If that machine is gone for good, delete {left}.",
                    code="job-elsewhere",
                    job=number,
                )
            folder = self.folder(number)
            if folder.exists():
                with explained(folder, "delete"):
                    shutil.rmtree(folder)
            db.execute("DELETE FROM jobs WHERE id = ?", (number,))

    def _is_elsewhere(self, number: int) -> bool:
        """Whether something of a job is on another machine."""
        folder = Workspace(self.root).job(number)
        return folder.remote.is_file() or folder.pod.is_file()

    def pause_all(self, paused: bool) -> None:
        """Let no heavy job start; or let them start again, those that were paused first."""
        with self._file.open(write=True) as db:
            note(db, "paused", "1" if paused else "0")
            if not paused:
                rows = db.execute(
                    "SELECT * FROM jobs WHERE state = 'paused' AND lane = 'heavy' ORDER BY started DESC"
                ).fetchall()
                for row in rows:
                    self._back_in_line(db, self._job(row), _first(db))

    def paused(self) -> bool:
        """Whether heavy jobs are kept from starting."""
        with self._file.open() as db:
            return fact(db, "paused") == "1"

    def abandoned(self, owner_alive: Callable[[str], bool], lane: Lane | None = None) -> list[Job]:
        """Mark the running jobs (None = of all lanes) whose supervisor is gone as interrupted.

        They are returned with the `pid` that they had. Those on another machine go on there: they are put back in line
        instead, so that whoever takes them follows them again.
        """
        with self._file.open(write=True) as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE state = 'running' AND lane = COALESCE(?, lane)", (lane,)
            ).fetchall()
            left = [row for row in rows if not owner_alive(row["owner"])]
            jobs = [self._job(row) for row in left]
            for job in jobs:
                if place_in(job.arguments) != LOCAL:
                    self._let_go(db, job.id)
            gone = [job.id for job in jobs if place_in(job.arguments) == LOCAL]
            why = (WEBUI_CLOSED.sentence, _json({_CODE: WEBUI_CLOSED.code}))
            db.executemany(
                "UPDATE jobs SET state = 'interrupted', ended = ?, error = ?, result = ?, wish = '', owner = ''"
                " WHERE id = ?",
                [(time.time(), *why, number) for number in gone],
            )
            return [self._get(db, number) for number in gone]

    def named(self, number: int) -> tuple[dict[str, Any], dict[str, Path]]:
        """A job's arguments as any machine understands them, and where the files lie here that they name and that are
        not in the data folder. The arguments say which of the others are in it; `accept` takes them so.

        Raises:
            UserError: there is no such job.
        """
        with self._file.open() as db:
            arguments, files = _parted(json.loads(self._row(db, number)["arguments"]))
        elsewhere = {name: Path(path) for name, path in files.items() if path not in (None, name)}
        return _with(arguments, {name: path for name, path in files.items() if name not in elsewhere}), elsewhere

    def accept(self, job: Job, arguments: dict[str, Any], files: dict[str, Path]) -> None:
        """Put in a job of another data folder, which runs, under its number; for a runner on another machine.

        Args:
            job: as it was taken there.
            arguments: as `named` gave them there.
            files: where those lie here that they name.
        """
        plain, inside = _parted(arguments)
        text = _json(_with(plain, {**inside, **{name: str(path) for name, path in files.items()}}))
        row = (
            job.id,
            lane_of(job.kind, job.arguments),
            job.kind,
            job.character,
            job.slug,
            "running",
            text,
            job.created,
            job.run,
        )
        with self._file.open(write=True) as db:
            db.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
            db.execute(
                "INSERT INTO jobs (id, lane, kind, character, slug, state, arguments, created, place, run)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0.0, ?)",
                row,
            )

    def _row(self, db: sqlite3.Connection, number: int) -> sqlite3.Row:
        known = 0 < number < 1 << 63  # what SQLite takes as a number
        row = db.execute("SELECT * FROM jobs WHERE id = ?", (number,)).fetchone() if known else None
        if row is None:
            raise UserError(f"Job {number} does not exist.", code="job-not-found", job=number)
        queue_rows.check(tuple(row))
        return row  # type: ignore[no-any-return]

    def _get(self, db: sqlite3.Connection, number: int) -> Job:
        return self._job(self._row(db, number))

    def _job(self, row: sqlite3.Row, arguments: Arguments | UnreadableArguments | None = None) -> Job:
        """The job of a row, of which the arguments may be known already."""
        queue_rows.check(tuple(row))
        values = {key: row[key] for key in queue_rows.COLUMNS if key != "lane"}
        found = arguments or self._arguments(row["kind"], json.loads(row["arguments"]))
        result = json.loads(row["result"])
        code = str(result.pop(_CODE, ""))
        return Job(**{**values, "arguments": found, "result": result, "code": code})

    def _open_ones(self, db: sqlite3.Connection) -> list[Job]:
        order = "CASE state WHEN 'waiting' THEN 0 WHEN 'running' THEN 1 ELSE 2 END, place, id"
        found = db.execute(f"SELECT * FROM jobs WHERE state IN (?, ?, ?) ORDER BY {order}", OPEN)
        return [self._job(row) for row in found.fetchall()]

    def _back_in_line(self, db: sqlite3.Connection, job: Job, place: float) -> None:
        text = None  # as it stands there
        if isinstance(job.arguments, TrainArguments) and job.run:
            # the run knows its base model, wherever that is by now
            text, _ = self._stored(replace(job.arguments, run=job.run, base=None))
        db.execute(
            "UPDATE jobs SET state = 'waiting', place = ?, arguments = COALESCE(?, arguments), started = NULL,"
            " ended = NULL, error = '', result = '{}', wish = '', owner = '', pid = 0 WHERE id = ?",
            (place, text, job.id),
        )

    def _stored(self, arguments: Arguments) -> tuple[str, Arguments]:
        """Arguments as they are stored, and as they are read again.

        Stored are files by names that hold on any machine, and beside them where each lies. A path that is not complete
        stays as it is, and no name is the same.
        """
        workspace = Workspace(self.root.absolute())
        files: dict[str, str | None] = {}

        def note_incomplete(path: str) -> str:
            if not Path(path).is_absolute():
                files[path] = path
            return path

        def name_of(path: str) -> str:
            if not Path(path).is_absolute():
                return path
            name = workspace.name_of(Path(path))
            if not Path(name).is_absolute() and files.get(name) is None:
                files[name] = None
                return name
            file, number = Path(path), 1
            name = file.name
            while files.get(name, path) != path:
                number += 1
                name = f"{file.stem}-{number}{file.suffix}"
            files[name] = path
            return name

        with_files(arguments, note_incomplete)  # first: the names must differ from them
        named = with_files(arguments, name_of)
        stored = {name: path for name, path in files.items() if path != name or "/" in name}  # the rest is plain enough
        return _json(_with(as_plain(named), stored)), with_files(named, self._path_of(stored))

    def _arguments(self, kind: str, stored: dict[str, Any]) -> Arguments | UnreadableArguments:
        values, files = _parted(stored)
        return arguments_in_row(kind, values, self._path_of(files))

    def _path_of(self, files: Mapping[str, Any]) -> Callable[[str], str]:
        """What gives the path here of a file that a row names, from what stands there of files."""
        workspace = Workspace(self.root.absolute())

        def path_of(name: str) -> str:
            if name not in files:
                return self._older_path(name)
            known = files[name]
            if known is not None and not isinstance(known, str):  # as a newer version may write it
                raise UserError(
                    f"This version cannot read where this job's file {name} is.", code="job-file-unreadable"
                )
            return str(workspace.path_of(name)) if known is None else known

        return path_of

    def _older_path(self, name: str) -> str:
        """The path of what a row of an older version may name in the data folder; anything else stays."""
        here = self.root.absolute() / name
        return str(here) if "/" in name and not Path(name).is_absolute() and here.exists() else name

    def kept_open(self) -> AbstractContextManager[None]:
        """While the block runs, the file stays readable although the disk gets full."""
        return self._file.kept_open()

    def notice(self) -> str:
        """What the user should know of the file: that a damaged one was moved aside. Empty once that is deleted."""
        return self._file.notice()


def _parted(stored: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments, and where each file lies here that they name: its path, or None = under that name in the data
    folder; anything at all in a row of a newer version."""
    arguments = {key: value for key, value in stored.items() if key != _FILES}
    files = stored.get(_FILES)
    return arguments, files if isinstance(files, dict) else {}


def _with(arguments: dict[str, Any], files: Mapping[str, str | None]) -> dict[str, Any]:
    return {**arguments, _FILES: files} if files else arguments


def _first(db: sqlite3.Connection) -> float:
    return float(db.execute("SELECT COALESCE(MIN(place), 1) FROM jobs WHERE state = 'waiting'").fetchone()[0]) - 1


def _last(db: sqlite3.Connection) -> float:
    return float(db.execute("SELECT COALESCE(MAX(place), -1) FROM jobs WHERE state = 'waiting'").fetchone()[0]) + 1


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
