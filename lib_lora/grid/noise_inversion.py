"""Computes the noise from which a model would paint a given picture, by Euler's sampling run backwards.

Painted over with that noise, a picture stays what it is but for what the prompt changes; with other noise a model
paints another face, and with the noise of a picture that it was made from, that picture comes back. Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def noise_of(latents: torch.Tensor, scheduler: Any, first: int, predict: Predict) -> torch.Tensor:
    """The noise that sampling from step `first` on makes these latents of.

    Args:
        latents: of pictures, [B, C, h, w], float32.
        scheduler: Euler's, with its timesteps set.
        first: step of its schedule, 0 = its beginning; less than their number.
        predict: what the model says without guidance, of latents that are scaled for it and a timestep; float32.

    Returns:
        [B, C, h, w], about standard normal.
    """
    sigmas = [float(sigma) for sigma in scheduler.sigmas[first:]]
    times = scheduler.timesteps[first:]
    there = latents
    for step in range(len(times) - 1, -1, -1):
        low, high = sigmas[step + 1], sigmas[step]
        time = times[step + 1] if low else torch.zeros_like(times[step])
        scaled = there / (low**2 + 1) ** 0.5
        there = there + (high - low) * _noise_in(scaled, predict(scaled, time), low, scheduler)
    return (there - latents) / sigmas[0]


def _noise_in(scaled: torch.Tensor, predicted: torch.Tensor, sigma: float, scheduler: Any) -> torch.Tensor:
    """The noise that a prediction says is in latents."""
    if scheduler.config.prediction_type == "epsilon":
        return predicted
    return torch.div(predicted + sigma * scaled, (sigma**2 + 1) ** 0.5)
