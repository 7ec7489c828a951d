"""Asking an SD2 UNet what it predicts: its tensors have the same names and shapes for both answers."""

from __future__ import annotations

import torch

from lib_lora.models.family import ModelInfo
from lib_lora.models.load import load_unet


@torch.no_grad()
def predicts_velocity(info: ModelInfo) -> bool:
    """Whether the UNet predicts velocity, by A1111's test.

    At the last timestep an epsilon model returns about its input (nearly all of it is noise), while a
    velocity model returns the opposite of the clean picture; on a constant input of 0.5 the mean of
    output minus input is then far below zero (A1111's ``is_using_v_parameterization_for_sd2``).
    """
    unet = load_unet(info, torch.float32, torch.device("cpu"))
    latent = torch.full((1, 4, 8, 8), 0.5)
    context = torch.full((1, 2, info.context_dim), 0.5)
    predicted = unet(latent, torch.tensor([999]), encoder_hidden_states=context).sample
    return bool((predicted - latent).mean() < -1)
