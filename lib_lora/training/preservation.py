"""Output preservation: what prompts without the trigger show, and what other words do, stays as in the base model.

Two things are asked of noisy photos, and the target of both comes from the same model with its adapters switched off,
so that no pictures of the class and no second model are needed:

- Without the trigger the model shall predict what the base does (in the field: "differential output preservation").
- With the trigger, one phrase more shall change the prediction as it changes the base's. Photos alone teach that
  whatever stands beside the trigger means nothing, since the picture is the same for all captions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from lib_lora.character.caption_files import without_character
from lib_lora.character.store import Character
from lib_lora.lora.adapter.adapter_switch import AdapterSwitch
from lib_lora.training.data.preserved_captions import calls, free_caption, joined, phrases_for
from lib_lora.training.forward import Forward, Sample
from lib_lora.training.objective.randomness import python_random
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

    def losses(self, sample: Sample, predicted: torch.Tensor) -> torch.Tensor | None:
        """How far the model is from its targets for some of the items, [K] float32, to be weighted by
        `preservation_weight`; None where it is nobody's turn.

        Which items have a turn, and of which kind, depends on their number in the run alone: `preservation_share` of
        them, evenly spread, of both kinds in alternation.

        Args:
            sample: what is trained in the same step.
            predicted: what the model predicts for it, [B, C, H, W].
        """
        turns = [turn for slot in range(len(sample.items)) if (turn := self._turn(sample, slot))]
        if not turns:
            return None
        asked = _part(sample, [turn.slot for turn in turns], [turn.caption for turn in turns])
        with torch.no_grad(), self.switch.off():
            wanted = self.forward.predicted(replace(asked, captions=[turn.of_base for turn in turns]))
            worded = [number for number, turn in enumerate(turns) if turn.without is not None]
            if worded:
                slots, captions = [turns[n].slot for n in worded], [turns[n].without or "" for n in worded]
                effect = wanted[worded] - self.forward.predicted(_part(sample, slots, captions))
                wanted[worded] = predicted.detach()[slots].to(wanted.dtype) + effect
        return self.forward.objective.difference(self.forward.predicted(asked), wanted, asked.times)

    def _turn(self, sample: Sample, slot: int) -> _Turn | None:
        if sample.items[slot].photo.prior:
            return None  # a class picture is trained without the trigger anyway
        batch, share = self.train.batch_size * self.processes, self.train.preservation_share
        number = sample.micro_step * batch + sample.first_slot + slot
        before, turn = math.floor(number * share), math.floor((number + 1) * share)
        if turn == before:
            return None
        caption = sample.captions[slot]
        random = python_random(self.train.seed, "preservation", sample.micro_step, sample.first_slot + slot)
        if turn % 2 or not calls(caption, self.character):
            free = free_caption(caption, self.character, random)
            return _Turn(slot, free, free)
        plain, phrase = without_character(caption, self.character), random.choice(phrases_for(caption))
        return _Turn(slot, joined(caption, phrase), joined(plain, phrase), plain)


@dataclass(frozen=True)
class _Turn:
    """What is asked of one item: the model under `caption`, the base under `of_base`, and where a phrase's effect is
    the target, the base under `without` it."""

    slot: int
    caption: str
    of_base: str
    without: str | None = None


def _part(sample: Sample, slots: Sequence[int], captions: Sequence[str]) -> Sample:
    """Some of the items under other captions."""
    chosen = list(slots)
    return replace(
        sample,
        items=[sample.items[slot] for slot in chosen],
        captions=list(captions),
        latents=sample.latents[chosen],
        target=sample.target[chosen],
        noisy=sample.noisy[chosen],
        times=sample.times[chosen],
    )
