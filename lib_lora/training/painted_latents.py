"""Paints latents with the modules that are trained: for sample pictures, and by the frozen base model for output
preservation.

Sizes are multiples of 64 pixels. Nothing is drawn from torch's own random numbers, which the training uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from lib_lora.lora.adapter.adapter_switch import AdapterSwitch
from lib_lora.training.data.buckets import LATENT_PIXELS, Bucket, Placement
from lib_lora.training.forward import Forward

_TOGETHER = 512 * 512 * 2  # pixels that are painted at a time; with guidance the batch is twice that
_WHOLE = 64  # sides of a picture are multiples of this: a latent's side is halved up to three times


class Stopped(Exception):
    """Somebody asked for the end of the run while a picture was painted."""


@dataclass(frozen=True)
class PaintedLatent:
    """What the frozen base model painted.

    Attributes:
        caption: from which.
        latent: clean, [C, h, w] float32 on the CPU.
    """

    caption: str
    latent: torch.Tensor


@dataclass(frozen=True)
class LatentSampling:
    """How pictures are painted: their side in pixels, the scale of classifier-free guidance, and the steps."""

    side: int
    guidance: float
    steps: int


def painted_side(resolution: int) -> int:
    """The side of pictures that are painted while `resolution` is trained, in pixels."""
    return max(_WHOLE, resolution // _WHOLE * _WHOLE)


def painted_together(side: int) -> int:
    """How many pictures of this side are painted at a time."""
    return max(1, _TOGETHER // side**2)


def square(side: int) -> Placement:
    """Where a painted picture lies: the whole of it in a bucket of its size."""
    return Placement((side, side), Bucket(side, side), (side, side), 0, 0)


def paint_latents(
    forward: Forward,
    prompts: Sequence[str],
    negatives: Sequence[str],
    draws: Iterable[torch.Generator],
    sampling: LatentSampling,
    stop: Callable[[], bool],
) -> torch.Tensor:
    """The latents of some pictures, [B, C, h, w] float32, by the objective's own way of painting.

    Args:
        forward: of the training.
        prompts, negatives: of each picture.
        draws: for the noise of each picture.
        sampling: how they are painted.
        stop: whether to give up.

    Raises:
        Stopped: it was asked to.
    """
    cells, guidance = sampling.side // LATENT_PIXELS, sampling.guidance
    shape = (1, forward.family.latent_channels, cells, cells)
    noise = torch.cat([torch.randn(shape, generator=draw) for draw in draws]).to(forward.device)
    with torch.no_grad(), forward.arithmetic():
        words = forward.conditions([*negatives, *prompts])
        sizes = [square(sampling.side).size_ids] * 2 * len(prompts)

        def predict(latents: torch.Tensor, time: float) -> torch.Tensor:
            if stop():
                raise Stopped
            times = torch.full((len(sizes),), time, device=forward.device)
            said = forward.denoised(latents.repeat(2, 1, 1, 1), times, words, sizes)
            without, with_ = said.float().chunk(2)
            guided: torch.Tensor = without + guidance * (with_ - without)
            return guided

        return forward.objective.paint(predict, noise, sampling.steps)


def paint_base(
    forward: Forward,
    switch: AdapterSwitch,
    captions: Sequence[str],
    draw: Callable[[int], torch.Generator],
    sampling: LatentSampling,
    stop: Callable[[], bool],
) -> torch.Tensor:
    """What the frozen base model paints from each of the captions: latents, [B, C, h, w] float32 on the CPU. Half
    precision may overflow: then a latent holds what is no number.

    Args:
        forward: of the training.
        switch: of the adapters.
        captions: none of which calls a character.
        draw: gives the generator of the noise, by the number of the caption.
        sampling, stop: see `paint_latents`.

    Raises:
        Stopped: it was asked to.
    """
    found: list[torch.Tensor] = []
    size = painted_together(sampling.side)
    try:
        with switch.off():
            for first in range(0, len(captions), size):
                some = captions[first : first + size]
                draws = [draw(first + number) for number in range(len(some))]
                found.append(paint_latents(forward, some, [""] * len(some), draws, sampling, stop).cpu())
    finally:
        give_back(forward.device)
    return torch.cat(found)


def give_back(device: torch.device) -> None:
    """Give back what torch keeps for the next picture: it is more than some GPUs have beside a training."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
