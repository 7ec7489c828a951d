"""Reading single tensors out of a checkpoint file, as late and as little as possible.

Knows safetensors with its limits, what a checkpoint in torch's own files looks like (`archive` reads those), and the
many things that carry the same suffix. Knows nothing about Stable Diffusion.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lib_lora.errors import UserError
from lib_lora.files import explained, opened, opened_raw
from lib_lora.models.archive import Archive, Stored
from lib_lora.models.inert import Stub
from lib_lora.models.raw import read_numbers

MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format itself

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Entry(NamedTuple):
    """One tensor of a safetensors file: its type, shape, and first byte and length counted from the file's start."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    offset: int
    length: int


class TensorFile:
    """The tensors of one file by name. Use `open_tensors` to make one."""

    path: Path
    metadata: dict[str, str]

    def keys(self) -> set[str]:
        """All tensor names."""
        raise TypeError("use open_tensors()")

    def shape(self, key: str) -> tuple[int, ...]:
        """The tensor's shape, without reading it."""
        raise TypeError("use open_tensors()")

    def read(self, key: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The tensor on the CPU as a private copy, as `dtype` (None: as stored)."""
        raise TypeError("use open_tensors()")


class _SafeTensors(TensorFile):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries, self.metadata = read_header(path)

    def keys(self) -> set[str]:
        return set(self.entries)

    def shape(self, key: str) -> tuple[int, ...]:
        return self.entries[key].shape

    def read(self, key: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        entry = self.entries[key]
        with explained(self.path, "read"), opened_raw(self.path) as stream:
            stream.seek(entry.offset)
            return read_numbers(stream, self.path.name, entry.shape, entry.dtype, dtype or entry.dtype)


class _Pickle(TensorFile):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata = {}
        self.archive = Archive(path)
        self.entries = _table(path, self.archive)

    def keys(self) -> set[str]:
        return set(self.entries)

    def shape(self, key: str) -> tuple[int, ...]:
        return self.entries[key].shape

    def read(self, key: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        return self.archive.read(self.entries[key], dtype)


def open_tensors(path: Path) -> TensorFile:
    """Open a ``.safetensors``, ``.ckpt``, ``.pt`` or ``.bin`` file.

    Raises:
        UserError: missing, truncated, a folder, a download error page, a Git LFS pointer, or a pickle
            without a table of tensors (whatever is in one is never executed).
    """
    if path.is_dir():
        raise UserError(_folder(path))
    with explained(path, "read"), opened(path) as stream:
        start = stream.read(256)
    if not start:
        raise UserError(f"{path.name} is an empty file; download it again.")
    if start.startswith(b"version https://git-lfs"):
        raise UserError(f"{path.name} is a Git LFS pointer, not the model itself; download the real file.")
    if start.lstrip()[:1] == b"<":
        raise UserError(f"{path.name} is a web page that was saved instead of a model; download the file again.")
    if path.suffix.lower() == ".safetensors":
        return _SafeTensors(path)
    if path.suffix.lower() in (".ckpt", ".pt", ".pth", ".bin"):
        return _Pickle(path)
    raise UserError(f"{path.name} is not a checkpoint: expected .safetensors, .ckpt or .pt.")


def read_header(path: Path) -> tuple[dict[str, Entry], dict[str, str]]:
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
                raise UserError(f"{path.name} is not a safetensors file (its header makes no sense).")
            raw = stream.read(length)
    if len(raw) < length:
        raise UserError(f"{path.name} is cut off in its header; download it again.")
    try:
        table = json.loads(raw.decode("utf-8"))
        metadata = table.pop("__metadata__", None) or {}
        entries = {str(name): _entry(item, 8 + length) for name, item in table.items()}
        texts = {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise UserError(f"{path.name} is not a safetensors file (its header cannot be read: {error}).") from error
    end = 8 + length
    for entry in sorted(entries.values(), key=lambda one: (one.offset, one.length)):
        if entry.offset != end:  # tensors that overlap would fill far more memory than the file has bytes
            raise UserError(f"{path.name} is not a safetensors file (its tensors overlap or have gaps).")
        end += entry.length
    if end > size:
        raise UserError(f"{path.name} is cut off: {size:,} of {end:,} bytes are there; download it again.")
    return entries, texts


def _entry(item: dict[str, Any], start: int) -> Entry:
    begin, end = item["data_offsets"]
    shape = tuple(item["shape"])
    if not all(type(number) is int and 0 <= number < 2**48 for number in (begin, end, *shape)):
        raise ValueError("a size makes no sense")
    dtype = _DTYPES[item["dtype"]]
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError("a tensor's size does not fit its shape")
    return Entry(dtype, shape, start + begin, end - begin)


def _table(path: Path, archive: Archive) -> dict[str, Stored]:
    """The tensors of the table, or of the table called ``state_dict``; whatever lies beside them is left alone."""
    content = archive.tree
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or archive.entry(content):
        raise UserError(f"{path.name} holds no table of tensors, so it is not a checkpoint.")
    found = {name: archive.entry(value) for name, value in content.items() if isinstance(name, str)}
    entries = {name: entry for name, entry in found.items() if entry}
    if not entries and any(_foreign(value) for value in (content, *content.values())):
        raise UserError(
            f"{path.name} holds more than tensors (it could run code when opened), so it is not opened; "
            "use the .safetensors version of this model."
        )
    return entries


def _foreign(value: object) -> bool:
    return isinstance(value, Stub) and value.kind != "collections.OrderedDict"


def _folder(path: Path) -> str:
    if (path / "model_index.json").exists() or (path / "unet").is_dir():
        heavy = any(path.rglob("*.safetensors")) or any(path.rglob("*.bin"))
        what = "a diffusers folder" if heavy else "a diffusers folder without weights"
        return f"{path} is {what}; give the single checkpoint file (.safetensors) of this model."
    return f"{path} is a folder; give the checkpoint file in it."
