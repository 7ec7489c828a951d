"""The painter of a workflow that was given none: diffusers with the base model, loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lib_lora.grid.cells import Painter
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.training.plan.train_settings import Precision, TrainSettings


def painter_of(painter: Painter | None, info: ModelInfo, train: TrainSettings) -> Callable[[], Painter]:
    """Gives `painter`, or diffusers' with the base model, which is loaded when it is first asked for."""
    if painter is not None:
        return lambda: painter
    return partial(_diffusers, info, train.precision, train.clip_skip)


def _diffusers(info: ModelInfo, precision: Precision, clip_skip: int) -> Painter:
    from lib_lora.grid.diffusers_painter import DiffusersPainter
    from lib_lora.training import distributed
    from lib_lora.training.precision import dtype_of

    return DiffusersPainter(info, distributed.device(), dtype_of(precision), clip_skip)
