"""Reads the header of a safetensors file: which tensors lie where.

Loads no torch.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

from lib_lora.errors import UserError
from lib_lora.files import explained, opened
from lib_lora.models.reading.dtypes import SIZES

MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format itself

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


class TensorEntry(NamedTuple):
    """One tensor of a safetensors file: its type (one of `dtypes.SIZES`), shape, and first byte and length counted
    from the file's start."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def read_header(path: Path) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    """The table of contents and the metadata of a safetensors file; nothing in it is trusted.

    Format: 8 bytes little-endian length n, n bytes of JSON, then the tensors' bytes.

    Raises:
        UserError: not a safetensors file, or shorter than its header says.
    """
    with explained(path, "read"):
        size = path.stat().st_size
        with opened(path) as stream:
            prefix = stream.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            if not 2 <= length <= MAX_HEADER:
                raise UserError(
                    f"{path.name} is not a safetensors file (its header is invalid).",
                    code="safetensors-invalid",
                    file=path.name,
                )
            raw = stream.read(length)
    if len(raw) < length:
        raise UserError(
            f"{path.name} is cut off in its header; download it again.", code="safetensors-truncated", file=path.name
        )
    try:
        table = json.loads(raw.decode("utf-8"))
        metadata = table.pop("__metadata__", None) or {}
        entries = {str(name): _entry(item, 8 + length) for name, item in table.items()}
        texts = {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise UserError(
            f"{path.name} is not a safetensors file (its header cannot be read: {error}).",
            code="safetensors-invalid",
            file=path.name,
        ) from error
    end = 8 + length
    for entry in sorted(entries.values(), key=lambda one: (one.offset, one.length)):
        if entry.offset != end:  # tensors that overlap would fill far more memory than the file has bytes
            raise UserError(
                f"{path.name} is not a safetensors file (its tensors overlap or have gaps).",
                code="safetensors-invalid",
                file=path.name,
            )
        end += entry.length
    if end > size:
        raise UserError(
            f"{path.name} is cut off: {size:,} of {end:,} bytes are there; download it again.",
            code="safetensors-truncated",
            file=path.name,
            size=size,
            expected=end,
        )
    return entries, texts


def _entry(item: dict[str, Any], start: int) -> TensorEntry:
    begin, end = item["data_offsets"]
    shape = tuple(item["shape"])
    if not all(type(number) is int and 0 <= number < 2**48 for number in (begin, end, *shape)):
        raise ValueError("a size makes no sense")
    dtype = _DTYPES[item["dtype"]]
    if math.prod(shape) * SIZES[dtype] != end - begin:
        raise ValueError("a tensor's size does not fit its shape")
    return TensorEntry(dtype, shape, start + begin, end - begin)
