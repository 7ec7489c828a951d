"""What the steps of inventing a character share: the base model as a plan, who paints, one process at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lib_lora.errors import StoppedByUser, typed
from lib_lora.grid.cells import Painter
from lib_lora.jobs.invented import Invented, InventPlan, Painted
from lib_lora.jobs.lock import only_process
from lib_lora.models.family import ModelInfo, Prediction, identify
from lib_lora.models.identity import remembered_sha256
from lib_lora.training.settings import Precision, TrainSettings

FIRST_SEED, STEPS = 1, 20
_WAIT = "wait for it, or stop it with Ctrl-C"


def plan_for(root: Path, base: Path, info: ModelInfo, describe: str, seed: int, steps: int) -> InventPlan:
    """The plan of a description on a base model; its hash is remembered in the data folder."""
    digest = remembered_sha256(base, root / "hashes.json")
    return InventPlan(
        describe, str(base.absolute()), digest, info.prediction, seed, steps, info.guidance, info.resolution
    )


def painter_of(painter: Painter | None, info: ModelInfo, train: TrainSettings) -> Callable[[], Painter]:
    """Gives `painter`, or diffusers' with the base model, which is loaded when it is first asked for."""
    if painter is not None:
        return lambda: painter
    return partial(_diffusers, info.path, info.prediction, train.precision, train.clip_skip)


def _diffusers(base: Path, prediction: Prediction, precision: Precision, clip_skip: int) -> Painter:
    from lib_lora.grid.diffusers_painter import DiffusersPainter
    from lib_lora.training import processes
    from lib_lora.training.precision import dtype_of

    info = identify(base, prediction=prediction)
    return DiffusersPainter(info, processes.device(), dtype_of(precision), clip_skip)


@contextmanager
def alone(invented: Invented, command: str) -> Iterator[None]:
    """One process at a time on the folder; a stop by the user says how to go on, with `command`.

    Raises:
        UserError: another process is at work on it.
        StoppedByUser: Ctrl-C was pressed.
    """
    with only_process(invented.path, _WAIT):
        try:
            yield
        except KeyboardInterrupt as stop:
            raise StoppedByUser(f"Stopped; what was painted is kept. Go on with: {command}") from stop


def begin_command(name: str) -> str:
    """What to type first."""
    return typed("invent", name, "--describe", "WHO", "--base", "CHECKPOINT")


def silent(one: Painted) -> None:
    """Is told of a picture and says nothing."""
