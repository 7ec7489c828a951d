"""Preserves outputs: trains prompts without the trigger word to give what the frozen base model predicts.

The target comes from the same model with its adapters switched off, so it needs no pictures of the class and no second
model (in the field: "differential output preservation").
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from lib_lora.character.store import Character
from lib_lora.lora.adapter.adapter_switch import AdapterSwitch
from lib_lora.training.forward import Forward, Sample
from lib_lora.training.objective.randomness import python_random
from lib_lora.training.plan.preserved_captions import free_caption
from lib_lora.training.plan.train_settings import TrainSettings


class OutputPreservation:
    """Its part of the loss, for the samples of a training.

    Args:
        forward: of the training.
        switch: of the adapters in all parts.
        character: whose trigger is left out.
        train: the settings.
        processes: that share each batch.
    """

    def __init__(
        self, forward: Forward, switch: AdapterSwitch, character: Character, train: TrainSettings, processes: int = 1
    ) -> None:
        self.forward, self.switch, self.character = forward, switch, character
        self.train, self.processes = train, processes

    def losses(self, sample: Sample) -> torch.Tensor | None:
        """How far the model is from the base for some of the items, [K] float32, to be weighted by
        `preservation_weight`; None where it is nobody's turn.

        The noisy latents are those of the sample, the captions those of `free_caption`. Which items have a turn depends
        on their number in the run alone: `preservation_share` of them, evenly spread.
        """
        turns = [slot for slot in range(len(sample.items)) if self._has_turn(sample, slot)]
        if not turns:
            return None
        asked = replace(
            sample,
            items=[sample.items[slot] for slot in turns],
            captions=[self._caption(sample, slot) for slot in turns],
            latents=sample.latents[turns],
            target=sample.target[turns],
            noisy=sample.noisy[turns],
            times=sample.times[turns],
        )
        with torch.no_grad(), self.switch.off():
            wanted = self.forward.predicted(asked)
        return self.forward.objective.difference(self.forward.predicted(asked), wanted, asked.times)

    def _has_turn(self, sample: Sample, slot: int) -> bool:
        if sample.items[slot].photo.prior:
            return False  # a class picture is trained without the trigger anyway
        batch, share = self.train.batch_size * self.processes, self.train.preservation_share
        number = sample.micro_step * batch + sample.first_slot + slot
        return math.floor((number + 1) * share) > math.floor(number * share)

    def _caption(self, sample: Sample, slot: int) -> str:
        random = python_random(self.train.seed, "preservation", sample.micro_step, sample.first_slot + slot)
        return free_caption(sample.captions[slot], self.character, random)
