"""Reads a tensor of a file as a numpy array, for code that must not load torch."""

from __future__ import annotations

from collections.abc import Iterator
from io import FileIO

import numpy as np

from lib_lora.errors import UserError
from lib_lora.models.reading.dtypes import SIZES
from lib_lora.models.reading.header import TensorEntry

_PIECE = 1 << 18  # numbers at a time


def pieces(stream: FileIO, name: str, entry: TensorEntry) -> Iterator[np.ndarray]:
    """The numbers of `entry` as float32 (larger ones become infinite), some at a time.

    Args:
        stream: of the file, unbuffered.
        name: of the file, for the error.
        entry: which tensor.

    Raises:
        UserError: the file ends before.
    """
    size = SIZES[entry.dtype]
    stream.seek(entry.offset)
    left = entry.length
    while left:
        raw = _exactly(stream, min(left, _PIECE * size), name)
        left -= len(raw)
        with np.errstate(over="ignore"):
            yield _floats(raw, entry.dtype)


def _exactly(stream: FileIO, length: int, name: str) -> bytes:
    found = bytearray()
    while len(found) < length:
        part = stream.read(length - len(found))
        if not part:
            raise UserError(
                f"{name} became shorter while it was being read; download it again.", code="file-shortened", file=name
            )
        found += part
    return bytes(found)


def _floats(raw: bytes, dtype: str) -> np.ndarray:
    if dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "float8_e5m2":  # the upper half of a float16
        return (np.frombuffer(raw, np.uint8).astype(np.uint16) << 8).view(np.float16).astype(np.float32)
    if dtype == "float8_e4m3fn":
        return _e4m3fn(np.frombuffer(raw, np.uint8))
    return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).astype(np.float32)


def _e4m3fn(bits: np.ndarray) -> np.ndarray:
    """Sign, four bits of exponent with a bias of 7, three of mantissa; no infinity, and all ones is no number."""
    exponent, mantissa = (bits >> 3 & 15).astype(np.int32), (bits & 7).astype(np.float32)
    normal = np.ldexp(1 + mantissa / 8, exponent - 7)
    size = np.where(exponent > 0, normal, np.ldexp(mantissa / 8, -6))
    size = np.where(bits & 127 == 127, np.nan, size)
    return np.where(bits > 127, -size, size).astype(np.float32)
