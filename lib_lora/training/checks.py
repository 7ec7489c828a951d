"""Checks before the first step whether there is enough memory and disk for the run."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import torch

from lib_lora.errors import UserError
from lib_lora.files import explained, size
from lib_lora.models.families.model_family import ModelInfo
from lib_lora.models.fast.memory import free_bytes
from lib_lora.models.reading.weights import open_tensors
from lib_lora.training.data.buckets import LATENT_PIXELS
from lib_lora.training.plan.run_file import Run

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

_OVERHEAD = 1.2  # activations of a small batch with checkpointing, buffers; a floor, not an estimate

# bytes of float32 that decoding with gradients keeps for each pixel and each channel of the decoder's last part: of
# Stable Diffusion's VAE torch's hooks for saved tensors counted 182; computed again 26, and 84 of the part at work
_KEPT, _KEPT_RECOMPUTED = 182, 110


def check_memory(info: ModelInfo, dtype: torch.dtype, device: torch.device) -> None:
    """See that the denoiser alone can be loaded.

    Raises:
        UserError: it cannot.
    """
    numbers = info.model_family.denoiser_numbers(open_tensors(info.path))
    needed, free = numbers * dtype.itemsize * _OVERHEAD, free_bytes(device)
    if needed > free:
        raise UserError(
            f"Too little memory on {device}: {info.path.name} needs at least {size(needed)}, "
            f"{size(free)} are free; close other programs (or the webui's model), or use precision bf16.",
            code="memory-too-small",
            needed=needed,
            free=free,
        )


def check_decoding(vae: AutoencoderKL, cells: int, device: torch.device, spare: bool) -> bool:
    """See that a part of a latent can be decoded with gradients, for the identity loss.

    Args:
        vae: in float32.
        cells: latent cells of the largest part.
        device: where it is decoded.
        spare: spare memory even where it would suffice.

    Returns:
        Whether the VAE should compute its activations again, instead of keeping them.

    Raises:
        UserError: memory does not suffice even so.
    """
    numbers = cells * LATENT_PIXELS**2 * vae.config.block_out_channels[0]
    free = free_bytes(device)
    if numbers * _KEPT_RECOMPUTED > free:
        raise UserError(
            f"Too little memory on {device} for the identity loss: decoding the largest face needs about "
            f"{size(numbers * _KEPT_RECOMPUTED)}, {size(free)} are free; set identity_loss_weight to 0, or use a "
            "smaller resolution.",
            code="identity-loss-memory",
            needed=numbers * _KEPT_RECOMPUTED,
            free=free,
        )
    return spare or numbers * _KEPT > free / 2


def check_disk(run: Run, parameters: int, checkpoints: int) -> None:
    """See that all checkpoints and states will fit.

    Args:
        run: where they go.
        parameters: numbers in the adapter.
        checkpoints: how many will be written.

    Raises:
        UserError: they will not.
    """
    states = run.file.settings.keep_states + 1
    needed = parameters * (2 * checkpoints + 12 * states) + 50_000_000  # fp16 files; weights and two moments in fp32
    with explained(run.folder, "read"):
        free = shutil.disk_usage(run.folder).free
    if needed > free:
        raise UserError(
            f"Too little disk space for {run.folder}: {checkpoints} checkpoints and the states need "
            f"{size(needed)}, {size(free)} are free; free some, or raise save_every.",
            code="disk-space-too-small",
            needed=needed,
            free=free,
        )
