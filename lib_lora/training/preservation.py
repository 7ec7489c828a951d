"""Preserves outputs: trains some prompts to give what the frozen base model predicts.

Prompts without the trigger word are trained to show nobody in particular; and under much noise, where a picture's
layout is decided rather than a face, a phrase beside the trigger word is trained to do what it does in the base model.
The target comes from the same model with its adapters switched off, so it needs no pictures of the class and no second
model (in the field: "differential output preservation"). The noisy latents are those of the photos, and for a share of
the prompts without the trigger word those of pictures that the base model painted from them: such a prompt leads there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from lib_lora.character.store import Character
from lib_lora.lora.adapter.adapter_switch import AdapterSwitch
from lib_lora.training.data.buckets import LATENT_PIXELS
from lib_lora.training.forward import Forward, Sample
from lib_lora.training.objective.randomness import generator, python_random
from lib_lora.training.painted_latents import PaintedLatent, Stopped, square
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
        paint: gives what the base model paints, unless it is told to stop; None = the photos take its place.
    """

    def __init__(
        self,
        forward: Forward,
        switch: AdapterSwitch,
        characters: Sequence[Character],
        train: TrainSettings,
        processes: int = 1,
        paint: Callable[[Callable[[], bool]], list[PaintedLatent]] | None = None,
    ) -> None:
        self.forward, self.switch = forward, switch
        self.train, self.processes, self.paint = train, processes, paint
        self._painted: list[PaintedLatent] = []
        self._own_first = own_first(characters)
        self._prompts = {name: phrase_prompts(ordered) for name, ordered in self._own_first.items()}

    def losses(self, sample: Sample) -> Iterator[torch.Tensor]:
        """What is added to the loss of a sample, the sum over its items, each part a scalar with a graph of its own."""
        free = self.train.preservation_weight
        parts = ((free, self.free_losses), (free, self.painted_losses), (self.train.phrase_weight, self.phrase_losses))
        for weight, losses in parts:
            if weight and (apart := losses(sample)) is not None:
                yield weight * apart.sum()

    def prepare(self, steps: range, stop: Callable[[], bool]) -> None:
        """Have painted what some forward passes will need, if any does and it is not there yet.

        Args:
            steps: of the forward passes, as `Sample.micro_step` counts them.
            stop: whether to give up; whichever pass needs it then has it painted.
        """
        batch = self.train.batch_size * self.processes
        items = range(steps.start * batch, steps.stop * batch)
        if self.train.preservation_weight and not self._painted and any(map(self._is_painted, items)):
            self._paint(stop)

    def free_losses(self, sample: Sample) -> torch.Tensor | None:
        """How far the model is from the base without the trigger word, for the photos of some items, [K] float32; None
        where it is nobody's turn.

        The captions are those of `free_caption`. Which items have a turn depends on their number in the run alone:
        `preservation_share` of them, evenly spread, but for those of `painted_losses`.
        """
        slots = [slot for slot in range(len(sample.items)) if self._has_turn(sample, slot, painted=False)]
        captions = [self._caption(sample, slot) for slot in slots]
        return self._losses(sample, slots, captions, captions)

    def painted_losses(self, sample: Sample) -> torch.Tensor | None:
        """The same for latents that the base model painted, which take the photos' place in `preservation_painted` of
        the turns, evenly spread. Noise and times are their own, the caption is that from which each was painted."""
        slots = [slot for slot in range(len(sample.items)) if self._has_turn(sample, slot, painted=True)]
        if slots and not self._painted:
            self._paint(lambda: False)
        if not slots or not self._painted:
            return None
        objective, step, device = self.forward.objective, sample.micro_step, sample.latents.device
        chosen, noises, times = [], [], []
        for slot in slots:
            place = sample.first_slot + slot
            draw = generator(self.train.seed, "painted", step, place)
            one = python_random(self.train.seed, "painted", step, place).choice(self._painted)
            chosen.append(one)
            times.append(objective.draw_time(draw))
            noises.append(objective.draw_noise(one.latent, draw)[1])
        latents = torch.stack([one.latent for one in chosen]).to(device)
        at = torch.tensor(times, device=device)
        captions = [one.caption for one in chosen]
        placed = square(latents.shape[-1] * LATENT_PIXELS)
        painted = replace(
            sample,
            items=[replace(sample.items[slot], placement=placed) for slot in slots],
            latents=latents,
            noisy=objective.noisy(latents, torch.stack(noises).to(device), at),
            times=at,
        )
        return self._difference(painted, captions, captions)

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
        some = replace(
            sample,
            items=[sample.items[slot] for slot in slots],
            latents=sample.latents[slots],
            target=sample.target[slots],
            noisy=sample.noisy[slots],
            times=sample.times[slots],
        )
        return self._difference(some, captions, of_base)

    def _difference(self, sample: Sample, captions: list[str], of_base: list[str]) -> torch.Tensor:
        """How far the model under `captions` is from the base under `of_base`, [B] float32."""
        with torch.no_grad(), self.switch.off():
            wanted = self.forward.predicted(replace(sample, captions=of_base))
        predicted = self.forward.predicted(replace(sample, captions=captions))
        return self.forward.objective.difference(predicted, wanted, sample.times)

    def _has_turn(self, sample: Sample, slot: int, painted: bool) -> bool:
        if sample.items[slot].photo.prior:
            return False  # a class picture is trained without the trigger anyway
        number = sample.micro_step * self.train.batch_size * self.processes + sample.first_slot + slot
        return _turn(number, self.train.preservation_share) is not None and self._is_painted(number) == painted

    def _is_painted(self, number: int) -> bool:
        """Whether the item of this number has a turn, and that of a painted latent."""
        turn = _turn(number, self.train.preservation_share)
        return bool(self.paint) and turn is not None and _turn(turn, self.train.preservation_painted) is not None

    def _paint(self, stop: Callable[[], bool]) -> None:
        if self.paint:
            with suppress(Stopped):
                self._painted = self.paint(stop)
                if not self._painted:
                    self.paint = None  # nothing but what is no number: the photos take its place

    def _caption(self, sample: Sample, slot: int) -> str:
        random = python_random(self.train.seed, "preservation", sample.micro_step, sample.first_slot + slot)
        return free_caption(sample.captions[slot], self._own_first[sample.items[slot].photo.of], random)


def _turn(number: int, share: float) -> int | None:
    """Which turn, counted from 0, the one of this number has; None where it is among those that have none. So many have
    one as `share` says, evenly spread."""
    before = math.floor(number * share)
    return before if math.floor((number + 1) * share) > before else None
