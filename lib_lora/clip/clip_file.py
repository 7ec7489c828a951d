"""Reads the tensors of a CLIP model's file without running anything that is in it.

A ``.safetensors`` file is data by its nature. ``.bin`` and ``.pt`` files are pickles, OpenAI's own with TorchScript
code beside it; `models.reading.archive` reads them as data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lib_lora.errors import UserError

if TYPE_CHECKING:
    import torch

    from lib_lora.models.reading.archive import Archive, Stored


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
    yield _Safe(path) if path.suffix.lower() == ".safetensors" else _Saved(path)


class _Safe:
    script = False

    def __init__(self, path: Path) -> None:
        from lib_lora.models.reading.weights import open_tensors

        self._file = open_tensors(path)
        self.shapes = {name: self._file.shape(name) for name in self._file.keys()}

    def read(self, name: str) -> torch.Tensor:
        return self._file.read(name)


class _Saved:
    def __init__(self, path: Path) -> None:
        from lib_lora.models.reading.archive import Archive

        self._archive = Archive(path)
        self.script = self._archive.script
        try:
            self._entries = dict(_named(self._archive, self._archive.tree, "", set()))
        except RecursionError as error:
            raise UserError(
                f"{path} is damaged or not a model ({error}).", code="clip-file-damaged", file=path
            ) from error
        self.shapes = {name: entry.shape for name, entry in self._entries.items()}

    def read(self, name: str) -> torch.Tensor:
        return self._archive.read(self._entries[name])


def _named(archive: Archive, value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Stored]]:
    """The tensors in a table of tensors, or in a tree of modules, by dotted name."""
    from lib_lora.models.reading.safe_unpickler import Stub

    if entry := archive.entry(value):
        yield name, entry
    elif isinstance(value, dict) and id(value) not in seen:
        seen.add(id(value))
        for key, item in {**value, **(value.state if isinstance(value, Stub) else {})}.items():
            if isinstance(key, str):
                yield from _named(archive, item, f"{name}.{key}" if name else key, seen)
