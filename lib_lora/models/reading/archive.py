"""Reads files of ``torch.save`` and ``torch.jit.save`` as data: nothing that is in them is executed.

Torch itself is not asked: before 2.6, ``torch.load(weights_only=True)`` hands a zip with TorchScript over to
``torch.jit.load``, which runs the code in it (CVE-2025-32434). Here the pickle is read by `safe_unpickler`, the code
beside it is not looked at, and the numbers are read from where they lie.

There are two containers. A zip has the pickle in NAME/data.pkl and the numbers in NAME/data/0, 1, ... (uncompressed).
Before torch 1.6 five pickles (a magic number, the version, the system, the content, the storages' names) came first,
and then each storage: its count as 8 bytes, and its numbers. Knows nothing about any kind of model.
"""

from __future__ import annotations

import math
import struct
import zipfile
from io import BytesIO, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lib_lora.errors import UserError
from lib_lora.files import explained, opened, opened_raw
from lib_lora.models.reading.dtypes import SIZES, torch_dtype
from lib_lora.models.reading.safe_unpickler import SafeUnpickler, Stub

if TYPE_CHECKING:
    import torch

LARGEST_PICKLE = 32 << 20  # bytes; a model of 600 tensors has less than one million
_ZIP = b"PK\x03\x04"
_LITTLE = b"little"
_SCRIPT = "constants.pkl"  # only archives with TorchScript have it
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001  # of the older container, from torch.serialization

_TENSOR = {f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3")}
_PARAMETER = {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
_SUBCLASS = "torch._tensor._rebuild_from_type_v2"
_UNTYPED = "UntypedStorage"  # its count is of bytes, and the tensor says its type
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    _UNTYPED: "uint8",
}

_UNSTORED = {f"torch.{name}": name for name in ("float8_e4m3fn", "float8_e5m2")}


class Stored(NamedTuple):
    """A tensor: numbers of one storage.

    Attributes:
        dtype: of the numbers, one of `dtypes.SIZES`.
        shape: of the tensor.
        stride: in numbers, for each dimension; 1 where it does not matter.
        storage: its name in the file.
        first: the first number's place in the storage, in numbers.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    storage: str
    first: int


class _Place(NamedTuple):
    """Where a storage lies in the file, in bytes: in a zip its header begins at `start`, otherwise its numbers do."""

    start: int
    length: int


class _Content(NamedTuple):
    tree: Any
    script: bool
    places: dict[Any, _Place]


class Archive:
    """A file that torch wrote.

    Attributes:
        tree: what was saved, made of Python's plain types and of `Stub`.
        script: it is a TorchScript archive.
    """

    def __init__(self, path: Path) -> None:
        """Read all but the numbers.

        Raises:
            UserError: it cannot be read, is damaged, or torch did not write it.
        """
        self._path = path
        with explained(path, "read"), opened(path) as stream:
            self._zipped = stream.read(len(_ZIP)) == _ZIP
            try:
                self.tree, self.script, self._places = (_zip if self._zipped else _old)(stream, path.stat().st_size)
            except OSError:
                raise
            except Exception as error:  # what a pickle made by anybody can raise has no end
                raise self._damaged(error) from error

    def entry(self, value: Any) -> Stored | None:
        """The tensor that something in `tree` stands for; None where it is not one.

        Raises:
            UserError: a tensor that makes no sense, has no numbers in the file, or is of an unknown type.
        """
        try:
            call = _rebuilt(value)
            return None if call is None else self._checked(*call)
        except Exception as error:
            raise self._damaged(error) from error

    def read(self, entry: Stored, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The tensor on the CPU, contiguous, as a private copy of type `dtype` (None: as stored).

        Raises:
            UserError: the file is damaged, or cannot be read any more.
        """
        import torch

        from lib_lora.models.reading.raw_numbers import read_numbers

        stored = torch_dtype(entry.dtype)
        wanted = dtype or stored
        if 0 in entry.shape:
            return torch.empty(entry.shape, dtype=wanted)
        with explained(self._path, "read"), opened_raw(self._path) as stream:
            place = self._places[entry.storage]
            stream.seek(place.start)
            try:
                header = _zip_header(stream) if self._zipped else 0
            except (ValueError, struct.error) as error:
                raise self._damaged(error) from error
            stream.seek(place.start + header + entry.first * SIZES[entry.dtype])
            if _contiguous(entry):
                return read_numbers(stream, self._path.name, entry.shape, stored, wanted)
            flat = read_numbers(stream, self._path.name, (_span(entry),), stored, stored)
            spread = flat.as_strided(entry.shape, entry.stride)
            return spread.to(wanted, copy=True, memory_format=torch.contiguous_format)

    def _checked(self, kind: str, args: tuple[Any, ...]) -> Stored:
        """What a function like ``_rebuild_tensor_v2`` is called with: storage, offset, shape, stride and more."""
        (mark, storage, key, _, count, *view), first, shape, stride, *more = args
        dtype = _STORAGES[_short(storage)]
        if kind.endswith("_v3"):
            dtype = _UNSTORED[more.pop(2).kind]
            count //= SIZES[dtype]
        if len(more) > 2 and more[2]:
            raise ValueError("a tensor is kept in an unknown way")
        base = 0
        if view and view[0] is not None:  # a part of a storage, in files of the first versions
            _, base, count = view[0]
        numbers = (count, first, base, *shape, *stride)
        if mark != "storage" or len(shape) != len(stride) or not all(type(one) is int and one >= 0 for one in numbers):
            raise ValueError("a tensor makes no sense")
        if math.prod(shape) > count or math.prod(size or 1 for size in shape) > 2**48:
            raise ValueError("a tensor is larger than its numbers")
        steps = tuple(step if size > 1 else 1 for size, step in zip(shape, stride, strict=True))
        entry = Stored(dtype, tuple(shape), steps, key, base + first)
        if 0 not in shape:
            if key not in self._places:
                raise ValueError(f"there is no item named {key!r}")
            if first + _span(entry) > count or (base + count) * SIZES[dtype] > self._places[key].length:
                raise ValueError(f"the item {key!r} is too short")
        return entry

    def _damaged(self, error: Exception) -> UserError:
        return UserError(
            f"{self._path} is damaged or cut off ({str(error)[:200] or type(error).__name__}); download it again.",
            code="checkpoint-archive-damaged",
            file=self._path,
        )


def _zip(stream: Any, size: int) -> _Content:
    with zipfile.ZipFile(stream) as archive:
        names = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("it holds no weights that torch saved")
        folder = names[0].removesuffix("data.pkl")
        records = {info.filename.removeprefix(folder): info for info in archive.infolist()}
        if records["data.pkl"].file_size > LARGEST_PICKLE:
            raise ValueError("its table is too large")
        order = records.get("byteorder")
        if order and (order.file_size != len(_LITTLE) or archive.read(order) != _LITTLE):
            raise ValueError("its numbers are big-endian")
        places = {}
        for name, info in records.items():
            if name.startswith("data/"):
                if info.compress_type != zipfile.ZIP_STORED:  # torch never does, and a small zip could fill memory
                    raise ValueError(f"{info.filename} is compressed")
                if info.header_offset + info.file_size > size:
                    raise ValueError(f"{info.filename} is too short")
                places[name.removeprefix("data/")] = _Place(info.header_offset, info.file_size)
        tree = SafeUnpickler(BytesIO(archive.read(records["data.pkl"]))).load()
    return _Content(tree, _SCRIPT in records, places)


def _zip_header(stream: FileIO) -> int:
    """The length of a zip's local header: 30 bytes, a name and an extra field that torch fills for alignment."""
    header = stream.read(30)
    name, extra = struct.unpack("<26x2H", header)
    if not header.startswith(_ZIP):
        raise ValueError("an item is not where it should be")
    return 30 + int(name) + int(extra)


def _old(stream: Any, size: int) -> _Content:
    stream.seek(0)
    start = BytesIO(stream.read(LARGEST_PICKLE))
    if (SafeUnpickler(start).load(), SafeUnpickler(start).load()) != (_MAGIC, _VERSION):
        raise ValueError("torch did not write it")
    SafeUnpickler(start).load()
    content = SafeUnpickler(start)
    tree = content.load()
    keys = SafeUnpickler(start).load()
    storages = {pid[2]: (_STORAGES[_short(pid[1])], pid[4]) for pid in content.persistent if pid[0] == "storage"}
    places, begin = {}, start.tell()
    for key in keys:
        dtype, count = storages[key]
        stream.seek(begin)
        if struct.unpack("<q", stream.read(8)) != (count,):
            raise ValueError(f"the item {key!r} is not where it should be")
        places[key] = _Place(begin + 8, count * SIZES[dtype])
        begin = sum(places[key])
    if begin > size:
        raise ValueError(f"{size:,} of {begin:,} bytes are there")
    return _Content(tree, False, places)


def _rebuilt(value: Any) -> tuple[str, tuple[Any, ...]] | None:
    """The function that makes a tensor, and its arguments; None: `value` stands for no tensor."""
    kind, args = (type(value).kind, value.args) if isinstance(value, Stub) else ("", ())
    while kind in _PARAMETER or kind == _SUBCLASS:
        kind, args = (args[0].kind, args[2]) if kind == _SUBCLASS else (type(args[0]).kind, args[0].args)
        if type(args) is not tuple:  # only tuples cannot hold themselves
            raise ValueError("a tensor makes no sense")
    return (kind, args) if kind in _TENSOR else None


def _span(entry: Stored) -> int:
    """How many numbers lie from a tensor's first to its last."""
    return 1 + sum((size - 1) * step for size, step in zip(entry.shape, entry.stride, strict=True))


def _contiguous(entry: Stored) -> bool:
    expected = 1
    for size, step in zip(reversed(entry.shape), reversed(entry.stride), strict=True):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True


def _short(storage: Any) -> str:
    """``torch.FloatStorage`` -> ``FloatStorage``"""
    return str(storage.kind.rpartition(".")[2])
