"""Reads and writes a production on disk.

Its folder has ``production.json``, a line for each judged picture in ``log.jsonl``, ``pictures/``, and what the user
has decided about them in ``decisions.json``.

A picture is whole or absent, and is there before its line is written; so after a kill the pictures without a line are
judged, and none is painted twice. Imports nothing heavy.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from lib_lora import file_permissions, typed_settings
from lib_lora.errors import UserError
from lib_lora.files import append_lines, explained, make_numbered_folder, names, read_json, write_json
from lib_lora.runs.run_lock import only_process
from lib_lora.workflows.produce.production import PaintedTry, PictureDecision, ProductionPlan, Progress
from lib_lora.workflows.produce.production_log import ReadLog, read_log
from lib_lora.workspace.workspace import CharacterFolder

PLAN_FILE, LOG_FILE, PICTURES = "production.json", "log.jsonl", "pictures"
DECISIONS_FILE, DECISIONS_LOCK = "decisions.json", "decisions.lock"
_VERSION = 1
_PATIENCE = 10.0  # seconds for which another program's decisions are waited for
_deciding = threading.Lock()  # the page sends decisions one after the other, each in a thread


class ProductionFolder:
    """The folder of one production.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        """Three digits or more."""
        return self.path.name

    @property
    def pictures(self) -> Path:
        """Every picture that was painted."""
        return self.path / PICTURES

    @property
    def log(self) -> Path:
        """A line for each that was judged."""
        return self.path / LOG_FILE

    def plan(self) -> ProductionPlan:
        """What is asked for.

        Raises:
            UserError: the file is damaged, or of a newer version.
        """
        path = self.path / PLAN_FILE
        found = read_json(path)
        if not isinstance(found, dict) or found.get("version") != _VERSION:
            raise UserError(
                f"{path} is damaged, or of a newer version of SameFace.", code="production-unreadable", file=path
            )
        return typed_settings.from_dict(ProductionPlan, found.get("plan"), str(path))

    def progress(self, log: ReadLog | None = None) -> Progress:
        """What has become of it so far. Lines that a crash has cut off, and those of pictures that are gone, are
        passed over: they are painted again.

        Args:
            log: as it was read; None = it is read.

        Raises:
            UserError: as `plan`.
        """
        found = Progress(self.plan(), decisions=self.decisions())
        there = set(self._files())
        last = {one.file: one for one in (log or self.read()).tries}
        for name in sorted(last):
            if name in there and 1 <= last[name].item <= found.plan.count:
                found.note(last[name])
        return found

    def read(self) -> ReadLog:
        """The lines of the log.

        Raises:
            UserError: it cannot be read.
        """
        return read_log(self.log)

    def unjudged(self, progress: Progress) -> list[tuple[int, int]]:
        """Item and attempt of pictures that were painted and have no line."""
        known = {one.file for tries in progress.tried.values() for one in tries}
        numbers = [_numbers(name) for name in sorted(self._files()) if name not in known]
        return [(item, attempt) for item, attempt in filter(None, numbers) if item <= progress.plan.count]

    def note(self, *ones: PaintedTry) -> None:
        """Write the lines of pictures, and make sure that they are on the disk.

        Raises:
            UserError: they cannot be written.
        """
        lines = "".join(json.dumps(typed_settings.to_dict(one), ensure_ascii=False) + "\n" for one in ones)
        written = lines.encode("utf-8", "replace")
        with explained(self.log):
            append_lines(self.log, written)

    def decisions(self) -> dict[str, PictureDecision]:
        """What the user has decided, by the name of the picture.

        Raises:
            UserError: the file cannot be read, or is damaged.
        """
        path = self.path / DECISIONS_FILE
        if not path.is_file():
            return {}
        found = read_json(path)
        given = found.get("decisions") if isinstance(found, dict) and found.get("version") == _VERSION else None
        if not isinstance(given, dict):
            raise UserError(
                f"{path} is damaged, or of a newer version of SameFace; rename it to start the decisions over.",
                code="decisions-unreadable",
                file=path,
            )
        return {str(file): decision for file, decision in given.items() if decision in get_args(PictureDecision)}

    def decisions_mark(self) -> tuple[int, int] | None:
        """Changes with `decisions`; None where there are none."""
        try:
            found = (self.path / DECISIONS_FILE).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def decide(self, changes: Mapping[str, PictureDecision | None]) -> None:
        """Note decisions of the user; None takes one back.

        Raises:
            UserError: there is no such picture, another program is deciding all the time, or the file cannot be
                written.
        """
        there = set(self._files())
        for file in changes:
            if file not in there:
                raise UserError(
                    f"{self.pictures} has no picture {file[:60]!r} (any more); load the page again.",
                    code="production-picture-missing",
                    file=file,
                )
        # two webuis may share a data folder: neither may write what it read before the other has written
        with _deciding, only_process(self.path, "try again", _PATIENCE, DECISIONS_LOCK):
            decided = {**self.decisions(), **changes}
            values = {file: decision for file, decision in sorted(decided.items()) if decision}
            write_json(self.path / DECISIONS_FILE, {"version": _VERSION, "decisions": values})

    def _files(self) -> list[str]:
        return [name for name in names(self.pictures) if name.endswith(".png")]


def productions(folder: CharacterFolder) -> list[ProductionFolder]:
    """The productions of a character, the newest first."""
    parent = parent_of(folder)
    if not parent.is_dir():
        return []
    found = [path for path in parent.iterdir() if path.name.isascii() and path.name.isdigit() and len(path.name) < 10]
    found = [path for path in found if (path / PLAN_FILE).is_file()]
    return [ProductionFolder(path) for path in sorted(found, key=lambda path: int(path.name), reverse=True)]


def named(folder: CharacterFolder, identifier: str) -> ProductionFolder:
    """A production by its number; empty = the newest.

    Raises:
        UserError: there is none.
    """
    there = productions(folder)
    wanted = identifier.zfill(3)
    for one in there:
        if not identifier or one.id == wanted:
            return one
    known = f"there are {', '.join(one.id for one in reversed(there[:10]))}" if there else "there is none yet"
    raise UserError(
        f"There is no production {identifier[:20]!r} of this character; {known}.",
        code="production-not-found",
        production=identifier,
    )


def make(folder: CharacterFolder, plan: ProductionPlan) -> ProductionFolder:
    """A new production, of which nothing is painted yet.

    Raises:
        UserError: it cannot be written.
    """
    parent = parent_of(folder)
    with explained(parent):
        file_permissions.make_folder(parent)
        path = make_numbered_folder(parent)
        file_permissions.make_folder(path / PICTURES)
    values: dict[str, Any] = {"version": _VERSION, "plan": typed_settings.to_dict(plan)}
    write_json(path / PLAN_FILE, values)
    return ProductionFolder(path)


def parent_of(folder: CharacterFolder) -> Path:
    """Where a character's productions lie."""
    return folder.productions


def _numbers(name: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"([0-9]{5,6})-([0-9]{2,3})\.png", name, re.ASCII)
    return (int(found[1]), int(found[2])) if found and int(found[1]) and int(found[2]) else None
