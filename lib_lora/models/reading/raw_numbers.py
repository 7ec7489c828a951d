"""Reads numbers that lie one after another in a file as a tensor.

Read with plain file reads, not mapped: the memory used is the memory kept, and on Windows the file stays free to be
replaced or deleted. Knows nothing about containers.
"""

from __future__ import annotations

from io import FileIO
from typing import Any, cast

import torch

from lib_lora.errors import UserError

# Numbers that are read and converted at a time. More would be converted by several threads, which wait for each other
# between pieces in a busy loop: on a busy machine that took five times as long.
_PIECE = 1 << 15


def read_numbers(
    stream: FileIO, name: str, shape: tuple[int, ...], stored: torch.dtype, wanted: torch.dtype
) -> torch.Tensor:
    """The next numbers of `stream` as a new tensor.

    Args:
        stream: unbuffered, at the first number, little-endian.
        name: of the file, for the error.
        shape: of the tensor.
        stored: type of the numbers in the file.
        wanted: type of the tensor.

    Raises:
        UserError: the file ends before.
    """
    result = torch.empty(shape, dtype=wanted)
    flat = result.view(-1)
    if wanted == stored:
        _fill(stream, name, flat.view(torch.uint8))
        return result
    # Piece by piece: a second copy of the whole tensor would take memory, and its fresh pages longer than the
    # conversion itself.
    buffer = torch.empty(min(_PIECE, len(flat)) * stored.itemsize, dtype=torch.uint8)
    for target in torch.split(flat, _PIECE):
        piece = buffer[: len(target) * stored.itemsize]
        _fill(stream, name, piece)
        target.copy_(piece.view(stored))
    return result


def _fill(stream: FileIO, name: str, raw: torch.Tensor) -> None:
    """Fill `raw` (uint8) with the file's next bytes."""
    view = memoryview(cast(Any, raw.numpy()))
    while len(view):
        got = stream.readinto(view)
        if not got:
            raise UserError(
                f"{name} became shorter while it was being read; download it again.", code="file-shortened", file=name
            )
        view = view[got:]
