"""Makes the parts of a run faster without changing what they compute.

What is chosen depends on the device and the settings only, never on a measurement or on what else is running, because
a run that is resumed must go on with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from lib_lora.lora.adapter.fused import fuse
from lib_lora.models.families.model_family import ModelFamily


def use_fast_parts(family: ModelFamily, parts: Mapping[str, nn.Module], device: torch.device) -> bool:
    """Put the quicker operations into a run's parts, in place.

    Args:
        family: of the base model.
        parts: with their adapters attached and frozen bases: "unet", "te1", "te2".
        device: where they are.

    Returns:
        Whether all arithmetic is in the parts' own number formats, so that no autocast is needed.
    """
    family.use_fast_ops(parts["unet"], device)
    fused = [fuse(part) for part in parts.values()]
    return all(fused)
