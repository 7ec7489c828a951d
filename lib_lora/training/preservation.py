"""Preserves outputs: trains some prompts to give what the frozen base model predicts.

Prompts without the trigger word are trained to show nobody in particular; and under much noise, where a picture's
layout is decided rather than a face, a phrase beside the trigger word is trained to do what it does in the base model.
The target comes from the same model with its adapters switched off, so it needs no pictures of the class and no second
model (in the field: "differential output preservation").
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from lib_lora.character.store import Character
from lib_lora.lora.adapter.adapter_switch import AdapterSwitch
from lib_lora.training.forward import Forward, Sample
from lib_lora.training.objective.randomness import python_random
from lib_lora.training.plan.preserved_captions import free_caption, own_first, phrase_prompts
from lib_lora.training.plan.train_settings import TrainSettings


class OutputPreservation:
    """Its parts of the loss, for the samples of a training.

    Args:
        forward: of the training.
        switch: of the adapters in all parts.
        characters: of the LoRA, the run's own first, whose triggers are left out, or joined with phrases.
        train: the settings.
        processes: that share each batch.
    """

    def __init__(
        self,
        forward: Forward,
        switch: AdapterSwitch,
        characters: Sequence[Character],
        train: TrainSettings,
        processes: int = 1,
    ) -> None:
        self.forward, self.switch = forward, switch
        self.train, self.processes = train, processes
        self._own_first = own_first(characters)
        self._prompts = {name: phrase_prompts(ordered) for name, ordered in self._own_first.items()}

    def losses(self, sample: Sample) -> Iterator[torch.Tensor]:
        """What is added to the loss of a sample, the sum over its items, each part a scalar with a graph of its own."""
        parts = ((self.train.preservation_weight, self.free_losses), (self.train.phrase_weight, self.phrase_losses))
        for weight, losses in parts:
            if weight and (apart := losses(sample)) is not None:
                yield weight * apart.sum()

    def free_losses(self, sample: Sample) -> torch.Tensor | None:
        """How far the model is from the base without the trigger word, for some of the items, [K] float32; None where
        it is nobody's turn.

        The captions are those of `free_caption`. Which items have a turn depends on their number in the run alone:
        `preservation_share` of them, evenly spread.
        """
        slots = [slot for slot in range(len(sample.items)) if self._has_turn(sample, slot)]
        captions = [self._caption(sample, slot) for slot in slots]
        return self._losses(sample, slots, captions, captions)

    def phrase_losses(self, sample: Sample) -> torch.Tensor | None:
        """How far the model with the trigger word and a phrase is from the base with the class word and the phrase, for
        `phrase_share` of the items from `phrase_timesteps` on, [K] float32; None where it is nobody's turn."""
        slots, prompts = [], []
        times = sample.times.tolist()
        for slot, item in enumerate(sample.items):
            random = python_random(self.train.seed, "phrases", sample.micro_step, sample.first_slot + slot)
            turn, prompt = random.random() < self.train.phrase_share, random.choice(self._prompts[item.photo.of])
            if turn and times[slot] >= self.train.phrase_timesteps and not item.photo.prior:
                slots.append(slot)
                prompts.append(prompt)
        return self._losses(sample, slots, [one.ours for one in prompts], [one.of_base for one in prompts])

    def _losses(self, sample: Sample, slots: list[int], captions: list[str], of_base: list[str]) -> torch.Tensor | None:
        """How far the model under `captions` is from the base under `of_base`, for the noisy latents of some items."""
        if not slots:
            return None
        asked = replace(
            sample,
            items=[sample.items[slot] for slot in slots],
            captions=captions,
            latents=sample.latents[slots],
            target=sample.target[slots],
            noisy=sample.noisy[slots],
            times=sample.times[slots],
        )
        with torch.no_grad(), self.switch.off():
            wanted = self.forward.predicted(replace(asked, captions=of_base))
        return self.forward.objective.difference(self.forward.predicted(asked), wanted, asked.times)

    def _has_turn(self, sample: Sample, slot: int) -> bool:
        if sample.items[slot].photo.prior:
            return False  # a class picture is trained without the trigger anyway
        batch, share = self.train.batch_size * self.processes, self.train.preservation_share
        number = sample.micro_step * batch + sample.first_slot + slot
        return math.floor((number + 1) * share) > math.floor(number * share)

    def _caption(self, sample: Sample, slot: int) -> str:
        random = python_random(self.train.seed, "preservation", sample.micro_step, sample.first_slot + slot)
        return free_caption(sample.captions[slot], self._own_first[sample.items[slot].photo.of], random)
