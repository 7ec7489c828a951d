"""Runs the main job as a whole: photos to a character, a run, its LoRA, the test grid and the first likeness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from lib_lora.deploy.folder import add_preview, deliver
from lib_lora.errors import StoppedByUser, UserError, typed
from lib_lora.files import slug
from lib_lora.grid.cells import Painter
from lib_lora.lora.file.integrity import is_whole
from lib_lora.photos.audit.merged_sentences import merged, of_error
from lib_lora.queue.running import leftovers
from lib_lora.runs.events import EventLog
from lib_lora.runs.lent_run import see_that_it_is_here
from lib_lora.runs.records.origin import lora_origin
from lib_lora.runs.reopen import check_base, check_out, trained_lora
from lib_lora.runs.run_lock import only_process
from lib_lora.runs.run_names import checkpoint_named
from lib_lora.training import distributed
from lib_lora.training.plan.run_file import Run, load_run, save_run, step_to_use
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.training.stopping import also_when
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
from lib_lora.workflows.judge.test_grid import paint_and_score
from lib_lora.workflows.listing import newest_test
from lib_lora.workflows.photos.new_character import NewCharacter, new_character
from lib_lora.workflows.train.prepare import SeenRequest, asked_for, settle, start_run
from lib_lora.workflows.train.progress import Terminal, both

Sink = Callable[..., None]


def train(run: Run, emit: Sink) -> Path:
    """See `training.loop.train`. All that trains is loaded here, after everything that can be wrong before."""
    from lib_lora.training import loop
    from lib_lora.workflows.train.likeness_curve import curve_of

    return loop.train(run, emit, curve_of(run, emit))


def run_main_job(root: Path, who: NewCharacter, photos: Path | Sequence[Path], request: TrainingRequest) -> Path | None:
    """From a folder of photos to a LoRA in `request.out`; returns the file there (None in all processes but the main
    one).

    See `new_character`, `start_run` and `finish_run`.

    Raises:
        UserError: one sentence.
        StoppedByUser: stopped; ``resume`` goes on.
    """

    def prepared() -> Run:
        seen = take_in(root, who, photos, request)
        return start_run(root, who.name, request, seen)

    return finish_run(prepared)


def take_in(root: Path, who: NewCharacter, photos: Path | Sequence[Path], request: TrainingRequest) -> SeenRequest:
    """Make the character of the main job, with its photos, once it is seen that the request can be met.

    Raises:
        UserError: one sentence.
    """
    if request.out:
        check_out(request.out)
    seen = asked_for(request)  # what is wrong with the base model is said before photos are copied
    folder, imported = new_character(root, who, photos)
    for sentence in merged(map(of_error, imported.skipped)):
        print(f"Left out: {sentence}")
    print(f"Character {who.name}: {imported.counted()}, in {folder.path}")
    return seen


def finish_run(
    make: Callable[[], Run],
    watch: Sink | None = None,
    asked: Callable[[], bool] | None = None,
    patience: float = 0.0,
    only_train: bool = False,
    painter: Callable[[Run], Painter] | None = None,
) -> Path | None:
    """Make or open a run, train it to its end, and do what it still has to do: deliver, paint, score.

    What is done is not done again, so a run can be finished after any failure.

    Args:
        make: gives the run; called in the main process.
        watch: gets every event that the run's file gets, in place of the terminal.
        asked: once it says true, the run stops as by its stop file.
        patience: seconds to wait for another process at work on the run.
        only_train: leave the delivery and the test grid that the run's file asks for to whoever calls.
        painter: gives who paints the test grid; None = diffusers, here.

    Returns:
        The delivered file; None where the run names no folder, and in all processes but the main one.

    Raises:
        UserError: one sentence; what was trained is kept.
        StoppedByUser: stopped; ``resume`` goes on.
    """
    with ExitStack() as held:

        def opened() -> Run:
            run = make()
            leftovers.sweep(run.workspace.root)
            held.enter_context(only_process(run.folder, patience=patience))
            see_that_it_is_here(run.folder)
            if trained_lora(run):
                return run
            check_base(run)
            return settle(run)

        run = by_main_process(opened)
        emit = sink(run) if watch is None else both(EventLog(run.events), watch)
        if asked:
            held.enter_context(also_when(asked))
        try:
            return _finish(run, emit, only_train, painter)
        except StoppedByUser as stop:
            raise StoppedByUser(
                f"{stop} Continue with: {resume_command(run)}", code=stop.code, **stop.parameters
            ) from stop
        except KeyboardInterrupt as stop:
            emit("state", state="stopped")
            raise StoppedByUser(
                f"Stopped; what was done is kept. Continue with: {resume_command(run)}", code="run-stopped"
            ) from stop


def _finish(run: Run, emit: Sink, only_train: bool, painter: Callable[[Run], Painter] | None) -> Path | None:
    if distributed.is_main():
        print(f"Run folder: {run.folder}")
        print(f"To continue after a stop: {resume_command(run)}")
    lora = trained_lora(run) or train(run, emit)
    if not distributed.is_main():
        return None
    run = replace(load_run(run.folder), known=run.known)  # the training may have noted which step to use
    if run.file.best_step and not is_whole(run.checkpoint(run.file.best_step)):
        text = f"{run.checkpoint(run.file.best_step)} is damaged or gone, so the LoRA of the last step is used."
        emit("warning", code="best-step-damaged", text=text)
        run = replace(run, file=replace(run.file, best_step=0))
        save_run(run)
    used = step_to_use(run)
    if used is not None:
        lora = run.checkpoint(used)
    print(f"Trained: {lora}")
    # Delivered before anything is painted, so that nothing that goes wrong later can lose it.
    delivered = _delivered(run, lora, emit) if run.file.out and not only_train else None
    if run.file.grid_steps and not only_train:
        try:
            request = GridRequest(checkpoint_named(run, None), 1.0, run.file.grid_steps)
            grid_run = GridRun(run, emit, painter(run) if painter else None)
            report = paint_and_score(run, request, emit, again=False, grid_run=grid_run)
            if delivered:
                add_preview(lora_origin(run), delivered, report.preview)
        except UserError as error:
            raise UserError(f"{error} The LoRA is finished: {delivered or lora}", code=error.code) from error
        print(report.text)
    emit("state", state="finished")
    return delivered


def _delivered(run: Run, lora: Path, emit: Sink) -> Path:
    out = Path(run.file.out or "")
    try:
        leftovers.sweep_beside(slug(run.file.character.name), out)
        delivered = deliver(lora_origin(run), lora, out)
    except UserError as error:
        emit("error", code=error.code, text=str(error))
        raise UserError(
            f"{error} The LoRA is finished: {lora}; to put it elsewhere: {resume_command(run)} --out FOLDER",
            code=error.code,
        ) from error
    emit("delivered", file=str(delivered))
    print(f"LoRA: {delivered}")
    return delivered


def by_main_process(make: Callable[[], Run]) -> Run:
    """A run that the main process makes and all processes of ``accelerate launch`` open.

    Raises:
        UserError: in every process, if `make` raised one.
    """
    folder, error, made = None, None, None
    if distributed.is_main():
        try:
            made = make()
            folder = str(made.folder)
        except UserError as caught:
            error = caught
    error, folder = distributed.from_main(error), distributed.from_main(folder)
    if error:
        raise error
    if not folder:
        raise UserError("The main process did not create a run.", code="main-process-failed")
    return replace(load_run(Path(folder)), known=made.known if made else None)


def sink(run: Run, out: TextIO | None = None) -> Sink:
    """Where a run's events go: its file, and the terminal (`out`; None = standard output)."""
    if not distributed.is_main():
        return lambda kind, **fields: None  # noqa: ARG005 - one process speaks for all
    return both(EventLog(run.events), Terminal(out))


def resume_command(run: Run) -> str:
    """What to type to go on."""
    return typed("resume", str(run.folder))


def result_values(run: Run, delivered: Path | None = None) -> dict[str, Any]:
    """The run, its LoRA, and what the newest test said of it.

    Args:
        run: as it was before it was done.
        delivered: where its LoRA was put beside that.
    """
    run = load_run(run.folder)
    used = step_to_use(run)
    return {
        "character": run.file.character.name,
        "run": run.file.id,
        "folder": str(run.folder),
        "step": used,
        "lora": None if used is None else str(run.checkpoint(used)),
        "delivered": str(delivered) if delivered else None,
        "test": newest_test(run.folder.parent, [run.folder.name]),
    }
