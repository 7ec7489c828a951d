"""Computes the noise schedule of Stable Diffusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012


def noise_schedule(zero_terminal_snr: bool = False) -> torch.Tensor:
    """Cumulative products of alpha, [1000] float32: how much of the picture is left at each timestep.

    "Scaled linear" betas (Rombach et al., arXiv 2112.10752). With `zero_terminal_snr` the square roots are
    shifted and scaled so that the last is zero and the first unchanged (Lin et al., arXiv 2305.08891, algorithm 1).
    """
    import torch

    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, STEPS, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, dim=0)
    if zero_terminal_snr:
        root = alphas.sqrt()
        root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
        alphas = root**2
    return alphas.float()
