"""Opens a run again: finds where it lies, checks that its base model is unchanged, and says how far it came."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from lib_lora import file_permissions
from lib_lora.errors import UserError, command
from lib_lora.files import explained
from lib_lora.lora.file.integrity import is_whole
from lib_lora.models.reading.file_hashes import cached_sha256
from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import Run, load_run, save_run, saved_steps
from lib_lora.workspace.workspace import RunFolder


def reopen(
    folder: Path,
    root: Path | None = None,
    base: Path | None = None,
    out: Path | None = None,
    steps: int | None = None,
) -> Run:
    """A run that goes on.

    The folder may have been moved together with its character's. What has moved without it is named again, and
    remembered in the run's file.

    Args:
        folder: of the run; also relative to the data folder.
        root: the data folder; None = `folder` is complete.
        base: where the base model is now; None = where it was.
        out: where the finished LoRA should go; None = as before.
        steps: how many the run should have in all; None = as before. Where a training was stopped, the learning rate
            goes on as if it had been so from the start; where it had ended, its schedule begins again, since it ends
            with next to none.

    Raises:
        UserError: no run lies there, it has more steps than `steps` already, or `base` is another model than the run
            began with.
    """
    if root and not RunFolder(folder).file.is_file() and RunFolder(root / folder).file.is_file():
        folder = root / folder
    run = load_run(folder)
    if not run.character_folder.file.is_file():
        raise UserError(
            f"{run.folder} was moved out of its character's folder, where its photos are; put it back, "
            "into characters/NAME/runs of the data folder.",
            code="run-folder-moved",
            folder=run.folder,
        )
    file = run.file
    if base:
        file = replace(file, base=replace(file.base, path=str(base.absolute())))
    if out:
        check_out(out)
        file = replace(file, out=str(out.absolute()))
    if steps is not None:
        ended, done = _ended(run), done_steps(run)
        if steps <= done:
            raise UserError(
                f"{run.folder} already has {done} steps; to continue, give --steps a larger number.",
                code="run-has-more-steps",
                folder=run.folder,
                steps=done,
            )
        restart = done if done and ended == done else file.restart
        file = replace(file, settings=replace(file.settings, steps=steps), restart=restart, ended=0, best_step=0)
    moved = replace(run, file=file)
    if base:
        check_base(moved)
    if file != run.file:
        save_run(moved)
    return moved


def done_steps(run: Run) -> int:
    """The step that a training of the run goes on from; 0 = the first."""
    return max([*saved_steps(run), _ended(run)])


def _ended(run: Run) -> int:
    """The step at which it was trained to its end, where its state is there: the LoRA of that step need not be."""
    return (_ended_at(run) if run.states.is_dir() and any(run.states.iterdir()) else None) or 0


def check_base(run: Run) -> None:
    """See that the base model is there, and is the file that the run began with.

    Its SHA-256 is remembered by path, size and time of change, so that a large file is read once.

    Raises:
        UserError: it is gone, or another file lies there.
    """
    path = Path(run.file.base.path)
    if not path.is_file():
        raise UserError(
            f"The base model {path} is missing; put it back, or say where it is now: "
            f"{command()} resume RUN_FOLDER --base CHECKPOINT, with {run.folder} as RUN_FOLDER.",
            code="base-model-missing",
            file=path,
        )
    if cached_sha256(path, run.workspace.hashes) != run.file.base.sha256:
        raise UserError(
            f"{path} is not the base model that the run {run.folder} began with (its SHA-256 differs), and a LoRA "
            "fits its own base only; put the old file back, say where it is with resume --base, or start a new run.",
            code="base-model-changed",
            file=path,
        )


def trained_lora(run: Run) -> Path | None:
    """The LoRA of the last step, if the run has been trained to its end; None where steps are left to do, or where the
    file is gone or damaged: then training writes it again from the saved state.

    With it, a run whose delivery or grid failed is finished without its photos, and without loading the model.
    """
    step = _ended_at(run)
    if step is None or (run.file.ended or run.file.settings.steps) not in (0, step):
        return None
    lora = run.checkpoint(step)
    return lora if is_whole(lora) else None


def _ended_at(run: Run) -> int | None:
    """The step at which a run was last trained to its end; None where it never was."""
    said = [event for event in read_events(run.events) if event["kind"] == "state" and event.get("state") == "trained"]
    step = said[-1].get("step") if said else None
    return step if isinstance(step, int) else None


def check_out(out: Path) -> None:
    """See that the finished LoRA can be put into `out`, which is made; better now than after the training.

    Raises:
        UserError: it cannot.
    """
    if out.exists() and not out.is_dir():
        raise UserError(
            f"{out} is a file, not a folder; name the folder for the LoRA.",
            code="out-is-a-file",
            file=out,
        )
    with explained(out):
        file_permissions.make_folder(out)  # it may be the first thing in the data folder
        with tempfile.TemporaryFile(dir=out):
            pass
