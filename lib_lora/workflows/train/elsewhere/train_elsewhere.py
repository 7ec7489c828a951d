"""Trains on another machine from the command line: through the queue, as the tab does, and followed in the terminal."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lib_lora.errors import StoppedByUser, UserError, typed
from lib_lora.grid.cells import Painter
from lib_lora.job_host import JobHost
from lib_lora.queue.job_types import Lane, Rental, TrainArguments, asked_place
from lib_lora.queue.queue import OPEN, Job, Queue
from lib_lora.queue.runners.runner_choice import ChosenRunner
from lib_lora.queue.running.supervisor import Supervisor
from lib_lora.remote import places
from lib_lora.remote.gpu_providers import is_rented
from lib_lora.runs.events import events_after
from lib_lora.runs.lent_run import loan_of, see_that_it_is_here
from lib_lora.runs.reopen import reopen
from lib_lora.training.plan.run_file import Run, save_run
from lib_lora.training.plan.training_request import TrainingRequest
from lib_lora.workflows.judge.painting.painting_quote import before_painting, of_grid
from lib_lora.workflows.judge.painting.pod_painter import PaintingRent
from lib_lora.workflows.judge.painting.split_painter import painters_on
from lib_lora.workflows.train.elsewhere.rent_quote import before_renting, time_there
from lib_lora.workflows.train.main_job import finish_run
from lib_lora.workflows.train.prepare import asked_for
from lib_lora.workflows.train.progress import ChangingLines, Terminal, print_warning
from lib_lora.workspace.workspace import Workspace

_POLL = 0.3  # seconds between two checks at the job


@dataclass(frozen=True)
class Elsewhere:
    """Another machine.

    Attributes:
        on: as ``--on`` names it.
        rental: with a provider of GPUs, what may be rented; None = as `Rental` has it.
        base_address: see `TrainArguments`.
    """

    on: str
    rental: Rental | None = None
    base_address: str = ""


def train_elsewhere(
    host: JobHost, root: Path, where: Elsewhere, name: str, request: TrainingRequest
) -> tuple[Run, Path | None]:
    """Train a new run on another machine, then deliver its LoRA, and judge the test grid that is painted there.

    Args:
        host: the program around SameFace, whose Python makes the run.
        root: the data folder.
        where: is trained.
        name: of the character.
        request: what is asked for.

    Returns:
        The run, and the delivered LoRA; None where no folder for it was named.

    Raises:
        UserError: it cannot be done; what was trained is kept.
        StoppedByUser: stopped, or left to go on there.
    """
    asked_for(request)
    asked = TrainArguments(
        base=str(request.base.absolute()),
        preset=request.preset,
        settings=request.overrides,
        prediction=request.prediction,
        few=request.few,
        then_test=False,
        on=where.on,
        rental=where.rental,
        base_address=where.base_address,
    )
    job = _done(host, root, name, asked, request.grid_steps)
    run = reopen(Workspace(root).character(name).run(job.run).path)
    file = replace(run.file, out=str(request.out.absolute()) if request.out else None, grid_steps=request.grid_steps)
    save_run(replace(run, file=file))
    return run, _finished(root, where, run)


def go_on_elsewhere(
    host: JobHost, root: Path, where: Elsewhere, run: Run, base: Path | None, steps: int | None, out: Path | None
) -> Path | None:
    """Go on with a run on another machine, wherever it was trained so far, then deliver its LoRA.

    Args:
        host, root, where: see `train_elsewhere`.
        run: which.
        base: where its base model is here, if it was moved.
        steps: how many the run should have in all; None = as before.
        out: where the LoRA should go; None = as before.

    Raises:
        UserError, StoppedByUser: as `train_elsewhere`.
    """
    run = reopen(run.folder, root, base, out)
    asked = TrainArguments(
        run=run.file.id,
        steps=steps,
        few=True,
        then_test=False,
        on=where.on,
        rental=where.rental,
        base_address=where.base_address,
    )
    _done(host, root, run.file.character.name, asked, run.file.grid_steps)
    return _finished(root, where, run)


def _finished(root: Path, where: Elsewhere, run: Run) -> Path | None:
    """Deliver the LoRA, and judge the test grid here that is painted there; see `finish_run`. The GPU that was rented
    for the training is deleted by now, so another one is rented for the pictures, if it can be had."""
    rent = None
    if is_rented(where.on):
        # the limits that hold are those with which the training was begun
        rent = PaintingRent(replace(where.rental or Rental(), anew=False), time.time(), print_warning)
        if not _can_be_rented(root, run, rent.rental):
            return finish_run(lambda: reopen(run.folder))
    with ExitStack() as held:

        def painter(run: Run) -> Painter:
            part, say = f"run-{uuid.uuid4().hex[:8]}", ChangingLines(print) if rent else print
            made = painters_on(root, where.on, run, part, lambda: False, say, rent)
            held.callback(made.close)
            return made

        return finish_run(lambda: reopen(run.folder), painter=painter)


def _can_be_rented(root: Path, run: Run, rental: Rental) -> bool:
    """Say what a GPU for the test grid will cost, or why none is rented."""
    if not run.file.grid_steps:
        return False
    try:
        print(before_painting(root, run, of_grid(run, steps=run.file.grid_steps), rental))
    except UserError as error:
        print(f"The test grid is painted on this computer, as no GPU is rented for it: {error}")
        return False
    return True


def _done(host: JobHost, root: Path, name: str, asked: TrainArguments, grid_steps: int) -> Job:
    """Have a job done, and show what it says; the job, which has finished. Afterwards a test grid is painted with so
    many sampling steps, or none.

    Raises:
        UserError: it failed.
        StoppedByUser: it was stopped, or goes on without this program.
    """
    place = places.named(root, asked.on)
    assert place
    if place.ray:  # it may have been named by its address
        asked = replace(asked, on=place.on())
    queue = Queue(root)
    job = _left(queue, root, name, asked)
    if is_rented(asked.on) and job is None:
        print(before_renting(root, name, asked, grid_steps))
    elif job is None and (said := time_there(root, name, asked, place)):
        print(said)
    print(places.sent_sentence(place))
    job = job or queue.add(name, asked)
    print(f"Job {job.id}. If this program ends, the job continues there; to follow it again: {_again(job, asked)}")
    shown = _EventPrinter(Workspace(root).job(job.id).events)
    with supervised(host, root):
        stopping = False
        while True:
            try:
                time.sleep(_POLL)
                shown.more()
                job = queue.get(job.id)
                if job.state not in OPEN or (stopping and job.state == "paused"):
                    break
            except KeyboardInterrupt:
                if stopping:
                    raise StoppedByUser(
                        f"Left on {place.name}, where it continues. To follow it again: {_again(job, asked)}",
                        code="training-left-there",
                        place=place.name,
                    ) from None
                stopping = True
                queue.wish(job.id, "stop")
                text = f"Stopping: {place.name} saves, and what it made is brought home. Ctrl+C again: leave it there."
                print(text, file=sys.stderr)
    shown.more()
    if job.state == "finished":
        return job
    if job.state in ("stopped", "paused"):
        raise StoppedByUser(
            f"Stopped; what was trained is kept. Continue with: {_again(job, asked)}", code="training-there-stopped"
        )
    raise _failure(job)


def _failure(job: Job) -> UserError:
    """Why a job has not finished."""
    if job.error and (code := job.code):
        return UserError(job.error, code=code, job=job.id)
    return UserError(job.error or f"The job ended as {job.state}.", code="job-failed", job=job.id)


def _left(queue: Queue, root: Path, name: str, asked: TrainArguments) -> Job | None:
    """The job that is at work on the run already, left there by an earlier program; None where none is.

    Raises:
        UserError: another machine is.
    """
    if not asked.run:
        return None
    folder = Workspace(root).character(name).run(asked.run).path
    loan = loan_of(folder)
    if loan is None:
        return None
    job = queue.get(loan.job)
    if asked_place(job.arguments) != asked.on:
        see_that_it_is_here(folder)
    return job if job.state in ("waiting", "running") else queue.resume(job.id)


def _again(job: Job, asked: TrainArguments) -> str:
    return typed("resume", f"{job.slug}/{job.run}" if job.run else job.character, "--on", asked.on)


@contextmanager
def supervised(host: JobHost, root: Path, lanes: Sequence[Lane] = ("remote",)) -> Iterator[None]:
    """Run jobs while the block runs; where another program does that already, it goes on.

    Args:
        host: the program around SameFace.
        root: the data folder.
        lanes: whose jobs; those of other machines.
    """
    supervisor = Supervisor(root, host, ChosenRunner(root, lambda: host), lanes=lanes)
    supervisor.start()
    try:
        yield
    finally:
        supervisor.close()


class _EventPrinter:
    """Shows a job's events in the terminal."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, path.stat().st_size if path.exists() else 0
        self._terminal, self._lines = Terminal(), ChangingLines(print)

    def more(self) -> None:
        """What is new."""
        events, self._offset = events_after(self._path, self._offset)
        for event in events:
            kind, text = event["kind"], event.get("text")
            if kind == "progress" and isinstance(text, str):
                self._lines(text)
                continue
            if kind == "cost":
                if isinstance(text, str) and text:
                    print(text)
                continue
            fields = {key: value for key, value in event.items() if key not in ("t", "kind")}
            try:
                self._terminal(kind, **fields)
            except (
                ArithmeticError,
                AttributeError,
                KeyError,
                TypeError,
                ValueError,
            ):  # of another version, or not what it should be
                continue
