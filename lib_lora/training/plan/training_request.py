"""Holds what a command, a route or a job asks of a training, in one object that is passed on to the run.

Loads no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_lora.models.families.model_family import Prediction


@dataclass(frozen=True)
class TrainingRequest:
    """A new run, as it was asked for.

    Attributes:
        base: the checkpoint file.
        preset: None = the one for this base model.
        overrides: settings laid over the preset, by name (`training.plan.train_settings.TrainSettings`).
        prediction: overrides what the checkpoint says of itself.
        out: where the finished LoRA should go, if anywhere.
        grid_steps: sampling steps of the test grid at the end; 0 = none.
        few: train although there are fewer photos than can teach a face that holds.
        fit: change what `overrides` leaves open so that a GPU's memory suffices, and print it.
        elsewhere: another machine trains it, which says which precision it has (`workflows.train.prepare.settle`).
    """

    base: Path
    preset: str | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    prediction: Prediction | None = None
    out: Path | None = None
    grid_steps: int = 0
    few: bool = False
    fit: bool = False
    elsewhere: bool = False
