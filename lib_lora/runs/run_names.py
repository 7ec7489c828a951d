"""Finds the run that a user names: by its character (the newest run), by NAME/001, or by its folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lib_lora.character.store import load
from lib_lora.errors import UserError, command
from lib_lora.training.plan.run_file import Run, load_run, saved_steps, step_to_use
from lib_lora.workspace.grid_files import REPORT_FILE
from lib_lora.workspace.workspace import CharacterFolder, RunFolder, Workspace

HOW = "the character's name (for its newest run), NAME/001, or the run's folder"
WHICH_STEP = "which checkpoint (default: the last, or the best by the likeness curve)"


def run_named(root: Path, which: str | Path, identifier: str | None = None, trained: bool = False) -> Run:
    """The run that `which` names.

    Args:
        root: the data folder.
        which: a run's folder, also relative to the data folder; a character's name, for its newest run; or the two with
            a slash between them, such as ``Mara/001``, with or without the number's zeros.
        identifier: the number apart from the name; None = none.
        trained: of several, the newest that has a checkpoint.

    Raises:
        UserError: there is none.
    """
    text = str(which)
    for path in (Path(text), root / text):
        if os.path.isfile(RunFolder(path).file):  # noqa: PTH113 - never raises: the text may be no path at all
            return _of_id(load_run(path), identifier)
    name, number = _split(root, text)
    if number and identifier and not _same(number, identifier):
        raise UserError(f"{text} and --run {identifier} name two runs; leave one of them out.", code="run-ambiguous")
    if not _is_character(root, name):
        if text and os.path.isdir(text):  # noqa: PTH112
            return load_run(Path(text))  # which says what it lacks
        if re.search(r"[/\\]", text):
            raise UserError(
                f"{text} is neither a run's folder nor a character in {root}, nor a run of one (NAME/001).",
                code="run-name-unknown",
                name=text,
            )
    return newest(Workspace(root).character(name), name, number or identifier, trained)


def checkpoint_named(run: Run, step: int | None) -> int:
    """The step of one of a run's checkpoints: where `step` is None, that of the one to use.

    Raises:
        UserError: there is none.
    """
    steps = saved_steps(run)
    if not steps:
        raise UserError(
            f"{run.folder} has no checkpoint yet; train it first.", code="checkpoint-none-yet", folder=run.folder
        )
    if step is not None and step not in steps:
        raise UserError(
            f"{run.folder} has no checkpoint of step {step}; there are: {', '.join(map(str, steps))}.",
            code="checkpoint-not-found",
            folder=run.folder,
            step=step,
        )
    return (step_to_use(run) or steps[-1]) if step is None else step


def grid_named(root: Path, which: Path) -> Path:
    """The newest judged grid of the run that `which` names; `which` itself where it is something else.

    Raises:
        UserError: the run has no judged grid.
    """
    if os.path.exists(which) and not os.path.isfile(RunFolder(which).file):  # noqa: PTH110, PTH113
        return which
    try:
        run = run_named(root, which, trained=True)
    except UserError:
        return which
    found = sorted(run.grids.glob(f"*/{REPORT_FILE}"), key=lambda one: (len(one.parent.name), one))
    if not found:
        raise UserError(
            f"{run.folder} has no test grid yet; paint one with: {command()} grid {run.folder}",
            code="grid-none-yet",
            folder=run.folder,
        )
    return found[-1].parent


def runs_of(folder: CharacterFolder) -> list[str]:
    """The identifiers of a character's runs, the newest last."""
    there = [path.parent.name for path in folder.run_files()]
    return sorted(there, key=lambda one: (len(one), one))


def _split(root: Path, text: str) -> tuple[str, str | None]:
    """Name and number; a number only where a character of the name is there."""
    parts = re.fullmatch(r"(.*[^/\\])[/\\]+([^/\\]+)[/\\]*", text)
    if parts is None or not _is_character(root, parts[1]):
        return text, None
    name, number = parts[1], parts[2]
    known = any(_same(one, number) for one in runs_of(Workspace(root).character(name)))
    return (text, None) if not known and _is_character(root, text) else (name, number)


def _is_character(root: Path, name: str) -> bool:
    try:
        return Workspace(root).character(name).file.is_file()
    except UserError:  # it cannot be a name
        return False


def newest(folder: CharacterFolder, name: str, identifier: str | None = None, trained: bool = False) -> Run:
    """The newest run of the character called `name`, or the one with this identifier; see `run_named`.

    Raises:
        UserError: there is none.
    """
    load(folder)
    there = runs_of(folder)
    wanted = [one for one in there if identifier is None or _same(one, identifier)]
    if not there:
        raise UserError(
            f"{name} has no run yet; make one with: {command()} train {name} --base CHECKPOINT",
            code="run-none-yet",
            character=name,
        )
    if not wanted:
        raise UserError(
            f"{name} has no run {identifier}; there are: {', '.join(there)}.",
            code="run-not-found",
            character=name,
            run=identifier,
        )
    if not trained:
        return load_run(folder.runs / wanted[-1])
    runs = [load_run(folder.runs / one) for one in wanted]
    return next((run for run in reversed(runs) if saved_steps(run)), runs[-1])


def _of_id(run: Run, identifier: str | None) -> Run:
    if identifier and not _same(run.folder.name, identifier):
        raise UserError(
            f"{run.folder} and --run {identifier} name two runs; leave one of them out.", code="run-ambiguous"
        )
    return run


def _same(one: str, other: str) -> bool:
    """001 is also called 1."""
    return one == other or one.lstrip("0") == other.lstrip("0") != ""
