"""Draws the noise of one picture at one step, from one generator.

Everything is drawn for each picture alone, on the CPU in float32 (kohya draws for the batch): a picture gets the same
noise whichever process trains it and whatever lies beside it in the batch. The module knows no schedule and no loss.
Shapes: one latent, [C, H, W].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from lib_lora.training.objective.objective_settings import ObjectiveSettings


def sample_noise(shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    """Standard normal numbers of this shape, float32, on the CPU."""
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


def sample_timestep(settings: ObjectiveSettings, generator: torch.Generator) -> int:
    """A timestep, each of min_timestep .. max_timestep - 1 equally likely."""
    return int(torch.randint(settings.min_timestep, settings.max_timestep, (1,), generator=generator).item())


def offset_noise(
    noise: torch.Tensor, latent: torch.Tensor, offset: float, adaptive_scale: float, generator: torch.Generator
) -> torch.Tensor:
    """Add one normal number per channel, times the offset (crosslabs.org, "Diffusion with offset noise").

    Args:
        noise: [C, H, W] float32.
        latent: the clean latent, [C, H, W]; its |mean| per channel, times `adaptive_scale`, is added to the offset.
        offset: usual 0.03 to 0.1.
        adaptive_scale: may be negative; the sum is never less than 0.
    """
    strength = torch.full((noise.shape[0], 1, 1), offset)
    if adaptive_scale:
        mean = latent.detach().float().cpu().mean(dim=(1, 2), keepdim=True)
        strength = (strength + adaptive_scale * mean.abs()).clamp(min=0)
    return noise + strength * sample_noise((noise.shape[0], 1, 1), generator)


def multires_noise(noise: torch.Tensor, iterations: int, discount: float, generator: torch.Generator) -> torch.Tensor:
    """Add ever coarser, ever weaker layers of noise, then scale back to a deviation of 1 (pyramid noise).

    Layer i = 0, 1, ... is drawn at 1/r^i of the size with r from 2..4, enlarged bilinearly and multiplied by
    discount^i; the last layer is the one that is a single cell wide or high (J. Whitaker, "Multi-resolution noise").

    Args:
        noise: [C, H, W] float32.
        iterations: how many layers at most.
        discount: above 0, at most 1.
    """
    channels, height, width = noise.shape
    for layer in range(iterations):
        ratio = (float(torch.rand(1, generator=generator)) * 2 + 2) ** layer
        rows, columns = max(1, int(height / ratio)), max(1, int(width / ratio))
        coarse = sample_noise((1, channels, rows, columns), generator)
        wide = functional.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
        noise = noise + wide[0] * discount**layer
        if rows == 1 or columns == 1:
            break
    return noise / noise.std()


def training_noise(
    latent: torch.Tensor, settings: ObjectiveSettings, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """The noise of one picture: what the UNet should predict, and what is put on its input.

    The two differ only by ip-noise (Ning et al., arXiv 2301.11706), which is drawn last, so that turning it on
    leaves the target as it was.

    Args:
        latent: the clean latent, [C, H, W].
        settings: the objective's knobs.
        generator: used up in the order plain, offset, multires, ip.

    Returns:
        (target, input), each [C, H, W] float32 on the CPU.
    """
    noise = sample_noise(latent.shape, generator)
    if settings.noise_offset or settings.adaptive_noise_scale:
        noise = offset_noise(noise, latent, settings.noise_offset, settings.adaptive_noise_scale, generator)
    if settings.multires_iterations:
        noise = multires_noise(noise, settings.multires_iterations, settings.multires_discount, generator)
    if not settings.ip_noise_gamma:
        return noise, noise
    return noise, noise + settings.ip_noise_gamma * sample_noise(latent.shape, generator)
