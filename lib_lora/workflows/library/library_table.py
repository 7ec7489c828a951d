"""Lists the LoRAs and base models in folders with what they are on Civitai: lights, ages, what could not be said."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_lora.civitai.api import civitai_consent
from lib_lora.civitai.model_lookup import FoundModel, ModelLookup
from lib_lora.errors import UserError
from lib_lora.files import explained, printable, size
from lib_lora.workflows.command_result import CommandResult
from lib_lora.workflows.library.model_words import NO_ADVICE, age_words, values_of

SUFFIXES = (".safetensors", ".ckpt", ".pt")
_MOST = 5000  # files in all
_SHOWN: tuple[str, ...] = ("pictures", "credit", "sell")
_STOPPING = ("civitai-unreachable", "civitai-page-instead", "civitai-asked-often", "civitai-blocked")


@dataclass(frozen=True)
class LibraryEntry:
    """A file, and what is known of it.

    Attributes:
        path: of the file.
        bytes: its size.
        found: what it is on Civitai; None = that could not be said.
        trouble: why not, or not again; empty = it could.
        away: because nobody there answers, or not now.
    """

    path: Path
    bytes: int
    found: FoundModel | None
    trouble: str = ""
    away: bool = False

    def values(self) -> dict[str, Any]:
        """The entry as plain values, for programs."""
        known = values_of(self.found) if self.found else None
        return {"file": str(self.path), "bytes": self.bytes, "civitai": known, "trouble": self.trouble or None}


def files_in(folders: Iterable[Path]) -> list[Path]:
    """The model files in and below folders, and those that are named themselves; each once, in the order of names.

    Raises:
        UserError: a folder is not there or cannot be read, or they hold too many files.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        _see_that_it_can_be_read(folder)
        for path in _below(folder):
            found.setdefault(os.path.realpath(path), path)
            if len(found) > _MOST:
                raise UserError(
                    f"{folder} holds more than {_MOST:,} models; name a folder in it.",
                    "folder",
                    code="library-too-large",
                )
    return sorted(found.values())


def entries(
    root: Path, paths: Sequence[Path], lookup: ModelLookup, said: Callable[[str], None] = lambda _: None
) -> list[LibraryEntry]:
    """What each file is on Civitai. Once the site cannot be reached, only the cache is read for the others.

    Args:
        root: the data folder.
        paths: of the files.
        lookup: that asks, or only reads the cache.
        said: is told which file it is at.
    """
    asks, rows = lookup, []
    quiet = ModelLookup(root, ask=False)
    for number, path in enumerate(paths, 1):
        said(f"{path.name} ({number} of {len(paths)})")
        found, trouble = None, None
        try:
            found = asks.of_file(path)
            trouble = found.trouble
        except UserError as error:
            trouble = error
        away = trouble is not None and trouble.code in _STOPPING
        asks = quiet if away else asks
        rows.append(LibraryEntry(path, _bytes(path), found, str(trouble or ""), away))
    return rows


def list_library(root: Path, folders: Sequence[Path], refresh: bool, said: Callable[[str], None]) -> CommandResult:
    """The table of the models in folders. Where the user has not agreed, or Civitai is off, only the cache is read.

    Args:
        root: the data folder.
        folders: to be looked at.
        refresh: ask for everything again.
        said: is told what takes long.

    Raises:
        UserError: a folder is not there, or the settings are damaged.
    """
    agreed = civitai_consent.state_of(root) == civitai_consent.AGREED
    found = entries(root, files_in(folders), ModelLookup(root, ask=agreed, refresh=refresh, said=said), said)
    if not found:
        return CommandResult("There are no models in there.", {"agreed": agreed, "models": []})
    notes = [NO_ADVICE]
    if not agreed:
        notes.insert(0, "Civitai was not asked, since you have not agreed to that: civitai agree says what is sent.")
    notes += [f"{printable(one.path.name)}: {one.trouble}" for one in found if one.trouble]
    text = "\n".join([*table(found), "", *notes])
    refused = any(one.found is not None and one.found.assessment.refused for one in found)
    return CommandResult(text, {"agreed": agreed, "models": [one.values() for one in found]}, not refused)


def table(rows: Sequence[LibraryEntry]) -> list[str]:
    """The lines of the table: name, what it is, its size, the lights, when it was asked."""
    cells = [("file", "on Civitai", "size", *_SHOWN, "asked"), *(_cells(one) for one in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cells(entry: LibraryEntry) -> tuple[str, ...]:
    found = entry.found
    name = printable(entry.path.name)
    name = name if len(name) <= 44 else f"{name[:41]}..."
    if found is None or not found.known:
        what = "unknown there" if found and found.unknown_there else "not asked"
        return name, what, size(entry.bytes), *("unknown" for _ in _SHOWN), age_words(found.asked if found else 0)
    lights = found.assessment.lights
    what = found.title if len(found.title) <= 40 else f"{found.title[:37]}..."
    marks = [word for word, shown in (("CHILD", found.subject().minor), ("REAL PERSON", found.subject().poi)) if shown]
    what = f"{what} [{', '.join(marks)}]" if marks else what
    return (
        name,
        what,
        size(entry.bytes),
        *(lights[one].light for one in lights if one in _SHOWN),
        age_words(found.asked),
    )


def _see_that_it_can_be_read(folder: Path) -> None:
    try:
        with explained(folder, "read"):
            if folder.stat() and not folder.is_file():
                os.scandir(folder).close()
    except UserError as error:
        if error.code == "permission-denied":
            raise
        raise UserError(
            f"There is no {str(folder)[:200]}; name a folder with models.", "folder", code="library-folder-missing"
        ) from error


def _below(folder: Path) -> Iterable[Path]:
    if folder.is_file():
        yield folder
        return
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(where) / name


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
