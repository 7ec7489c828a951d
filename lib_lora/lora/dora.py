"""Learns the length of each input column of a weight apart from its direction: DoRA on the input axis.

Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", arXiv 2402.09353, with the columns taken as A1111
takes them::

    W' = (W + scale * up @ down) * magnitude / norm(W + scale * up @ down)

where the norm is over every dimension but the second, the input. (peft's and LyCORIS' own DoRA normalise over
the output axis; A1111 would compute such a file wrongly and say nothing.)
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lib_lora.errors import Misfit


def input_norm(weight: torch.Tensor) -> torch.Tensor:
    """The length of each input column, float32.

    Args:
        weight: [out, in] or [out, in, h, w].

    Returns:
        [1, in] or [1, in, 1, 1].
    """
    dims = [dim for dim in range(weight.ndim) if dim != 1]
    norm: torch.Tensor = torch.linalg.vector_norm(weight.float(), dim=dims, keepdim=True)
    return norm


def low_rank(up: torch.Tensor, down: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """``up @ down`` as float32 in the shape of the layer's weight.

    Args:
        up: [out, rank] or [out, rank, 1, 1].
        down: [rank, in] or [rank, in, h, w].
        shape: of the weight; as many elements as the product has.
    """
    return (up.flatten(1).float() @ down.flatten(1).float()).reshape(shape)


def _full_precision(device_type: str) -> AbstractContextManager[Any]:
    """No autocast, where there is one: the norm is a sum of many squares."""
    return torch.autocast(device_type, enabled=False) if device_type in ("cpu", "cuda") else nullcontext()


class DoraLayer(nn.Module):
    """A frozen linear layer or convolution with a DoRA adapter.

    Scaling the input columns of a weight is the same as scaling the layer's input, so ``W' x`` is computed as
    ``W x + W (g - 1) x + scale * up down g x`` with ``g = magnitude / norm``. In half precision ``g x`` would be
    rounded back to ``x`` while ``g`` is near 1; ``(g - 1) x`` is not, and without training it is exactly zero.

    The norm gets no gradient (section 4.3 of the paper): it changes little in a step, and its graph would hold
    a matrix of the weight's size for every layer.

    Args:
        base: the layer; its parameters are frozen.
        rank, alpha: of the adapter.
        dropout: share of the inputs of `down` set to zero in training.
        rslora: divide alpha by the root of the rank, not by the rank.
    """

    def __init__(
        self, base: nn.Linear | nn.Conv2d, rank: int, alpha: float, dropout: float = 0.0, rslora: bool = False
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / (rank**0.5 if rslora else rank)
        self.dropout = nn.Dropout(dropout)
        self.enabled = True  # False = only the frozen layer; see `adapter_switch`
        self.down: nn.Linear | nn.Conv2d
        self.up: nn.Linear | nn.Conv2d
        device = base.weight.device
        if isinstance(base, nn.Conv2d):
            if base.groups != 1 or base.padding_mode != "zeros" or isinstance(base.padding, str):
                raise Misfit("only convolutions without groups and with zero padding can be adapted.", "base")
            self.down = nn.Conv2d(
                base.in_channels,
                rank,
                base.kernel_size,  # type: ignore[arg-type]  # two numbers; torch types it looser
                base.stride,  # type: ignore[arg-type]
                base.padding,  # type: ignore[arg-type]
                base.dilation,  # type: ignore[arg-type]
                bias=False,
                device=device,
                dtype=torch.float32,
            )
            self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False, device=device, dtype=torch.float32)
        else:
            self.down = nn.Linear(base.in_features, rank, bias=False, device=device, dtype=torch.float32)
            self.up = nn.Linear(rank, base.out_features, bias=False, device=device, dtype=torch.float32)
        nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
        nn.init.zeros_(self.up.weight)
        self.magnitude = nn.Parameter(input_norm(base.weight))

    def gain(self) -> torch.Tensor:
        """``magnitude / norm``, float32, [1, in] or [1, in, 1, 1]."""
        with torch.no_grad(), _full_precision(self.magnitude.device.type):
            weight = self.base.weight.float()
            norm = input_norm(weight + self.scale * low_rank(self.up.weight, self.down.weight, weight.shape))
        return self.magnitude / norm.masked_fill(norm == 0, 1)  # a column of zeros stays one; not 0 / 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The adapted layer's output, in the dtype of the base layer's.

        Args:
            x: [..., in] for a linear layer, [batch, in, height, width] for a convolution.
        """
        result: torch.Tensor = self.base(x)
        if not self.enabled:
            return result
        gain = self.gain()
        wide = x.float()
        changed = self._without_bias((wide * (gain - 1)).to(self.base.weight.dtype))
        learned = self.up(self.down(self.dropout(wide * gain))) * self.scale
        total: torch.Tensor = result + (changed.float() + learned)
        return total.to(result.dtype)

    def _without_bias(self, x: torch.Tensor) -> torch.Tensor:
        base = self.base
        if isinstance(base, nn.Conv2d):
            return F.conv2d(x, base.weight, None, base.stride, base.padding, base.dilation)
        return F.linear(x, base.weight)
