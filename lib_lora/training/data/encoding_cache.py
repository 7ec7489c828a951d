"""Caches latents and text encodings on disk, under the hash of everything that affects them.

A file that is damaged (by the SHA-256 in it) or of another version is computed again. Deletable at any time.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialise

from lib_lora.files import atomic_file, digest_of

_DIGEST = "sha256"  # in a file's metadata
LAYOUT = 1  # raise when the meaning of a cached tensor changes


def file_of(folder: Path, key_parts: tuple[object, ...]) -> Path:
    """The file under the key of `key_parts`, whether it is there or not."""
    return folder / f"{digest_of(LAYOUT, *key_parts)}.safetensors"


def cached(
    folder: Path, key_parts: tuple[object, ...], compute: Callable[[], dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """The tensors under the key of `key_parts`, computed and stored where they are not there.

    Args:
        folder: of this kind of thing.
        key_parts: everything that affects the result, as values that print the same everywhere.
        compute: makes the tensors (on the CPU).
    """
    path = file_of(folder, key_parts)
    with suppress(OSError, SafetensorError, ValueError, AttributeError):
        content = path.read_bytes()
        (length,) = struct.unpack_from("<Q", content.ljust(8, b"\0"))
        said = json.loads(content[8 : 8 + length]).get("__metadata__", {}).get(_DIGEST)
        tensors = parse(content)
        if said in (None, _digest(tensors)):  # files of older versions have none
            return tensors
    tensors = {name: tensor.contiguous() for name, tensor in compute().items()}
    with atomic_file(path) as stream:
        stream.write(serialise(tensors, {_DIGEST: _digest(tensors)}))
    return tensors


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
