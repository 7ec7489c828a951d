"""Computes the UNet's residual blocks without needless copies: the same numbers, in the layout of the convolutions.

diffusers (0.35, but not 0.31) copies what enters a block's shortcut into the other layout, from which the convolution
copies it back, and so on the way back; and it divides every block's result by a factor that is 1.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.resnet import ResnetBlock2D
from torch import nn


class FastResnet(ResnetBlock2D):  # type: ignore[misc]
    """A block that neither enlarges nor reduces the picture, and adds the time's embedding."""

    def forward(self, input_tensor: torch.Tensor, temb: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """[B, in, H, W] and the embedded time [B, D] to [B, out, H, W]."""
        hidden = self.conv1(self.nonlinearity(self.norm1(input_tensor)))
        hidden = hidden + self.time_emb_proj(self.nonlinearity(temb))[:, :, None, None]
        hidden = self.conv2(self.nonlinearity(self.norm2(hidden)))
        shortcut = input_tensor if self.conv_shortcut is None else self.conv_shortcut(input_tensor)
        result: torch.Tensor = shortcut + hidden
        return result


def use_fast_resnets(unet: nn.Module) -> None:
    """Let a UNet's residual blocks compute as `FastResnet`, in place, where they are as Stable Diffusion has them."""
    for module in unet.modules():
        if type(module) is ResnetBlock2D and _ordinary(module):
            module.__class__ = FastResnet


def _ordinary(block: ResnetBlock2D) -> bool:
    timed = block.time_emb_proj is not None and block.time_embedding_norm == "default"
    sized = block.upsample is None and block.downsample is None
    plain = block.output_scale_factor == 1 and block.dropout.p == 0
    return timed and sized and plain and not getattr(block, "skip_time_act", False)
