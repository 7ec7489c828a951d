"""The tensors of a CLIP model's file, without running anything that is in it.

A ``.safetensors`` file is data by its nature. ``.bin`` and ``.pt`` files are zips with a pickle, OpenAI's own with
TorchScript code beside it, and not every torch opens those safely: ``torch.jit.load`` runs operators of the file's
choice, and ``torch.load(weights_only=True)`` before torch 2.6 hands such a zip over to it. So the pickle is read here,
by a reader that builds inert stand-ins only, and the code beside it is not looked at.
"""

from __future__ import annotations

import math
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from lib_lora.errors import UserError
from lib_lora.files import explained

if TYPE_CHECKING:
    import torch

LARGEST_PICKLE = 32 << 20  # bytes; a model of 600 tensors has less than one million
_TENSOR = "torch._utils._rebuild_tensor_v2"
_SCRIPT = "constants.pkl"  # only archives with TorchScript have it


class Tensors(Protocol):
    """What can be asked of a file while it is open.

    Attributes:
        script: it is a TorchScript archive, as OpenAI's are.
        shapes: of its tensors, by name.
    """

    script: bool
    shapes: dict[str, tuple[int, ...]]

    def read(self, name: str) -> torch.Tensor:
        """A tensor on the CPU, in a type of its own."""


@contextmanager
def opened(path: Path) -> Iterator[Tensors]:
    """The tensors of a ``.safetensors``, ``.bin`` or ``.pt`` file.

    Raises:
        UserError: it is damaged, or of no such kind. Also while tensors are read.
    """
    if path.suffix.lower() == ".safetensors":
        yield _Safe(path)
        return
    with explained(path, "read"), open(path, "rb") as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise UserError(
                f"{path} is damaged or of an old kind that is not opened; use the model's .safetensors file."
            ) from error
        with archive:
            yield _Archive(path, archive)


class _Safe:
    script = False

    def __init__(self, path: Path) -> None:
        from lib_lora.models.weights import open_tensors

        self._file = open_tensors(path)
        self.shapes = {name: self._file.shape(name) for name in self._file.keys()}

    def read(self, name: str) -> torch.Tensor:
        return self._file.read(name)


class _Entry(NamedTuple):
    """A tensor in a zip: numbers of the type `storage`, `total` of them, in the record `key`."""

    storage: str
    key: str
    total: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Archive:
    """A zip as ``torch.save`` and ``torch.jit.save`` write it: NAME/data.pkl, and the numbers in NAME/data/0, 1, ..."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        names = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(names) != 1:
            raise UserError(f"{path} holds no weights that torch saved.")
        self._folder = names[0].rpartition("/")[0]
        self.script = f"{self._folder}/{_SCRIPT}" in archive.namelist()
        try:
            if archive.getinfo(names[0]).file_size > LARGEST_PICKLE:
                raise ValueError("its table is too large")
            tree = _Inert(BytesIO(archive.read(names[0]))).load()
            self._entries = {name: _entry(tensor.args) for name, tensor in _named(tree, "", set())}
        except Exception as error:  # what a pickle made by anybody can raise has no end
            raise self._damaged(error) from error
        self.shapes = {name: entry.shape for name, entry in self._entries.items()}

    def read(self, name: str) -> torch.Tensor:
        import torch

        types = {"HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16, "FloatStorage": torch.float32}
        entry = self._entries[name]
        try:
            info = self._archive.getinfo(f"{self._folder}/data/{entry.key}")
            if info.compress_type != zipfile.ZIP_STORED:  # torch never compresses, and a small zip could fill memory
                raise ValueError(f"{info.filename} is compressed")
            numbers = torch.frombuffer(bytearray(self._archive.read(info)), dtype=types[entry.storage])
            last = entry.offset + sum((size - 1) * step for size, step in zip(entry.shape, entry.stride, strict=True))
            if len(numbers) != entry.total or last >= entry.total:
                raise ValueError(f"{info.filename} is too short")
            return numbers.as_strided(entry.shape, entry.stride, entry.offset)
        except Exception as error:  # zipfile and torch raise anything on a damaged file
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"{self._path} is damaged or no model ({error}); download it again.")


class _Stub(dict[Any, Any]):
    """Stands for whatever a pickle wants to make: keeps what it would be made of, and does nothing."""

    __slots__ = ("args",)  # the state that a pickle gives goes into `__dict__`
    kind: ClassVar[str]
    args: tuple[Any, ...]

    def __new__(cls, *args: Any, **_: Any) -> _Stub:
        made = super().__new__(cls)
        made.args = args
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()


class _Inert(pickle.Unpickler):
    """Imports nothing: each name in the pickle becomes a new kind of `_Stub`, so nothing else can be called."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return type("Stub", (_Stub,), {"kind": f"{module_name}.{global_name}"})

    def persistent_load(self, pid: Any) -> Any:
        return pid


def _named(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, _Stub]]:
    """The tensors in a table of tensors, or in a tree of modules, by dotted name."""
    if isinstance(value, _Stub) and value.kind == _TENSOR:
        yield name, value
    elif isinstance(value, dict) and id(value) not in seen:
        seen.add(id(value))
        for key, item in {**value, **getattr(value, "__dict__", {})}.items():
            yield from _named(item, f"{name}.{key}" if name else str(key), seen)


def _entry(args: tuple[Any, ...]) -> _Entry:
    """What ``_rebuild_tensor_v2`` is called with: storage, offset, shape, stride and more.

    Raises:
        ValueError, TypeError: it is something else.
    """
    (mark, storage, key, _, count), offset, shape, stride = args[:4]
    numbers = (count, offset, *shape, *stride)
    if mark != "storage" or len(shape) != len(stride) or not all(type(one) is int and one >= 0 for one in numbers):
        raise ValueError("a tensor makes no sense")
    if math.prod(shape) > count:
        raise ValueError("a tensor is larger than its numbers")
    return _Entry(storage.kind.rpartition(".")[2], str(key), count, offset, tuple(shape), tuple(stride))
