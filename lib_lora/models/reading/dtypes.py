"""Knows the types of numbers in checkpoint files by the names that torch gives them, without loading torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import torch

SIZES = {  # bytes of one
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
    "complex64": 8,
    "complex128": 16,
}


def torch_dtype(name: str) -> torch.dtype:
    """torch's type of that name, one of `SIZES`."""
    import torch

    return cast(torch.dtype, getattr(torch, name))
