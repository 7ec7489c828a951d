"""Reads a LoRA file without trusting it: only ``.safetensors`` files with kohya's names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from lib_lora.lora.bundled import vectors_shape, words_in
from lib_lora.lora.file.open_file import open_lora, refuse_broken
from lib_lora.lora.file.tensors import LayerTensors, group
from lib_lora.models.textual_inversion import TextualInversion


@dataclass(frozen=True)
class LoraFile:
    """A LoRA that has been read.

    Attributes:
        path: where it lies.
        tensors: by kohya's keys, in the dtypes of the file, on the CPU.
        metadata: the file's texts.
    """

    path: Path
    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]

    @cached_property
    def layers(self) -> dict[str, LayerTensors]:
        """The tensors by layer."""
        return group(self.tensors, self.path.name)

    @cached_property
    def inversions(self) -> tuple[TextualInversion, ...]:
        """The words that have vectors of their own in the file."""
        shapes = {key: tuple(tensor.shape) for key, tensor in self.tensors.items()}
        return tuple(
            TextualInversion(word, tuple(self.tensors[key].float().reshape(vectors_shape(shapes[key])) for key in keys))
            for word, keys in words_in(shapes, self.path.name).items()
        )


def read(path: Path) -> LoraFile:
    """Read a LoRA file; nothing in it is trusted.

    Raises:
        UserError: one sentence that says what the file is instead, or what is wrong with it.
    """
    file, keys = open_lora(path)
    lora = LoraFile(path, {key: file.read(key) for key in keys}, file.metadata)
    layers = lora.layers
    refuse_broken(path.name, [key for key, tensor in lora.tensors.items() if not _finite(tensor)], len(layers))
    return lora


def _finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor.float()).all())
