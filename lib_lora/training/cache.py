"""Latents and text encodings on disk, under the hash of everything that affects them.

A file that is damaged or of another version is computed again. Deletable at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialise

from lib_lora.files import atomic_file, digest_of

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
    try:
        return parse(path.read_bytes())
    except (OSError, SafetensorError, ValueError):
        tensors = {name: tensor.contiguous() for name, tensor in compute().items()}
        with atomic_file(path) as stream:
            stream.write(serialise(tensors))
        return tensors
