"""Lists a data folder: characters, their runs, and the verdict of the newest test.

Imports nothing heavy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib_lora.character.photo_files import list_photos
from lib_lora.character.store import load
from lib_lora.errors import UserError, typed
from lib_lora.files import printable
from lib_lora.photos.audit.audit_store import photos_to_use
from lib_lora.runs.events import read_events
from lib_lora.runs.records import run_records
from lib_lora.runs.run_names import runs_of
from lib_lora.training.plan.run_file import Run, load_run, saved_steps, step_to_use
from lib_lora.workflows.command_result import CommandResult
from lib_lora.workspace.grid_files import REPORT_FILE
from lib_lora.workspace.workspace import CharacterFolder, RunFolder, Workspace


def list_characters(root: Path) -> CommandResult:
    """Every character of the data folder, by name.

    Raises:
        UserError: the folder cannot be read.
    """
    folders = Workspace(root).character_folders()
    found = [_character(folder) for folder in folders]
    if not found:
        new = typed("new")
        text = f"There is no character in {root} yet; make one with: {new} NAME --trigger WORD --class WORD"
        return CommandResult(text, {"data": str(root), "characters": []})
    rows = [("character", "trigger", "photos", "runs", "newest test")]
    rows += [(one["name"], one["trigger"] or "", _photos(one), str(one["runs"]), _newest(one)) for one in found]
    return CommandResult(table(rows), {"data": str(root), "characters": found})


def list_runs(root: Path, name: str) -> CommandResult:
    """Every run of a character, the oldest first.

    Raises:
        UserError: no such character.
    """
    folder = Workspace(root).character(name)
    character = load(folder)
    found = [_run(folder, character.name, identifier) for identifier in runs_of(folder)]
    values = {**_character(folder), "runs": found}
    if not found:
        train = typed("train", character.name)
        return CommandResult(f"{character.name} has no run yet; make one with: {train} --base CHECKPOINT", values)
    rows = [("run", "begun (UTC)", "base", "preset", "steps", "newest test")]
    for one in found:
        steps = f"{one['steps']:,} of {one['total']:,}" if one["total"] else "?"
        begun = (one["created"] or "")[:16].replace("T", " ")
        rows.append((one["name"], begun, one["base"] or "", one["preset"] or "", steps, one["error"] or _newest(one)))
    return CommandResult(table(rows), values)


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of texts as lines whose columns stand one below the other."""
    widths = [max(len(text) for text in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(printable(line) for line in lines)


def newest_test(runs: Path, identifiers: Sequence[str]) -> dict[str, Any] | None:
    """The newest judged grid without a further LoRA, of the newest of these runs that has one: its run, grid, step,
    weight and verdict."""
    for identifier in reversed(identifiers):
        for grid in run_records.grids(runs / identifier):
            if grid.more:
                continue
            return {
                "run": identifier,
                "grid": grid.id,
                "step": grid.step,
                "weight": grid.weight,
                "verdict": grid.kind,
                "headline": grid.headline,
                "drift": grid.drift,
                "judged": grid.judged,
                "retention": grid.retention,
                "report": str(RunFolder(runs / identifier).grids / grid.id / REPORT_FILE),
            }
    return None


def _character(folder: CharacterFolder) -> dict[str, Any]:
    """One whose file is damaged says so, and does not hide the others."""
    runs = runs_of(folder)
    found: dict[str, Any] = {
        "name": folder.path.name,
        "folder": str(folder.path),
        "trigger": None,
        "class": None,
        "consent": None,
        "photos": 0,
        "photos_in_use": 0,
        "runs": len(runs),
        "newest": newest_test(folder.runs, runs),
        "error": None,
    }
    try:
        who = load(folder)
        photos = len(list_photos(folder.photos)) if folder.photos.is_dir() else 0
        consent = who.consent.kind if who.consent else None
        found |= {"name": who.name, "trigger": who.trigger, "class": who.class_word, "consent": consent}
        found |= {"photos": photos, "photos_in_use": len(photos_to_use(folder)) if photos else 0}
    except UserError as error:
        found["error"] = str(error)
    return found


def _run(folder: CharacterFolder, name: str, identifier: str) -> dict[str, Any]:
    where = folder.runs / identifier
    found: dict[str, Any] = {
        "run": identifier,
        "name": f"{name}/{identifier}",
        "folder": str(where),
        "created": None,
        "base": None,
        "preset": None,
        "steps": 0,
        "total": 0,
        "lora": None,
        "newest": newest_test(folder.runs, [identifier]),
        "error": None,
    }
    try:
        run = load_run(where)
    except UserError as error:
        return {**found, "error": str(error)}
    file, saved = run.file, saved_steps(run)
    total = max([steps_of(run), *saved])
    found |= {"created": file.created, "base": Path(file.base.path).name, "preset": file.settings.preset}
    found |= {"steps": saved[-1] if saved else 0, "total": total}
    used = step_to_use(run)
    return {**found, "lora": None if used is None else str(run.checkpoint(used))}


def steps_of(run: Run) -> int:
    """How many steps a run should have: as its events say, which know of several processes, or else its settings."""
    if run.file.ended:
        return run.file.ended
    totals = [event.get("total") for event in read_events(run.events) if event["kind"] == "step"]
    said = [total for total in totals[-1:] if isinstance(total, int)]
    return said[0] if said else run.file.settings.total_steps(max(len(run.file.photos), 1))


def _photos(one: dict[str, Any]) -> str:
    count, used = one["photos"], one["photos_in_use"]
    return str(count) if count == used else f"{used} of {count}"


def _newest(one: dict[str, Any]) -> str:
    if one["error"]:
        return str(one["error"])
    test = one["newest"]
    if test is None:
        return "none yet"
    kept = test["retention"]
    share = f", {min(1.0, kept):.0%} of the face" if isinstance(kept, (int, float)) else ""
    return re.sub(r"\s+", " ", f"{test['headline']}{share}")
