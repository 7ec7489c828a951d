"""Computes the UNet's attention in fewer operations, and long attention on AMD processors in a faster way of our own.

torch's flash attention for CPUs multiplies matrices in small pieces, which on such a processor do not reach the speed
of the libraries; `attention` takes pieces as large as the processor's caches hold, multiplies them by the libraries,
and recomputes them on the way back. On an Intel processor it takes twice torch's time (docs/performance.md). The
numbers are the same but for rounding. Shapes: B pictures, N queries, M keys, H heads of D numbers side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from lib_lora.models.fast.products import product

_BLOCK_BYTES = 8 << 20  # of scores at once: they stay in the processor's caches
_FEWEST_KEYS = 256  # with fewer torch's own is as fast


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """``softmax(query @ key.T / sqrt(D)) @ value`` in each head, with gradients.

    Args:
        query: [B, N, H * D].
        key, value: [B, M, H * D], of the same dtype.
        heads: H.

    Returns:
        [B, N, H * D].
    """
    apply: Any = _Attention.apply  # which is typed in some versions of torch, and untyped in others
    result: torch.Tensor = apply(query, key, value, heads)
    return result


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
        with torch.autocast("cpu", enabled=False):  # which would round the scores
            for q, k, v, here in zip(*(_heads(one, heads) for one in (query, key, value, out)), strict=True):
                q, k, v = (one.contiguous() for one in (q, k, v))
                for rows, share in _shares(q, k):
                    here[rows] = product(share, v.t())
        ctx.save_for_backward(query, key, value)
        ctx.heads = heads
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        inputs = ctx.saved_tensors
        results = [torch.empty_like(one, memory_format=torch.contiguous_format) for one in inputs]
        parts = (_heads(one, ctx.heads) for one in (*inputs, gradient, *results))
        for q, k, v, above, to_q, to_k, to_v in zip(*parts, strict=True):
            q, k, v, above = (one.contiguous() for one in (q, k, v, above))
            k_parts, v_parts = [], []  # transposed, which is the faster product
            for rows, share in _shares(q, k):
                v_parts.append(product(above[rows].t(), share.t()))
                change = product(above[rows], v)
                # share * (change - sum(share * change)), in one pass
                change = torch.ops.aten._softmax_backward_data(change, share, -1, share.dtype)
                to_q[rows] = product(change, k.t())
                k_parts.append(product(q[rows].t(), change.t()))
            to_q *= q.shape[-1] ** -0.5
            to_k.copy_(_sum(k_parts).t() * q.shape[-1] ** -0.5)
            to_v.copy_(_sum(v_parts).t())
        return (*results, None)


def _heads(tensor: torch.Tensor, heads: int) -> list[torch.Tensor]:
    """[B, N, H * D] as B * H views of [N, D]."""
    return [head for picture in tensor for head in picture.chunk(heads, dim=-1)]


def _shares(query: torch.Tensor, key: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Block by block: the rows of queries, and the softmax of their scores, [rows, M].

    The scores themselves are float32, as in torch's own: rounded to bfloat16, one of 16 could be off by 0.06.

    Args:
        query, key: of one head, [N, D] and [M, D].
    """
    size = max(16, _BLOCK_BYTES // (4 * len(key)))
    wide, keys = query.float() * query.shape[-1] ** -0.5, key.float()
    for start in range(0, len(query), size):
        rows = slice(start, start + size)
        scores = product(wide[rows], keys)
        yield rows, torch.softmax(scores, -1, out=scores).to(query.dtype)


def _sum(parts: list[torch.Tensor]) -> torch.Tensor:
    """The sum over many blocks, so in float32."""
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0, dtype=torch.float32)


class FastProcessor:
    """What diffusers' attention does, for layers that do nothing but attention.

    Args:
        blocks: take `attention` in place of torch's, where that is faster.
    """

    def __init__(self, blocks: bool) -> None:
        self.blocks = blocks
        self.usual = AttnProcessor2_0()

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Compute the attention, with the arguments that diffusers passes."""
        if attention_mask is not None or hidden_states.ndim != 3:
            result: torch.Tensor = self.usual(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb, *args, **kwargs
            )
            return result
        words = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(words), attn.to_v(words)
        own = self.blocks and encoder_hidden_states is None and hidden_states.shape[1] >= _FEWEST_KEYS
        out: torch.Tensor = attn.to_out[0]((attention if own else _flash)(query, key, value, attn.heads))
        return out


def _flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int) -> torch.Tensor:
    """torch's own, in the layout of `attention`."""
    q, k, v = (one.view(*one.shape[:-1], heads, -1).transpose(1, 2) for one in (query, key, value))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def attention_layers(unet: nn.Module) -> list[Attention]:
    """The layers of a UNet that `FastProcessor` can compute: what else diffusers can add to one is not in it."""
    return [module for module in unet.modules() if isinstance(module, Attention) and _ordinary(module)]


def _ordinary(module: Attention) -> bool:
    names = ("spatial_norm", "group_norm", "norm_q", "norm_k", "norm_cross")
    extras = [getattr(module, name, None) for name in names]
    return all(one is None for one in extras) and not module.residual_connection and module.rescale_output_factor == 1
