"""One forward pass: a batch of items at one step to the loss of each. Everything random comes from seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from lib_lora.models.family import Prediction
from lib_lora.training.data.caption_shuffle import words_for
from lib_lora.training.data.conditions import Conditions
from lib_lora.training.data.dataset import Item
from lib_lora.training.objective.noise import sample_noise, sample_timestep, training_noise
from lib_lora.training.objective.objective import add_noise, training_loss
from lib_lora.training.objective.randomness import generator, python_random
from lib_lora.training.plan.train_settings import TrainSettings


class Forward:
    """The objective on one base model.

    Args:
        unet: with its adapters.
        conditions: gives the text's side.
        alphas_cumprod: the noise schedule, [1000].
        prediction: of the base model.
        train: the settings.
        device: where the UNet is.
        autocast: the dtype of the arithmetic, or None for float32.
    """

    def __init__(
        self,
        unet: nn.Module,
        conditions: Conditions,
        alphas_cumprod: torch.Tensor,
        prediction: Prediction,
        train: TrainSettings,
        device: torch.device,
        autocast: torch.dtype | None,
    ) -> None:
        self.unet, self.conditions = unet, conditions
        self.alphas = alphas_cumprod.to(device)
        self.prediction: Prediction = prediction
        self.train, self.device, self.autocast = train, device, autocast
        self.dtype = next(unet.parameters()).dtype

    def training(self, items: Sequence[Item], micro_step: int, first_slot: int = 0) -> torch.Tensor:
        """The loss of each item, [B].

        Args:
            items: of one bucket.
            micro_step: number of this forward pass in the run, over all processes.
            first_slot: place of the first item in the whole batch of all processes, so that each item
                draws the same numbers however many processes share the batch.
        """
        rows, timesteps, captions = [], [], []
        for slot, item in enumerate(items, first_slot):
            draw = generator(self.train.seed, "sample", micro_step, slot)
            latent = item.mean + item.std * sample_noise(item.mean.shape, draw)
            timesteps.append(sample_timestep(self.train.objective, draw))
            rows.append((latent, *training_noise(latent, self.train.objective, draw)))
            random = python_random(self.train.seed, "caption", micro_step, slot)
            captions.append(words_for(item.photo.caption, self.train, random))
        return self._loss(items, rows, timesteps, captions)

    @torch.no_grad()
    def probe(self, items: Sequence[Item], timesteps: Sequence[int]) -> float:
        """The mean loss on fixed noise at fixed timesteps: comparable from step to step, unlike the training loss."""
        total, count = 0.0, 0
        for n, item in enumerate(items):
            for timestep in timesteps:
                noise = sample_noise(item.mean.shape, generator(self.train.seed, "probe", n, timestep))
                row = (item.mean, noise, noise)
                total += float(self._loss([item], [row], [timestep], [item.photo.caption]).sum())
                count += 1
        return total / count

    def _loss(
        self,
        items: Sequence[Item],
        rows: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
        timesteps: Sequence[int],
        captions: Sequence[str],
    ) -> torch.Tensor:
        latents, target, noise = (torch.stack(column).to(self.device) for column in zip(*rows, strict=True))
        times = torch.tensor(timesteps, device=self.device)
        noisy = add_noise(latents, noise, times, self.alphas).to(self.dtype)
        with self._arithmetic():
            words = self.conditions(captions)
            extra: dict[str, Any] = {}
            if words.pooled is not None:
                sizes = torch.tensor([item.placement.size_ids for item in items], device=self.device)
                extra = {"added_cond_kwargs": {"text_embeds": words.pooled.to(self.dtype), "time_ids": sizes}}
            predicted = self.unet(noisy, times, encoder_hidden_states=words.context.to(self.dtype), **extra).sample
        maps = [item.weight_map for item in items]
        weight_map = None
        if any(one is not None for one in maps):
            ones = torch.ones(1, *latents.shape[2:])
            weight_map = torch.stack([ones if one is None else one for one in maps]).to(self.device)
        prior = [item.photo.prior for item in items]
        return training_loss(
            predicted,
            latents,
            target,
            times,
            self.alphas,
            self.prediction,
            self.train.objective,
            weight_map=weight_map,
            is_class=torch.tensor(prior, device=self.device) if any(prior) else None,
        )

    def _arithmetic(self) -> AbstractContextManager[Any]:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast)
