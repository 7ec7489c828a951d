"""Reads runs and their test grids from disk without loading what trains or measures.

A run's file and a grid's report are read as plain values here; the modules that know them as dataclasses load NumPy and
OpenCV, which a list on a page must not wait for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from lib_lora import typed_settings
from lib_lora.character.store import read_yaml
from lib_lora.errors import UserError
from lib_lora.files import read_json
from lib_lora.training.plan.run_file import step_among
from lib_lora.training.plan.train_settings import TrainSettings, as_begun
from lib_lora.workspace.file_cache import keep_nothing, kept, mark, names_in
from lib_lora.workspace.grid_files import REPORT_FILE
from lib_lora.workspace.workspace import CharacterFolder, RunFolder


@dataclass(frozen=True)
class RunRecord:
    """A run.

    Attributes:
        folder: where it lies.
        id, stem, created: see `training.plan.run_file.RunFile`; created as unix seconds.
        base: path of the base model, `family` of it.
        settings: all of them.
        total: steps that the run should have.
        photos: how many.
        saved: steps of its checkpoints, ascending.
        best_step: see `training.plan.run_file.RunFile`.
    """

    folder: Path
    id: str
    stem: str
    created: float
    base: str
    family: str
    settings: TrainSettings
    total: int
    photos: int
    saved: list[int]
    best_step: int = 0

    @property
    def step_to_use(self) -> int:
        """The step whose LoRA stands for the run where none is named; 0 where nothing is saved."""
        return step_among(self.saved, self.best_step) or 0


@dataclass(frozen=True)
class GridRecord:
    """A judged test grid, in short: what ``report.json`` says first.

    Attributes:
        retention: of the identity, as the verdict says it: of what the base model can show, or else of the photos' own.
        more: further LoRAs that it was painted with, as ``name:weight``; such a grid says nothing of the run alone.
    """

    id: str
    step: int | None
    weight: float
    kind: str
    headline: str
    drift: bool
    judged: bool
    retention: float | None
    made: str
    more: tuple[str, ...] = ()


def identifiers(folder: Path, file: str) -> Iterator[str]:
    """Names in digits of the folders in `folder` that hold `file`; the newest (highest) first.

    Each is looked for only when it is asked for: the newest is most often all that is wanted.
    """
    found = [name for name in names_in(folder) if name.isascii() and name.isdigit() and len(name) < 10]
    found.sort(key=lambda name: (int(name), name), reverse=True)
    return (name for name in found if mark(f"{folder}{os.sep}{name}{os.sep}{file}") is not None)


def runs(folder: CharacterFolder) -> list[RunRecord]:
    """The runs of a character, the newest first; one whose file is damaged is left out."""
    found = []
    for name in identifiers(folder.runs, RunFolder.FILE):
        try:
            found.append(run(folder.runs / name))
        except UserError:
            keep_nothing()  # it is said where the run is asked for by itself
    return found


def newest(folder: CharacterFolder) -> RunRecord | None:
    """The newest run of a character that can be read."""
    for name in identifiers(folder.runs, RunFolder.FILE):
        try:
            return run(folder.runs / name)
        except UserError:
            keep_nothing()
    return None


def run(folder: Path) -> RunRecord:
    """A run.

    Raises:
        UserError: its file is damaged.
    """
    state = (mark(RunFolder(folder).file), mark(RunFolder(folder).checkpoints))
    return kept(("run", folder), state, lambda: _run(folder))


def values(folder: Path) -> dict[str, Any]:
    """``run.yaml`` as plain values.

    Raises:
        UserError: it is damaged.
    """
    found = kept(("run.yaml", folder), mark(RunFolder(folder).file), lambda: read_yaml(RunFolder(folder).file))
    if not isinstance(found, dict):
        raise UserError(
            f"{RunFolder(folder).file} is damaged: it is not a table.",
            code="run-file-damaged",
            file=RunFolder(folder).file,
        )
    return found


def _run(folder: Path) -> RunRecord:
    found = values(folder)
    try:
        train = typed_settings.from_dict(TrainSettings, as_begun(found["settings"]), str(RunFolder(folder).file))
        count = len(found["photos"])
        return RunRecord(
            folder,
            folder.name,
            str(found["stem"]),
            _seconds(str(found["created"])),
            str(found["base"]["path"]),
            str(found["base"]["family"]),
            train,
            ended if isinstance(ended := found.get("ended"), int) and ended > 0 else train.total_steps(max(count, 1)),
            count,
            RunFolder(folder).steps_among(str(found["stem"]), names_in(RunFolder(folder).checkpoints)),
            best if isinstance(best := found.get("best_step"), int) else 0,
        )
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{RunFolder(folder).file} is damaged: {error}.", code="run-file-damaged", file=RunFolder(folder).file
        ) from error


def _seconds(iso: str) -> float:
    try:
        return datetime.fromisoformat(iso).timestamp()
    except ValueError:
        return 0.0


def checkpoint(record: RunRecord, step: int) -> Path:
    """The file of the LoRA after `step` steps, as `training.plan.run_file.Run.checkpoint`."""
    return RunFolder(record.folder).checkpoint(record.stem, step)


def grids(run_folder: Path) -> list[GridRecord]:
    """The judged test grids of a run, the newest first; one that is damaged is left out."""
    folder = RunFolder(run_folder).grids
    found = (grid(folder / name) for name in identifiers(folder, REPORT_FILE))
    return [one for one in found if one]


def grid(folder: Path) -> GridRecord | None:
    """A judged test grid in short; None where its report is damaged, or of another version."""
    path = folder / REPORT_FILE
    return kept(("grid", folder), mark(path), lambda: _grid(path))


def _grid(path: Path) -> GridRecord | None:
    try:
        found = read_json(path)
        verdict, facts = found["verdict"], found["facts"]
        subject = found.get("subject", {})
        more = tuple(f"{Path(str(one['file'])).stem}:{one['weight']:g}" for one in subject.get("more", ()))
        step, retention = facts["step"], facts.get("retention_best")
        if retention is None:  # reports of earlier versions
            retention = facts["retention"]
        if step is None and more:  # the file of a saved step ends in its number
            digits = Path(str(subject["lora"])).stem.rpartition("-")[2]
            step = int(digits) if digits.isascii() and digits.isdecimal() else None
        if step is not None and not isinstance(step, int):
            return None
        return GridRecord(
            path.parent.name,
            step,
            float(facts["weight"]),
            str(verdict["kind"]),
            str(verdict["headline"]),
            bool(verdict["drift"]),
            bool(verdict["judged"]),
            None if retention is None else _share(retention),
            str(found["made"]),
            more,
        )
    except UserError:
        keep_nothing()
        return None
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None


def _share(value: Any) -> float:
    """A finite number of JSON as it is.

    Raises:
        ValueError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return value


def best(found: Sequence[tuple[RunRecord, Sequence[GridRecord]]]) -> GridRecord | None:
    """The test whose step and weight the tests of a character speak for; None where nothing is judged.

    Of the runs that hold, it is the newest one's, and in it the test that keeps most of the face; where no run holds,
    the test of any run that keeps most; of equal ones the newest. Tests with a further LoRA do not count.

    Args:
        found: the runs, the newest first, each with its judged tests, the newest first.
    """
    judged = [[one for one in tests if one.judged and one.retention is not None and not one.more] for _, tests in found]
    holding = [[one for one in tests if one.kind == "consistent"] for tests in judged]
    among = next(filter(None, holding), None) or sorted(chain(*judged), key=lambda one: one.made, reverse=True)
    return max(among, key=lambda one: one.retention or 0.0, default=None)


def uses(run_folder: Path) -> list[dict[str, Any]]:
    """Where the LoRAs of a run have been put, the newest first: {"file", "to", "step", "weight", "t"}."""
    path = RunFolder(run_folder).uses

    def read() -> list[dict[str, Any]]:
        try:
            found = read_json(path)
        except UserError:
            keep_nothing()
            return []
        return [one for one in found if isinstance(one, dict) and "file" in one] if isinstance(found, list) else []

    there = mark(path)
    return [] if there is None else kept(("uses", run_folder), there, read)
