"""Makes the bytes of a safetensors file, in pieces and always the same for the same content.

(The safetensors package holds the whole file in memory once more and orders its metadata at random.)
Format: 8 bytes little-endian length of the header, the header as JSON, then the tensors one after another.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import torch

from lib_lora.lora.hashes import Buffer

_DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def serialised(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> list[Buffer]:
    """The file's bytes: the header, then one buffer for each tensor (a view of its memory, not a copy).

    Tensors stand in the order in which the safetensors package puts them: wide types first (so that each is
    aligned), then by name.

    Args:
        tensors: on the CPU, contiguous, float32, float16 or bfloat16.
        metadata: texts.
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    table: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for name in order:
        tensor = tensors[name]
        end = position + tensor.numel() * tensor.element_size()
        table[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, end]}
        position = end
    header = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    header += b" " * (-len(header) % 8)
    return [struct.pack("<Q", len(header)) + header, *(_bytes(tensors[name]) for name in order)]


def _bytes(tensor: torch.Tensor) -> memoryview:
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data
