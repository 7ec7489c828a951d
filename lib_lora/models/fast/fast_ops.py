"""Makes a UNet faster without changing what it computes, by layouts and operations that suit the device.

The same mathematics in another order, so that results differ by rounding alone. What is chosen depends on the device
only, never on a measurement or on what else is running: the same machine computes the same bits.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from lib_lora.models.fast.attention import FastProcessor, attention_layers
from lib_lora.models.fast.processor import is_amd
from lib_lora.models.fast.resnet import use_fast_resnets


def use_fast_unet(unet: nn.Module, device: torch.device) -> None:
    """Put the quicker layout and operations into a UNet that is on `device`, in place."""
    if device.type in ("cpu", "cuda"):  # elsewhere convolutions of this layout have had faults
        cast(Any, unet).to(memory_format=torch.channels_last)
        use_fast_resnets(unet)
    blocks = device.type == "cpu" and is_amd()
    for layer in attention_layers(unet):
        layer.set_processor(FastProcessor(blocks))
