"""Reading single tensors out of a checkpoint file, as late and as little as possible.

Knows the two containers (safetensors, and torch's zip pickle read with ``weights_only``), their limits and
the many things that carry the same suffix. Knows nothing about Stable Diffusion.

Tensors are read with plain file reads, not mapped: the memory used is the memory kept, and on
Windows the file stays free to be replaced or deleted.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
import zipfile
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from lib_lora.errors import UserError
from lib_lora.files import explained

# Numbers that are read and converted at a time. More would be converted by several threads, which wait for each other
# between pieces in a busy loop: on a busy machine that took five times as long.
_PIECE = 1 << 15
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
        self.piece = torch.empty(_PIECE * 8, dtype=torch.uint8)  # the widest number has 8 bytes

    def keys(self) -> set[str]:
        return set(self.entries)

    def shape(self, key: str) -> tuple[int, ...]:
        return self.entries[key].shape

    def read(self, key: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        entry = self.entries[key]
        with explained(self.path, "read"), open(self.path, "rb", buffering=0) as stream:
            stream.seek(entry.offset)
            if dtype is None or dtype == entry.dtype:
                raw = torch.empty(entry.length, dtype=torch.uint8)
                self._fill(stream, raw)
                return raw.view(entry.dtype).reshape(entry.shape)
            # Piece by piece: a second copy of the whole tensor would take memory, and its fresh pages longer than the
            # conversion itself.
            result = torch.empty(entry.shape, dtype=dtype)
            for target in torch.split(result.view(-1), _PIECE):
                piece = self.piece[: len(target) * entry.dtype.itemsize]
                self._fill(stream, piece)
                target.copy_(piece.view(entry.dtype))
            return result

    def _fill(self, stream: FileIO, raw: torch.Tensor) -> None:
        """Fill `raw` (uint8) with the file's next bytes."""
        view = memoryview(cast(Any, raw.numpy()))
        while len(view):
            got = stream.readinto(view)
            if not got:
                raise UserError(f"{self.path.name} became shorter while it was read; download it again.")
            view = view[got:]


class _Pickle(TensorFile):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata = {}
        self.tensors = _load_pickle(path)

    def keys(self) -> set[str]:
        return set(self.tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self.tensors[key].shape)

    def read(self, key: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        tensor = self.tensors[key]
        return tensor.to(dtype=dtype or tensor.dtype, copy=True)


def open_tensors(path: Path) -> TensorFile:
    """Open a ``.safetensors``, ``.ckpt``, ``.pt`` or ``.bin`` file.

    Raises:
        UserError: missing, truncated, a folder, a download error page, a Git LFS pointer, or a pickle
            that holds anything but plain tensors (it is never executed).
    """
    if path.is_dir():
        raise UserError(_folder(path))
    with explained(path, "read"), open(path, "rb") as stream:
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
        with open(path, "rb") as stream:
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


def _load_pickle(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a torch pickle. Only the types that ``weights_only`` admits are ever built."""
    try:
        is_zip = zipfile.is_zipfile(path)
        content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=is_zip or None)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path.name} holds more than tensors (it could run code when opened), so it is not opened; "
            "use the .safetensors version of this model."
        ) from error
    except Exception as error:  # torch's reader raises anything on a damaged file
        raise UserError(f"{path.name} is damaged or cut off; download it again.") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise UserError(f"{path.name} holds no table of tensors, so it is not a checkpoint.")
    return {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}


def _folder(path: Path) -> str:
    if (path / "model_index.json").exists() or (path / "unet").is_dir():
        heavy = any(path.rglob("*.safetensors")) or any(path.rglob("*.bin"))
        what = "a diffusers folder" if heavy else "a diffusers folder without weights"
        return f"{path} is {what}; give the single checkpoint file (.safetensors) of this model."
    return f"{path} is a folder; give the checkpoint file in it."
