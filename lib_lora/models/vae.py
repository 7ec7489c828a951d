"""Encodes pictures to latents, scaled as the UNet sees them, and decodes them."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from lib_lora.errors import UserError


def to_tensor(image: Image.Image) -> torch.Tensor:
    """An RGB picture as [1, 3, H, W] float32 in -1..1."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 127.5 - 1).permute(2, 0, 1)[None]


def to_image(tensor: torch.Tensor) -> Image.Image:
    """[3, H, W] in -1..1 (clamped) as an RGB picture; levels are cut off, not rounded, as A1111 does."""
    levels = (((tensor.float() + 1) / 2).clamp(0, 1) * 255).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The latent distribution of pictures.

    Args:
        pixels: [B, 3, H, W] in -1..1; H and W multiples of 8.

    Returns:
        Mean and standard deviation, each [B, C, H/8, W/8] float32 on the CPU; C is 4, or 16 in newer families.

    Raises:
        UserError: the VAE gave a number that is not finite.
    """
    weight = next(vae.parameters())
    distribution = vae.encode(pixels.to(weight.device, weight.dtype)).latent_dist
    scale, shift = vae.config.scaling_factor, _shift(vae)
    mean, std = (distribution.mean.float().cpu() - shift) * scale, distribution.std.float().cpu() * scale
    if not bool(torch.isfinite(mean).all() and torch.isfinite(std).all()):
        raise UserError(
            "The VAE of this checkpoint gives invalid numbers (NaN) for a photo; use another checkpoint.",
            code="vae-not-finite",
        )
    return mean, std


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: torch.Tensor) -> list[Image.Image]:
    """Latents [B, C, h, w] as pictures of 8h x 8w pixels, one at a time to spare memory."""
    weight = next(vae.parameters())
    scaled = (latents / vae.config.scaling_factor + _shift(vae)).to(weight.device)
    pictures = []
    for one in scaled:
        pixels = vae.decode(one[None].to(next(vae.parameters()).dtype)).sample[0]
        if not bool(torch.isfinite(pixels).all()):  # half precision was too small for it: a black picture else
            vae.float()
            pixels = vae.decode(one[None].float()).sample[0]
        pictures.append(to_image(pixels))
    return pictures


def pixels_of(vae: AutoencoderKL, latents: torch.Tensor) -> torch.Tensor:
    """Latents [B, C, h, w] of the VAE's dtype and device as pixels [B, 3, 8h, 8w], about -1..1; gradients pass."""
    pixels: torch.Tensor = vae.decode(latents / vae.config.scaling_factor + _shift(vae)).sample
    return pixels


def _shift(vae: AutoencoderKL) -> float:
    """What is taken from latents before they are scaled; only VAEs of 16 channels have it."""
    return getattr(vae.config, "shift_factor", None) or 0.0


def reconstruct(vae: AutoencoderKL, image: Image.Image) -> Image.Image:
    """What is left of an RGB picture (sides multiples of 8) after encoding and decoding it.

    Raises:
        UserError: the VAE gave a number that is not finite.
    """
    mean, _ = encode(vae, to_tensor(image))
    return decode(vae, mean)[0]
