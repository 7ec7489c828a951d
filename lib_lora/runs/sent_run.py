"""Prepares a run for another machine, and takes over what that machine's run has made.

The other machine sees photos under neutral names and without EXIF, the base model where it lies there, and nothing of
this machine's folders. What it changes, such as settings that spare memory, is taken over when it comes back; photos,
paths and names stay as they are here.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from lib_lora.character import store
from lib_lora.errors import UserError
from lib_lora.files import sha256, write_text
from lib_lora.remote.plain_photos import plain_copy
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import Run, RunFile, load_run, save_run, saved_steps
from lib_lora.training.plan.train_settings import TrainSettings
from lib_lora.workspace.workspace import RunFolder, Workspace

_LARGEST = {"checkpoints": 8 << 30, "state": 32 << 30, "samples": 64 << 20}  # bytes of a file that comes back
_LAST_STEP = 1_000_000  # no run has more
_SENT_EVENTS = ("state", "step")  # by which a run knows how far it is; others may name files of this machine
# what a machine's own memory and kind decide; what else it says about settings is not its to say
_ITS_SETTINGS = (
    "precision",
    "batch_size",
    "accumulation",
    "gradient_checkpointing",
    "resolution",
    "optimizer",
    "te_lr",
)
_ITS_ADAPTER = ("rank", "alpha", "te")
MOST_STEPS = 10_000_000  # that a run may be asked to have
_VERSION = re.compile(r"[0-9A-Za-z.+_-]{1,60}")


def stage(run: Run, data: Path, base: str) -> RunFolder:
    """Lay a run into a data folder as the other machine should get it.

    Args:
        run: as it is here.
        data: a folder that is the data folder there.
        base: the path of the base model there.

    Returns:
        The run's folder in `data`, without its large files (`needed_files`).

    Raises:
        UserError: a photo is gone or has changed, or the folder cannot be written.
    """
    there = Workspace(data).character_at(run.character_folder.path.name)
    store.save(there, replace(run.file.character, notes=""))
    photos = []
    for number, photo in enumerate(run.file.photos, 1):
        original = run.photo_path(photo)
        if not original.is_file() or sha256(original) != photo.sha256:
            raise UserError(
                f"{original} has changed since this run was made; put it back, or start a new run.",
                code="photo-changed",
                photo=original.name,
            )
        copy = plain_copy(original, there.photos / f"{number:04d}")
        photos.append(replace(photo, file=copy.relative_to(there.path).as_posix(), sha256=sha256(copy)))
    folder = there.run(run.file.id)
    # class pictures are among the photos; likeness is measured here alone, where the face templates stay
    settings = replace(run.file.settings, class_photos=None, likeness_curve=False, stop_early=False)
    file = replace(
        run.file,
        base=replace(run.file.base, path=base),
        photos=photos,
        settings=settings,
        character=replace(run.file.character, notes=""),
        out=None,
        grid_steps=0,
    )
    save_run(Run(folder.path, file))
    events = (_bare(event) for event in read_events(run.events) if event["kind"] in _SENT_EVENTS)
    write_text(folder.events, "".join(json.dumps(event) + "\n" for event in events))
    return folder


def _bare(event: dict[str, Any]) -> dict[str, Any]:
    """An event without texts, which may name files, apart from what it is."""
    return {
        name: value
        for name, value in event.items()
        if name in ("kind", "state") or not isinstance(value, (str, list, dict))
    }


def needed_files(run: Run) -> list[Path]:
    """The large files of a run that it needs to go on elsewhere: its states, and its last checkpoint."""
    steps = saved_steps(run)
    last = [run.checkpoint(steps[-1])] if steps else []
    return [path for path in (*sorted(run.states.glob("*.pt")), *last) if path.is_file()]


def comes_home(run: Run, name: str, mark: Any, after: int) -> bool:
    """Whether a file of a run is brought back: no other one is ever written here.

    Args:
        run: the run.
        name: of the file in the run's folder.
        mark: its size in bytes, and when it was changed.
        after: the last step that was here before; what belongs to earlier ones stays as it is.
    """
    folder, _, file = name.partition("/")
    patterns = {
        "checkpoints": rf"{re.escape(run.file.stem)}-([0-9]{{6,9}})\.safetensors",
        "state": r"([0-9]{6,9})\.pt",
        "samples": r"([0-9]{6,9})-[0-9]{1,4}\.(?:png|json)",
    }
    found = re.fullmatch(patterns[folder], file) if folder in patterns else None
    size = mark[0] if isinstance(mark, list) and mark else None
    small = isinstance(size, int) and 0 <= size <= _LARGEST[folder] if found else False
    return found is not None and small and after < int(found[1]) <= _LAST_STEP


def _settled(run: Run, theirs: RunFile) -> TrainSettings:
    """The settings of a run, with what another machine had to change: it may save memory, but not do what it likes.

    Raises:
        UserError: it did.
    """
    mine, other = run.file.settings, theirs.settings
    settings = replace(mine, **{name: getattr(other, name) for name in _ITS_SETTINGS})
    settings = replace(settings, lora=replace(mine.lora, **{name: getattr(other.lora, name) for name in _ITS_ADAPTER}))
    strange = {
        "precision": mine.precision not in ("auto", settings.precision),
        "lora.rank": settings.lora.rank > mine.lora.rank,
        "lora.te": settings.lora.te and not mine.lora.te,
        "te_lr": settings.te_lr not in (mine.te_lr, 0.0),
        "batch_size": settings.batch_size * settings.accumulation != mine.batch_size * mine.accumulation,
        "resolution": bool(mine.resolution) and settings.resolution != mine.resolution,
        "optimizer": settings.optimizer not in (mine.optimizer, "adamw8bit"),
    }
    if wrong := [name for name, so in strange.items() if so]:
        raise UserError(
            f"What came home for the run {run.folder} has another {wrong[0]} than was asked for; what was trained is "
            "kept there.",
            code="run-settings-strange",
            folder=run.folder,
        )
    return settings


def _shown(versions: dict[str, str]) -> dict[str, str]:
    """The versions of what computed, as far as they can be shown."""
    known = {name: text for name, text in versions.items() if _VERSION.fullmatch(name) and _VERSION.fullmatch(text)}
    return dict(list(known.items())[:20])


def take_over(run: Run, come: Path) -> Run:
    """What another machine has made of a run's file, as far as it is that machine's to say: settings that spare memory,
    how many steps it was asked for, and where its learning rate began again.

    Args:
        run: as it is here.
        come: the folder with the ``run.yaml`` that has come.

    Raises:
        UserError: it cannot be read, is another run's, or has settings that nobody asked for.
    """
    theirs: RunFile = load_run(come).file
    if (theirs.id, theirs.stem, theirs.data_hash) != (run.file.id, run.file.stem, run.file.data_hash):
        raise UserError(
            f"What came home for the run {run.folder} is another run's; what was trained is kept there.",
            code="run-mismatch",
            folder=run.folder,
        )
    file = replace(run.file, settings=_settled(run, theirs), versions=_shown(theirs.versions))
    before = file.ended or file.settings.steps
    if 0 <= theirs.restart <= theirs.settings.steps <= MOST_STEPS and theirs.settings.steps >= before:
        settings = replace(file.settings, steps=theirs.settings.steps)
        more = (theirs.restart, theirs.ended) != (file.restart, file.ended)
        file = replace(file, settings=settings, restart=theirs.restart)
        if more:  # trained on there: where it ended here, and which step was best, is no longer so
            file = replace(file, ended=0, best_step=0)
    if file == run.file:
        return run
    changed = replace(run, file=file)
    save_run(changed)
    return changed
