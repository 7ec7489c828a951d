"""Computes the loss of each item of a batch at one step.

Everything random is derived from seed and step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from lib_lora.models.families.model_family import ModelFamily
from lib_lora.models.text_conditioning import Conditioning
from lib_lora.training.data.caption_shuffle import words_for
from lib_lora.training.data.conditions import Conditions
from lib_lora.training.data.dataset import Item
from lib_lora.training.objective.noise import sample_noise
from lib_lora.training.objective.objectives import Objective
from lib_lora.training.objective.randomness import generator, python_random
from lib_lora.training.plan.train_settings import TrainSettings


@dataclass(frozen=True)
class Sample:
    """Items of one bucket at one step, with all that is drawn for them.

    Attributes:
        items: what is trained.
        captions: of each item, as it is heard in this step.
        latents, target, noisy: clean, what the denoiser should predict, and its input, [B, C, H, W] float32.
        times: [B].
        micro_step, first_slot: see `Forward.draw`.
    """

    items: list[Item]
    captions: list[str]
    latents: torch.Tensor
    target: torch.Tensor
    noisy: torch.Tensor
    times: torch.Tensor
    micro_step: int = 0
    first_slot: int = 0


class Forward:
    """The objective on one base model.

    Args:
        denoiser: with its adapters.
        conditions: gives the text's side.
        objective: noise, target and loss.
        family: of the base model; it knows how the denoiser is called.
        train: the settings.
        device: where the denoiser is.
        autocast: the dtype of the arithmetic, or None for float32.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        conditions: Conditions,
        objective: Objective,
        family: ModelFamily,
        train: TrainSettings,
        device: torch.device,
        autocast: torch.dtype | None,
    ) -> None:
        self.denoiser, self.conditions = denoiser, conditions
        self.objective, self.family = objective, family
        self.train, self.device, self.autocast = train, device, autocast
        self.dtype = next(denoiser.parameters()).dtype

    def draw(self, items: Sequence[Item], micro_step: int, first_slot: int = 0) -> Sample:
        """Draw noise, time and words of each item.

        Args:
            items: of one bucket.
            micro_step: number of this forward pass in the run, over all processes.
            first_slot: place of the first item in the whole batch of all processes, so that each item
                draws the same numbers however many processes share the batch.
        """
        rows, times, captions = [], [], []
        for slot, item in enumerate(items, first_slot):
            draw = generator(self.train.seed, "sample", micro_step, slot)
            latent = item.mean + item.std * sample_noise(item.mean.shape, draw)
            times.append(self.objective.draw_time(draw))
            rows.append((latent, *self.objective.draw_noise(latent, draw)))
            random = python_random(self.train.seed, "caption", micro_step, slot)
            captions.append(words_for(item.photo.caption, self.train, random))
        return replace(self._sample(items, rows, times, captions), micro_step=micro_step, first_slot=first_slot)

    def training(self, sample: Sample) -> torch.Tensor:
        """The loss of each item, [B]."""
        return self.loss(sample, self.predicted(sample))

    def loss(self, sample: Sample, predicted: torch.Tensor) -> torch.Tensor:
        """The loss of each item, [B], where the denoiser has `predicted` this, [B, C, H, W]."""
        maps = [item.weight_map for item in sample.items]
        weight_map = None
        if any(one is not None for one in maps):
            ones = torch.ones(1, *sample.latents.shape[2:])
            weight_map = torch.stack([ones if one is None else one for one in maps]).to(self.device)
        prior = [item.photo.prior for item in sample.items]
        is_class = torch.tensor(prior, device=self.device) if any(prior) else None
        return self.objective.loss(predicted, sample.latents, sample.target, sample.times, weight_map, is_class)

    @torch.no_grad()
    def probe(self, items: Sequence[Item], timesteps: Sequence[int]) -> float:
        """The mean loss on fixed noise at fixed timesteps: comparable from step to step, unlike the training loss."""
        total, count = 0.0, 0
        for n, item in enumerate(items):
            for timestep in timesteps:
                noise = sample_noise(item.mean.shape, generator(self.train.seed, "probe", n, timestep))
                row = (item.mean, noise, noise)
                sample = self._sample([item], [row], [timestep], [item.photo.caption])
                total += float(self.training(sample).sum())
                count += 1
        return total / count

    def predicted(self, sample: Sample) -> torch.Tensor:
        """What the denoiser predicts for the noisy latents of a sample under its captions, [B, C, H, W]."""
        with self.arithmetic():
            words = self.conditions(sample.captions)
            sizes = [item.placement.size_ids for item in sample.items]
            return self.denoised(sample.noisy, sample.times, words, sizes)

    def _sample(
        self,
        items: Sequence[Item],
        rows: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
        times_drawn: Sequence[float],
        captions: Sequence[str],
    ) -> Sample:
        latents, target, noise = (torch.stack(column).to(self.device) for column in zip(*rows, strict=True))
        times = torch.tensor(times_drawn, device=self.device)
        noisy = self.objective.noisy(latents, noise, times)
        return Sample(list(items), list(captions), latents, target, noisy, times)

    def denoised(
        self, latents: torch.Tensor, times: torch.Tensor, words: Conditioning, sizes: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        """What the denoiser predicts for noisy latents; see `ModelFamily.denoise`."""
        return self.family.denoise(self.denoiser, latents.to(self.dtype), times, words, sizes)

    def arithmetic(self) -> AbstractContextManager[Any]:
        """The arithmetic of training, while the block runs."""
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast)
