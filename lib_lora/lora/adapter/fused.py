"""Computes an adapter in fewer passes over memory than peft's layers, as one operation with its own gradients.

peft adds ``scale * up(down(x))`` to the layer's output by five operations, and copies its input into another number
format; autograd keeps those copies for each of query, key and value. Here the input is kept once, and the products
write into the output itself.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import nn
from torch.autograd.function import once_differentiable

from lib_lora.lora.dora import DoraLayer
from lib_lora.models.fast.products import add_product, product


class FusedLayer(nn.Module):
    """A frozen linear layer, or a convolution of one cell, with its adapter.

    Args:
        base: the frozen layer.
        down: [rank, in] or [rank, in, 1, 1], float32.
        up: [out, rank] or [out, rank, 1, 1], float32.
        scale: alpha / rank.
    """

    def __init__(self, base: nn.Linear | nn.Conv2d, down: nn.Parameter, up: nn.Parameter, scale: float) -> None:
        super().__init__()
        self.base, self.down, self.up, self.scale = base, down, up, scale
        self.enabled = True  # False = only the frozen layer; see `adapter_switch`

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in] to [..., out]; a convolution's [B, in, H, W] to [B, out, H, W]. In the dtype of the base."""
        x = x.to(self.base.weight.dtype)
        if not self.enabled:
            return cast(torch.Tensor, self.base(x))
        wide = isinstance(self.base, nn.Conv2d)
        rows = x.permute(0, 2, 3, 1) if wide else x
        apply: Any = _Fused.apply  # which is typed in some versions of torch, and untyped in others
        out: torch.Tensor = apply(
            rows, self.base.weight.flatten(1), self.base.bias, self.down.flatten(1), self.up.flatten(1), self.scale
        )
        return out.permute(0, 3, 1, 2) if wide else out


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = x.reshape(-1, x.shape[-1])
        down, up = down.to(x.dtype), up.to(x.dtype)
        hidden = product(rows, down)
        out = add_product(product(rows, weight, bias), hidden, up, scale)
        ctx.save_for_backward(rows, hidden, weight, down, up)
        ctx.scale, ctx.shape = scale, x.shape
        return out.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, hidden, weight, down, up = ctx.saved_tensors
        above = gradient.reshape(-1, gradient.shape[-1])
        inner = product(above, up.t())
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = add_product(product(above, weight.t()), inner, down.t(), ctx.scale).view(ctx.shape)
        to_down = product(inner.t(), rows.t()).float() * ctx.scale
        to_up = product(hidden.t(), above.t()).t().float() * ctx.scale
        return to_x, None, None, to_down, to_up, None


def fuse(module: nn.Module) -> bool:
    """Replace peft's layers in a module by fused ones that share their parameters, in place.

    Layers with dropout and convolutions over several cells stay peft's, and DoRA's stay what they are.

    Returns:
        Whether no other adapted layer is left.
    """
    whole = True
    for name, child in list(module.named_children()):
        if isinstance(child, DoraLayer):
            whole = False
        elif isinstance(child, LoraLayer):
            fused = _fused(child)
            if fused is None:
                whole = False
            else:
                setattr(module, name, fused)
        else:
            whole = fuse(child) and whole
    return whole


def _fused(layer: LoraLayer) -> FusedLayer | None:
    (adapter,) = layer.lora_A.keys()
    base, down, up = layer.get_base_layer(), layer.lora_A[adapter], layer.lora_B[adapter]
    plain = isinstance(layer.lora_dropout[adapter], nn.Identity)
    small = isinstance(base, nn.Linear) or (
        isinstance(base, nn.Conv2d) and base.kernel_size == base.stride == (1, 1) and base.groups == 1
    )
    if not (plain and small):
        return None
    return FusedLayer(
        cast(nn.Linear, base),
        cast(nn.Parameter, down.weight),
        cast(nn.Parameter, up.weight),
        float(layer.scaling[adapter]),
    )
