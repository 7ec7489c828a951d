"""The main job as one story: photos to a character, a run, its LoRA, the test grid, the first likeness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lib_lora.errors import UserError
from lib_lora.jobs.deliver import add_preview, deliver
from lib_lora.jobs.events import EventLog
from lib_lora.jobs.finish import paint_and_score
from lib_lora.jobs.prepare import new_character, start_run
from lib_lora.jobs.progress import Terminal, both
from lib_lora.models.family import Prediction
from lib_lora.training.loop import train
from lib_lora.training.run import Run, load_run

Sink = Callable[..., None]


def run_main_job(
    root: Path,
    photos: Path,
    name: str,
    trigger: str,
    class_word: str,
    consent: str,
    base: Path,
    out: Path,
    preset: str | None = None,
    overrides: dict[str, Any] | None = None,
    prediction: Prediction | None = None,
    grid_steps: int = 20,
) -> Path | None:
    """From a folder of photos to a LoRA in `out`; returns the file there (None in all processes but the main one).

    See `new_character` and `start_run` for the arguments.

    Raises:
        UserError: one sentence.
        StoppedByUser: stopped; ``resume`` goes on.
    """

    def prepared() -> Run:
        folder, imported = new_character(root, name, trigger, class_word, consent, photos)
        for sentence in imported.skipped:
            print(f"Left out: {sentence}")
        print(f"Character {name}: {len(imported.added)} photos added, {imported.known} were there, in {folder.path}")
        return start_run(root, name, base, preset, overrides, prediction, out, grid_steps)

    return finish_run(by_main_process(prepared))


def finish_run(run: Run) -> Path | None:
    """Train a run to its end and do what it still has to do: deliver, paint, score.

    The LoRA is delivered before anything is painted, so that nothing that goes wrong later can lose it.

    Returns:
        The delivered file, or None where the run names no folder.
    """
    emit = sink(run)
    print(f"Run folder: {run.folder}")
    print(f"To go on after a stop: sameface resume {_quoted(run.folder)}")
    lora = train(run, emit)
    if not is_main_process():
        return None
    print(f"Trained: {lora}")
    delivered = deliver(run, lora, Path(run.file.out)) if run.file.out else None
    if delivered:
        print(f"LoRA: {delivered}")
    if run.file.grid_steps:
        report = paint_and_score(run, None, 1.0, run.file.grid_steps, emit)
        if delivered:
            add_preview(run, delivered, report.preview)
        print(report.text)
    emit("state", state="finished")
    return delivered


def by_main_process(make: Callable[[], Run]) -> Run:
    """A run that the main process makes and all processes of ``accelerate launch`` open.

    Raises:
        UserError: in every process, if `make` raised one.
    """
    from accelerate.utils import broadcast_object_list

    answer: list[str | None] = [None, None]
    if is_main_process():
        try:
            answer[0] = str(make().folder)
        except UserError as error:
            answer[1] = str(error)
    broadcast_object_list(answer)
    if answer[1] is not None or answer[0] is None:
        raise UserError(answer[1] or "the main process made no run.")
    return load_run(Path(answer[0]))


def sink(run: Run) -> Sink:
    """Where a run's events go: its file, and the terminal."""
    if not is_main_process():
        return lambda kind, **fields: None  # noqa: ARG005 - one process speaks for all
    return both(EventLog(run.events), Terminal())


def is_main_process() -> bool:
    """Whether this is the one process, or the first of several that ``accelerate launch`` started."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def _quoted(path: Path) -> str:
    return f'"{path}"' if " " in str(path) else str(path)
