"""Does the job that trains: a new run or a resumed one, and a second try with less where memory ran out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_lora.character.store import load
from lib_lora.errors import UserError
from lib_lora.models.fast.memory import is_out_of_memory, release
from lib_lora.queue.job_types import TrainArguments, chosen_base
from lib_lora.queue.running import worker_pipe
from lib_lora.queue.running.worker_pipe import patient
from lib_lora.remote.places import LOCAL
from lib_lora.runs.events import EventLog, pace_of, read_events
from lib_lora.runs.reopen import reopen
from lib_lora.training.plan.run_file import Run, load_run, save_run, saved_steps, step_to_use
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.train.main_job import finish_run
from lib_lora.workflows.train.prepare import start_run
from lib_lora.workspace.workspace import Workspace

if TYPE_CHECKING:
    from lib_lora.workflows.worker.job_context import JobContext

PATIENCE = 75.0  # seconds: a worker whose parent has gone saves what it trained, and has the run until then


def train(arguments: TrainArguments, context: JobContext) -> dict[str, Any]:
    """Train a run to its end.

    Where memory runs out before anything was saved, it begins once more with single photos and recomputed activations.

    Raises:
        UserError: it cannot be trained; what was saved is kept.
        StoppedByUser: the parent wished so, or is gone; everything is saved.
    """
    opened: list[Run] = []

    def make() -> Run:
        context.emit("progress", done=0, total=0, text="Reading the base model and the photos")
        run = _reopened(arguments, context) if arguments.run else _new(arguments, context)
        context.emit("run", run=run.file.id)
        context.note_run(run.file.id)
        opened.append(run)
        return run

    def watch(kind: str, **fields: Any) -> None:
        context.pipe.pace = pace_of([{"kind": kind, **fields}], context.pipe.pace)
        context.emit(kind, **fields)

    try:
        finish_run(
            make, watch=watch, asked=context.pipe.stopping, patience=_patience(arguments, context), only_train=True
        )
    except UserError as error:
        lacking = error.__cause__ is not None and is_out_of_memory(error.__cause__)
        smaller = _smaller(opened[0]) if lacking and opened else None
        if smaller is None:
            raise
    else:
        return _result(opened[0])
    release()  # out here, since the error holds all that was loaded
    _begin_again(smaller, context)
    finish_run(lambda: smaller, watch=watch, asked=context.pipe.stopping, only_train=True)
    return _result(smaller)


def prepare(arguments: TrainArguments, context: JobContext) -> dict[str, Any]:
    """Make the run that another machine should train; that is noted, and nothing is trained.

    Raises:
        UserError: it cannot be made.
    """
    context.emit("progress", done=0, total=0, text="Reading the base model and the photos")
    run = _new(arguments, context)
    context.note_run(run.file.id)
    context.emit("run", run=run.file.id)
    return {"run": run.file.id}


def _patience(arguments: TrainArguments, context: JobContext) -> float:
    """For the lock of the run: as long as a worker whose parent has gone may still save."""
    if not arguments.run:
        return PATIENCE
    events = Workspace(context.root).character(context.character).run(arguments.run).events
    pace = pace_of(read_events(events))
    return PATIENCE + patient(worker_pipe.PATIENCE, pace) - worker_pipe.PATIENCE


def _new(arguments: TrainArguments, context: JobContext) -> Run:
    request = TrainingRequest(
        chosen_base(arguments),
        arguments.preset,
        arguments.settings,
        arguments.prediction,
        few=arguments.few,
        elsewhere=arguments.on != LOCAL,
    )
    return start_run(context.root, context.character, request)


def _reopened(arguments: TrainArguments, context: JobContext) -> Run:
    folder = Workspace(context.root).character(context.character)
    load(folder)
    wanted = str(arguments.run)
    there = {path.parent.name for path in folder.run_files()}
    if wanted not in there:
        raise UserError(
            f"{context.character} has no run {wanted}; there are: {', '.join(sorted(there)) or 'none'}.",
            code="run-not-found",
            character=context.character,
            run=wanted,
        )
    run = load_run(folder.runs / wanted)
    # a job that asked for more steps and was stopped asks for the same again
    asked_before = arguments.steps == (run.file.ended or run.file.settings.steps)
    steps = None if asked_before else arguments.steps
    return reopen(run.folder, context.root, Path(arguments.base) if arguments.base else None, None, steps)


def _smaller(run: Run) -> Run | None:
    """The same training in less memory; None where that cannot be, or something has been saved."""
    train = run.file.settings
    saved = saved_steps(run) or any(run.states.glob("*.pt"))
    if saved or (train.batch_size == 1 and train.gradient_checkpointing):
        return None
    train = replace(
        train, batch_size=1, accumulation=train.accumulation * train.batch_size, gradient_checkpointing=True
    )
    return replace(run, file=replace(run.file, settings=train))


def _begin_again(run: Run, context: JobContext) -> None:
    save_run(run)
    train = run.file.settings
    text = (
        "Out of memory, so the training starts again with gradient_checkpointing true, batch_size 1 and accumulation "
        f"{train.accumulation}: the same steps, about a third slower."
    )
    EventLog(run.events)("warning", code="out-of-memory", text=text)
    context.emit("warning", code="out-of-memory", text=text)


def _result(run: Run) -> dict[str, Any]:
    run = load_run(run.folder)  # the training may have noted which step to use
    done = saved_steps(run)[-1]
    used = step_to_use(run) or done
    return {"run": run.file.id, "steps": done, "step": used, "lora": run.checkpoint(used).name}
