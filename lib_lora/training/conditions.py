"""What the UNet hears for a caption: encoded anew each step while the text encoders are trained, else remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch

from lib_lora.models.text import Conditioning, TextStack, join
from lib_lora.training.cache import cached


class Conditions(Protocol):
    """Gives the conditioning of a batch of captions."""

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        """Encode `captions`; shapes as in `Conditioning`."""
        ...


class LiveConditions:
    """Encodes at every step, with gradients into the encoders' adapters."""

    def __init__(self, stack: TextStack, clip_skip: int) -> None:
        self.stack = stack
        self.clip_skip = clip_skip

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        """Encode `captions`."""
        return self.stack.encode(captions, self.clip_skip)


class FrozenConditions:
    """Encodes each caption once; kept in memory and in the cache on disk.

    Args:
        folder: of the cache.
        key: everything but the caption that affects the encoding.
        load: makes the text encoders; called only when a caption is not in the cache.
        clip_skip: as in `TextStack.encode`.
        device, dtype: of what is given out.
    """

    def __init__(
        self,
        folder: Path,
        key: tuple[object, ...],
        load: Callable[[], TextStack],
        clip_skip: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.folder, self.key, self.load = folder, key, load
        self.clip_skip, self.device, self.dtype = clip_skip, device, dtype
        self.stack: TextStack | None = None
        self.memory: dict[str, Conditioning] = {}

    def prepare(self, captions: Sequence[str], release: bool) -> None:
        """Encode these now. With `release` the encoders leave memory, as no other caption will come."""
        for caption in ["", *captions]:
            self._one(caption)
        if release:
            self.stack = None

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        """The remembered encodings as one batch."""
        return join([self._one(caption) for caption in captions], self._one(""))

    def _one(self, caption: str) -> Conditioning:
        if caption not in self.memory:
            tensors = cached(
                self.folder, ("text", *self.key, self.clip_skip, caption), lambda: self._encode(caption)
            )
            ready = {name: tensor.to(self.device, self.dtype) for name, tensor in tensors.items()}
            self.memory[caption] = Conditioning(ready["context"], ready.get("pooled"))
        return self.memory[caption]

    @torch.no_grad()
    def _encode(self, caption: str) -> dict[str, torch.Tensor]:
        self.stack = self.stack or self.load()
        encoded = self.stack.encode([caption], self.clip_skip)
        tensors = {"context": encoded.context.float().cpu()}
        return tensors if encoded.pooled is None else {**tensors, "pooled": encoded.pooled.float().cpu()}
