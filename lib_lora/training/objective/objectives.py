"""Defines a training objective, and gives each by the name that model families use (`ModelFamily.objective`).

Times are counted in thousandths of the way from picture to noise, whatever the objective: 0 is the picture, 999 nearly
all noise. Shapes: B pictures, C latent channels, H x W latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch

from lib_lora.models.families.model_family import ModelInfo
from lib_lora.training.objective.diffusion_objective import DiffusionObjective
from lib_lora.training.objective.objective_settings import ObjectiveSettings

Predict = Callable[[torch.Tensor, float], torch.Tensor]


class Objective(Protocol):
    """How a denoiser is trained: what noise is put on a picture, what it should predict, and how wrong it was."""

    def draw_time(self, draw: torch.Generator) -> float:
        """A time for one picture."""
        ...

    def draw_noise(self, latent: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The noise of one latent [C, H, W]: what the denoiser should predict, and what is put on its input."""
        ...

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The denoiser's input, [B, C, H, W] float32, with times [B]."""
        ...

    def loss(
        self,
        predicted: torch.Tensor,
        latents: torch.Tensor,
        noise: torch.Tensor,
        times: torch.Tensor,
        weight_map: torch.Tensor | None = None,
        is_class: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss of each picture, [B] float32.

        Args:
            predicted: what the denoiser gave for `noisy`, [B, C, H, W].
            latents: the clean latents.
            noise: what it should predict.
            times: [B].
            weight_map: what each latent cell counts, [B, 1, H, W].
            is_class: [B] true for class pictures, which count less.
        """
        ...

    def difference(self, predicted: torch.Tensor, wanted: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """How far a prediction is from another one, measured and weighted as in `loss`, [B] float32.

        Args:
            predicted, wanted: what denoisers gave for the same input, [B, C, H, W].
            times: [B].
        """
        ...

    def clean(self, predicted: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The clean latents that a prediction means, [B, C, H, W] float32.

        Args:
            predicted: what the denoiser gave for `noisy`, [B, C, H, W].
            noisy: its input.
            times: [B].
        """
        ...

    def paint(self, predict: Predict, noise: torch.Tensor, steps: int) -> torch.Tensor:
        """From noise [B, C, H, W] to a latent, with so many calls of `predict` (latents, time)."""
        ...


Make = Callable[[ModelInfo, ObjectiveSettings, torch.device], Objective]
_OBJECTIVES: dict[str, Make] = {"diffusion": DiffusionObjective.of_model}


def make_objective(info: ModelInfo, settings: ObjectiveSettings, device: torch.device) -> Objective:
    """The objective of a base model.

    Raises:
        UserError: the settings do not fit the model.
    """
    return _OBJECTIVES[info.model_family.objective](info, settings, device)


@contextmanager
def registered(name: str, make: Make) -> Iterator[None]:
    """Know one more objective inside the block."""
    if name in _OBJECTIVES:
        raise ValueError(f"there is an objective {name!r} already.")
    _OBJECTIVES[name] = make
    try:
        yield
    finally:
        del _OBJECTIVES[name]
