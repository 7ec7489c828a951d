"""Computes the loss of Stable Diffusion's training (kohya's) and the UNet's target, as pure functions in float32.

The schedule comes in as `alphas_cumprod`, the share of the picture left at each timestep (after the rescale to a
zero terminal SNR, if there is one: then min-SNR uses the numbers that are trained with, unlike kohya's). The module
draws nothing and knows no model.
Shapes: B pictures, C latent channels, H x W latent cells; timesteps are whole numbers, [B], below
len(alphas_cumprod).
"""

from __future__ import annotations

import math

import torch

from lib_lora.errors import Misfit
from lib_lora.training.objective.objective_settings import HuberSchedule, LossType, ObjectiveSettings

# At timestep 0 the SNR is over 1000, at the end of a zero-terminal schedule it is 0: kohya's upper limit, and its
# mirror image, keep 1/sqrt(SNR) between 0.03 and 32. No ordinary schedule goes below the lower one.
SNR_MAXIMUM = 1000.0
SNR_MINIMUM = 1 / SNR_MAXIMUM


def _per_sample(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[B] as [B, 1, 1, 1], on the device of `like`, float32."""
    return values.to(like.device).float().view(-1, *([1] * (like.ndim - 1)))


def _picked(alphas_cumprod: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    return alphas_cumprod[timesteps.to(alphas_cumprod.device)].to(timesteps.device).float()


def snr(alphas_cumprod: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """Signal-to-noise ratio of each timestep, [B] float32: a / (1 - a), 0 or more."""
    left = _picked(alphas_cumprod, timesteps)
    return left / (1 - left)


def add_noise(
    latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, alphas_cumprod: torch.Tensor
) -> torch.Tensor:
    """The noisy latents that the UNet sees, [B, C, H, W] float32: sqrt(a) * latents + sqrt(1 - a) * noise."""
    left = _per_sample(_picked(alphas_cumprod, timesteps), latents)
    return left.sqrt() * latents.float() + (1 - left).sqrt() * noise.float()


def velocity(
    latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor, alphas_cumprod: torch.Tensor
) -> torch.Tensor:
    """The target of v-prediction, [B, C, H, W] float32: sqrt(a) * noise - sqrt(1 - a) * latents (arXiv 2202.00512)."""
    left = _per_sample(_picked(alphas_cumprod, timesteps), latents)
    return left.sqrt() * noise.float() - (1 - left).sqrt() * latents.float()


def clean_latents(
    predicted: torch.Tensor, noisy: torch.Tensor, timesteps: torch.Tensor, alphas_cumprod: torch.Tensor, prediction: str
) -> torch.Tensor:
    """The clean latents that a prediction means, [B, C, H, W] float32; not finite where no picture is left and the
    noise is predicted.

    Args:
        predicted: the UNet's output, noise ("epsilon") or velocity ("v").
        noisy: its input.
        timesteps, alphas_cumprod: see the module.
        prediction: which of the two.
    """
    left = _per_sample(_picked(alphas_cumprod, timesteps), predicted)
    if prediction == "v":
        return left.sqrt() * noisy.float() - (1 - left).sqrt() * predicted.float()
    return (noisy.float() - (1 - left).sqrt() * predicted.float()) / left.sqrt()


def huber_threshold(
    timesteps: torch.Tensor, alphas_cumprod: torch.Tensor, c: float, schedule: HuberSchedule
) -> torch.Tensor:
    """Where the loss turns straight, [B] float32, from 1 (clean) to `c` (noise).

    snr: (1 - c) / (1 + sigma)^2 + c with sigma = sqrt((1 - a) / a); exponential: c^(t / T); constant: c everywhere
    (Khrapov et al., arXiv 2403.16728).
    """
    if schedule == "constant":
        return timesteps.float().new_full(timesteps.shape, c)
    if schedule == "exponential":
        return (timesteps.float() * (math.log(c) / len(alphas_cumprod))).exp()
    left = _picked(alphas_cumprod, timesteps)
    sigma = ((1 - left) / left).sqrt()  # infinite at the end of a zero-terminal schedule: the threshold is c there
    return (1 - c) / (1 + sigma) ** 2 + c


def elementwise_loss(
    predicted: torch.Tensor, target: torch.Tensor, loss_type: LossType, threshold: torch.Tensor | None = None
) -> torch.Tensor:
    """The loss of each latent number, [B, C, H, W] float32.

    With d the difference and c the threshold: l2 d^2; l1 |d|; huber 2c (sqrt(d^2 + c^2) - c);
    smooth_l1 2 (sqrt(d^2 + c^2) - c).

    Args:
        threshold: [B], for huber and smooth_l1.

    Raises:
        ValueError: huber or smooth_l1 without a threshold.
    """
    difference = predicted.float() - target.float()
    if loss_type == "l2":
        return difference**2
    if loss_type == "l1":
        return difference.abs()
    if threshold is None:
        raise Misfit(f"the loss {loss_type} needs a threshold", "threshold")
    c = _per_sample(threshold, difference)
    curve = difference**2 / ((difference**2 + c**2).sqrt() + c)  # sqrt(d^2 + c^2) - c, which rounds below 0
    return 2 * c * curve if loss_type == "huber" else 2 * curve


def timestep_weights(
    timesteps: torch.Tensor, alphas_cumprod: torch.Tensor, prediction: str, settings: ObjectiveSettings
) -> torch.Tensor:
    """What each timestep counts, [B] float32, finite and 0 or more at every timestep.

    min-SNR: min(snr, gamma) / snr for epsilon (1 where snr is 0, its limit), min(snr, gamma) / (snr + 1) for v;
    then v scaled like noise prediction: snr / (snr + 1); then debiased: 1 / sqrt(snr) for epsilon,
    1 / (snr + 1) for v. For the last two the SNR is held to 0.001..1000.

    Raises:
        UserError: the settings do not fit the prediction type.
    """
    settings.check(prediction)
    ratio = snr(alphas_cumprod, timesteps)
    held = ratio.clamp(SNR_MINIMUM, SNR_MAXIMUM)
    weights = ratio.new_ones(ratio.shape)
    if settings.min_snr_gamma and prediction == "v":
        weights = weights * ratio.clamp(max=settings.min_snr_gamma) / (ratio + 1)
    elif settings.min_snr_gamma:
        # min(snr, gamma) / snr, written so that no 0 is divided by 0.
        weights = weights * settings.min_snr_gamma / ratio.clamp(min=settings.min_snr_gamma)
    if settings.scale_v_pred_loss:
        weights = weights * held / (held + 1)
    if settings.debiased:
        weights = weights / (held + 1 if prediction == "v" else held.sqrt())
    return weights
