"""Multiplies matrices without autograd, by the faster of the two libraries that torch has on a CPU.

torch gives float32 products to MKL, which uses half of an AMD processor's vector units; oneDNN, which torch uses for
convolutions and for bfloat16, uses all of them: 200 against 450 thousand million operations a second on two cores of
an EPYC (docs/performance.md). A call of it costs a fifth of a millisecond more, so it gets the large products there.
On an Intel processor MKL is the quicker one. Nothing is measured at a run's start: the same machine always takes the
same way, and a resumed run computes the same bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional

from lib_lora.models.fast.processor import is_amd

_LARGE = 50_000_000  # multiplications from which on oneDNN's speed is worth its call


def product(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """``a @ b.T + bias``.

    Args:
        a: [M, K]; it and `b` may be transposed views.
        b: [N, K], of the same dtype.
        bias: [N] or None.

    Returns:
        [M, N], contiguous.
    """
    operation = _onednn() if _worth_it(a, b) else None
    if operation is None:
        return functional.linear(a, b, bias)
    result: torch.Tensor = operation(_dense(a), _dense(b), bias, "none", [], "")
    return result


def add_product(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """``out + scale * a @ b.T``; `out` may be written over.

    Args:
        out: [M, N], contiguous.
        a: [M, K].
        b: [N, K].
        scale: applied in float32; rounding ``scale * b`` to half precision would lose small numbers.
    """
    operation = _onednn() if _worth_it(a, b) else None
    if operation is None:
        return out.addmm_(a, b.t(), alpha=scale)
    result: torch.Tensor = operation.binary(_dense(a * scale), out, _dense(b), None, "add")
    return result


def _dense(matrix: torch.Tensor) -> torch.Tensor:
    """For a matrix with gaps between its rows oneDNN has a reference loop only, a hundred times slower."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()


def _worth_it(a: torch.Tensor, b: torch.Tensor) -> bool:
    large = a.shape[0] * a.shape[1] * b.shape[0] > _LARGE
    return large and a.dtype == torch.float32 and a.device.type == "cpu" and is_amd()


@lru_cache(maxsize=1)
def _onednn() -> Any:
    """torch's operator on oneDNN, or None where this build has none. It has no stable name: it is tried once."""
    try:
        operation = torch.ops.mkldnn._linear_pointwise
        a, b, ones = torch.ones(2, 3), torch.ones(3, 4).t(), torch.ones(2, 4)
        right = torch.equal(operation(a, b, None, "none", [], ""), 3 * ones)
        right = right and torch.equal(operation.binary(a, ones.clone(), b, None, "add"), 4 * ones)
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        return None
    return operation if right else None
