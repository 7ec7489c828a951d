"""Computes the objective of Stable Diffusion 1, 2 and XL: a fixed noise schedule, noise or velocity prediction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lib_lora.models.families.model_family import ModelInfo
from lib_lora.models.noise_schedule import noise_schedule
from lib_lora.training.objective.diffusion_loss import (
    add_noise,
    clean_latents,
    elementwise_loss,
    huber_threshold,
    timestep_weights,
    velocity,
)
from lib_lora.training.objective.noise import sample_timestep, training_noise
from lib_lora.training.objective.objective_settings import ObjectiveSettings


@dataclass(frozen=True)
class DiffusionObjective:
    """See `objectives.Objective`; times are whole numbers.

    Attributes:
        alphas_cumprod: the noise schedule, [1000].
        prediction: what the denoiser predicts, "epsilon" or "v".
        settings: the knobs.
    """

    alphas_cumprod: torch.Tensor
    prediction: str
    settings: ObjectiveSettings

    @classmethod
    def of_model(cls, info: ModelInfo, settings: ObjectiveSettings, device: torch.device) -> DiffusionObjective:
        """The objective of a base model.

        Raises:
            UserError: the settings do not fit its prediction.
        """
        settings.check(info.prediction)
        return cls(noise_schedule(info.zero_terminal_snr).to(device), info.prediction, settings)

    def draw_time(self, draw: torch.Generator) -> float:
        """See `Objective`."""
        return sample_timestep(self.settings, draw)

    def draw_noise(self, latent: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Objective`."""
        return training_noise(latent, self.settings, draw)

    def noisy(self, latents: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """See `Objective`."""
        return add_noise(latents, noise, times, self.alphas_cumprod)

    def loss(
        self,
        predicted: torch.Tensor,
        latents: torch.Tensor,
        noise: torch.Tensor,
        times: torch.Tensor,
        weight_map: torch.Tensor | None = None,
        is_class: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Objective`. The mean of this over the whole batch is what is minimised.

        Args:
            predicted: the UNet's output, [B, C, H, W], any float type.
            latents: the clean latents, scaled by the VAE's factor, [B, C, H, W].
            noise: the target noise, [B, C, H, W] (without ip-noise, which only the UNet's input gets).
            times: [B] whole numbers.
            weight_map: what each latent cell counts, [B, 1, H, W], area-resized from pixels by the caller. The loss
                is a plain mean over all cells, as in kohya: a map whose mean is not 1 changes the size of the loss.
            is_class: [B] true for class pictures, which count `prior_loss_weight`.

        Raises:
            UserError: the settings do not fit the prediction type.
        """
        target = noise if self.prediction == "epsilon" else velocity(latents, noise, times, self.alphas_cumprod)
        each = self.difference(predicted, target, times, weight_map)
        if is_class is not None:
            each = each * (1 + is_class.to(each.device).float() * (self.settings.prior_loss_weight - 1))
        return each

    def difference(
        self,
        predicted: torch.Tensor,
        wanted: torch.Tensor,
        times: torch.Tensor,
        weight_map: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """See `Objective`; `weight_map` as of `loss`.

        Raises:
            UserError: the settings do not fit the prediction type.
        """
        settings, schedule = self.settings, self.alphas_cumprod
        threshold = None
        if settings.loss_type in ("huber", "smooth_l1"):
            threshold = huber_threshold(times, schedule, settings.huber_c, settings.huber_schedule)
        loss = elementwise_loss(predicted, wanted, settings.loss_type, threshold)
        if weight_map is not None:
            loss = loss * weight_map.to(loss.device).float()
        each = loss.flatten(1).mean(dim=1)
        return each * timestep_weights(times, schedule, self.prediction, settings).to(each.device)

    def clean(self, predicted: torch.Tensor, noisy: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """See `Objective`."""
        return clean_latents(predicted, noisy, times, self.alphas_cumprod, self.prediction)

    def paint(
        self, predict: Callable[[torch.Tensor, float], torch.Tensor], noise: torch.Tensor, steps: int
    ) -> torch.Tensor:
        """See `Objective`."""
        return euler(predict, noise, self.alphas_cumprod.cpu(), self.prediction, steps)


def euler(
    predict: Callable[[torch.Tensor, int], torch.Tensor],
    noise: torch.Tensor,
    alphas_cumprod: torch.Tensor,
    prediction: str,
    steps: int,
) -> torch.Tensor:
    """From noise to a latent by Euler's method, as webuis do it.

    Written as DDIM without noise, which is the same (Song et al., arXiv 2010.02502, section 4.3) and holds for a
    schedule that ends in pure noise too.

    Args:
        predict: (latents, timestep) to the model's guided prediction of the same shape.
        noise: [B, C, h, w] float32.
        alphas_cumprod: the schedule, [1000].
        prediction: what `predict` predicts.
        steps: at least 1.
    """
    times = torch.linspace(len(alphas_cumprod) - 1, 0, steps).round().long().tolist()
    left = [max(float(alphas_cumprod[time]), 1e-8 if prediction == "epsilon" else 0.0) for time in times]
    latents = noise * math.sqrt(1 - left[0])
    for time, here, there in zip(times, left, [*left[1:], 1.0], strict=True):
        picture, rest = math.sqrt(here), math.sqrt(1 - here)
        said = predict(latents, time)
        if prediction == "v":
            clean, wrong = picture * latents - rest * said, picture * said + rest * latents
        else:
            clean, wrong = (latents - rest * said) / picture, said
        latents = math.sqrt(there) * clean + math.sqrt(1 - there) * wrong
    return latents
