"""Making the parts of a run quick without changing what they compute: the layouts and operations that suit the device.

Everything here is the same mathematics in another order, so that results differ by rounding alone; what is chosen
depends on the device and the settings only, never on a measurement or on what else is running, because a run that is
resumed must go on with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from lib_lora.lora.fused import fuse
from lib_lora.models.attention import QuickProcessor, attention_layers
from lib_lora.models.processor import is_amd
from lib_lora.models.resnet import quicken_resnets


def quicken(parts: Mapping[str, nn.Module], device: torch.device) -> bool:
    """Put the quicker operations into a run's parts, in place.

    Args:
        parts: with their adapters attached and frozen bases: "unet", "te1", "te2".
        device: where they are.

    Returns:
        Whether all arithmetic is in the parts' own number formats, so that no autocast is needed.
    """
    if device.type in ("cpu", "cuda"):  # elsewhere convolutions of this layout have had faults
        cast(Any, parts["unet"]).to(memory_format=torch.channels_last)
        quicken_resnets(parts["unet"])
    fused = [fuse(part) for part in parts.values()]
    blocks = device.type == "cpu" and is_amd()
    for layer in attention_layers(parts["unet"]):
        layer.set_processor(QuickProcessor(blocks))
    return all(fused)
