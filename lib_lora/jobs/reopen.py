"""A run that is opened again: where it lies now, whether its base model is still the same file, how far it came."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lib_lora.errors import UserError, command
from lib_lora.jobs.events import read_events
from lib_lora.jobs.prepare import check_out
from lib_lora.models.identity import remembered_sha256
from lib_lora.training.run import Run, load_run, save_run


def reopen(folder: Path, root: Path | None = None, base: Path | None = None, out: Path | None = None) -> Run:
    """A run that goes on.

    The folder may have been moved together with its character's. What has moved without it is named anew, and
    remembered in the run's file.

    Args:
        folder: of the run; also relative to the data folder.
        root: the data folder; None = `folder` is complete.
        base: where the base model is now; None = where it was.
        out: where the finished LoRA shall go; None = as before.

    Raises:
        UserError: no run lies there, or `base` is another model than the run began with.
    """
    if root and not (folder / "run.yaml").is_file() and (root / folder / "run.yaml").is_file():
        folder = root / folder
    run = load_run(folder)
    if not run.character_folder.file.is_file():
        raise UserError(
            f"{run.folder} was taken out of its character's folder, where its photos are; put it back, "
            "into characters/NAME/runs of the data folder."
        )
    file = run.file
    if base:
        file = replace(file, base=replace(file.base, path=str(base.absolute())))
    if out:
        check_out(out)
        file = replace(file, out=str(out.absolute()))
    moved = Run(run.folder, file)
    if base:
        check_base(moved)
    if file != run.file:
        save_run(moved)
    return moved


def check_base(run: Run) -> None:
    """See that the base model is there, and is the file that the run began with.

    Its SHA-256 is remembered by path, size and time of change, so that a large file is read once.

    Raises:
        UserError: it is gone, or another file lies there.
    """
    path = Path(run.file.base.path)
    if not path.is_file():
        raise UserError(
            f"The base model {path} is not there (any more); put it back, or say where it is now: "
            f"{command()} resume RUN_FOLDER --base CHECKPOINT, with {run.folder} as RUN_FOLDER."
        )
    memory = run.character_folder.path.parent.parent / "hashes.json"
    if remembered_sha256(path, memory) != run.file.base.sha256:
        raise UserError(
            f"{path} is not the base model that the run {run.folder} began with (its SHA-256 differs), and a LoRA "
            "fits its own base only; put the old file back, say where it is with resume --base, or start a new run."
        )


def trained_lora(run: Run) -> Path | None:
    """The LoRA of the last step, if the run has been trained to its end; None where steps are left to do.

    With it, a run whose delivery or grid failed is finished without its photos, and without loading the model.
    """
    said = [event for event in read_events(run.events) if event["kind"] == "state" and event.get("state") == "trained"]
    step = said[-1].get("step") if said else None
    if not isinstance(step, int) or run.file.settings.steps not in (0, step):
        return None
    lora = run.checkpoint(step)
    return lora if lora.is_file() else None
