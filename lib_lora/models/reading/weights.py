"""Reads single tensors of a checkpoint file, only when they are needed.

Knows safetensors with its limits, what a checkpoint in torch's own files looks like (`archive` reads those), and the
many things that carry the same suffix. Knows nothing about Stable Diffusion. Loads torch with the first numbers: what
a file is can be said without.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from lib_lora.errors import UserError
from lib_lora.files import explained, opened, opened_raw
from lib_lora.models.reading.archive import Archive, Stored
from lib_lora.models.reading.dtypes import torch_dtype
from lib_lora.models.reading.header import read_header
from lib_lora.models.reading.safe_unpickler import Stub

if TYPE_CHECKING:
    import torch

_Entry = TypeVar("_Entry")


class TensorMissing(KeyError):
    """The file has no tensor of this name."""


class TensorFile:
    """The tensors of one file by name. Use `open_tensors` to make one."""

    path: Path
    metadata: dict[str, str]

    def keys(self) -> set[str]:
        """All tensor names."""
        raise TypeError("use open_tensors()")

    def shape(self, key: str) -> tuple[int, ...]:
        """The tensor's shape, without reading it.

        Raises:
            TensorMissing: there is none.
        """
        raise TypeError("use open_tensors()")

    def read(self, key: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The tensor on the CPU as a private copy, as `dtype` (None: as stored).

        Raises:
            TensorMissing: there is none.
        """
        raise TypeError("use open_tensors()")


class _Entries(dict[str, _Entry]):
    """Where each tensor of a file lies."""

    def __missing__(self, key: str) -> NoReturn:
        raise TensorMissing(key)


class _SafeTensors(TensorFile):
    def __init__(self, path: Path) -> None:
        self.path = path
        entries, self.metadata = read_header(path)
        self.entries = _Entries(entries)

    def keys(self) -> set[str]:
        return set(self.entries)

    def shape(self, key: str) -> tuple[int, ...]:
        return self.entries[key].shape

    def read(self, key: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        from lib_lora.models.reading.raw_numbers import read_numbers

        entry = self.entries[key]
        stored = torch_dtype(entry.dtype)
        with explained(self.path, "read"), opened_raw(self.path) as stream:
            stream.seek(entry.offset)
            return read_numbers(stream, self.path.name, entry.shape, stored, dtype or stored)


class _Pickle(TensorFile):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata = {}
        self.archive = Archive(path)
        self.entries = _Entries(_table(path, self.archive))

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
        raise _folder(path)
    with explained(path, "read"), opened(path) as stream:
        start = stream.read(256)
    if not start:
        raise UserError(f"{path.name} is an empty file; download it again.", code="file-empty", file=path.name)
    if start.startswith(b"version https://git-lfs"):
        raise UserError(
            f"{path.name} is a Git LFS pointer, not the model itself; download the real file.",
            code="file-is-lfs-pointer",
            file=path.name,
        )
    if start.lstrip()[:1] == b"<":
        raise UserError(
            f"{path.name} is a web page that was saved instead of a model; download the file again.",
            code="file-is-web-page",
            file=path.name,
        )
    if path.suffix.lower() == ".safetensors":
        return _SafeTensors(path)
    if path.suffix.lower() in (".ckpt", ".pt", ".pth", ".bin"):
        return _Pickle(path)
    raise UserError(
        f"{path.name} is not a checkpoint: expected .safetensors, .ckpt or .pt.",
        code="checkpoint-wrong-format",
        file=path.name,
    )


def _table(path: Path, archive: Archive) -> dict[str, Stored]:
    """The tensors of the table, or of the table called ``state_dict``; whatever lies beside them is left alone."""
    content = archive.tree
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or archive.entry(content):
        raise UserError(
            f"{path.name} contains no table of tensors, so it is not a checkpoint.",
            code="checkpoint-without-tensors",
            file=path.name,
        )
    found = {name: archive.entry(value) for name, value in content.items() if isinstance(name, str)}
    entries = {name: entry for name, entry in found.items() if entry}
    if not entries and any(_foreign(value) for value in (content, *content.values())):
        raise UserError(
            f"{path.name} contains more than tensors (it could run code when opened), so it is not opened; "
            "use the .safetensors version of this model.",
            code="checkpoint-unsafe",
            file=path.name,
        )
    return entries


def _foreign(value: object) -> bool:
    return isinstance(value, Stub) and value.kind != "collections.OrderedDict"


def _folder(path: Path) -> UserError:
    if (path / "model_index.json").exists() or (path / "unet").is_dir():
        heavy = any(path.rglob("*.safetensors")) or any(path.rglob("*.bin"))
        what = "a diffusers folder" if heavy else "a diffusers folder without weights"
        return UserError(
            f"{path} is {what}; give the single checkpoint file (.safetensors) of this model.",
            code="checkpoint-is-diffusers",
            folder=path,
            weights=heavy,
        )
    return UserError(f"{path} is a folder; give the checkpoint file in it.", code="checkpoint-is-folder", folder=path)
