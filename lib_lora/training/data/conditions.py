"""Gives the UNet's conditioning for captions: encoded at each step while text encoders are trained, else cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch

from lib_lora.models.text_conditioning import Conditioning, TextStack, join
from lib_lora.training.data.encoding_cache import cached


class Conditions(Protocol):
    """Gives the conditioning of a batch of captions.

    Attributes:
        chunks: of 75 tokens, to which all captions are padded.
    """

    chunks: int

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        """Encode `captions`; shapes as in `Conditioning`."""
        ...


class LiveConditions:
    """Encodes at every step, with gradients into the encoders' adapters."""

    def __init__(self, stack: TextStack, clip_skip: int, chunks: int = 1) -> None:
        self.stack, self.clip_skip, self.chunks = stack, clip_skip, chunks

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        """Encode `captions`."""
        return self.stack.encode(captions, self.clip_skip, self.chunks)


class FrozenConditions:
    """Encodes each caption once, in `prepare`; kept in memory and in the cache on disk.

    Args:
        folder: of the cache.
        key: everything but the caption that affects the encoding.
        load: makes the text encoders; called only when a caption is not in the cache.
        clip_skip: as in `TextStack.encode`.
        chunks: what the longest caption of the run has, so that no encoding depends on its neighbours.
        device, dtype: of what is given out.
    """

    def __init__(
        self,
        folder: Path,
        key: tuple[object, ...],
        load: Callable[[], TextStack],
        clip_skip: int,
        chunks: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.folder, self.key, self.load = folder, key, load
        self.clip_skip, self.chunks, self.device, self.dtype = clip_skip, chunks, device, dtype
        self.stack: TextStack | None = None
        self.memory: dict[str, Conditioning] = {}

    def prepare(self, captions: Sequence[str], release: bool) -> None:
        """Encode these now. With `release` the encoders leave memory, as no other caption will come."""
        for caption in ["", *captions]:
            if caption not in self.memory:
                key = ("text", *self.key, self.clip_skip, caption)
                self.memory[caption] = self._ready(cached(self.folder, key, lambda: self._encode(caption)))  # noqa: B023
        if release:
            self.stack = None

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        """The remembered encodings as one batch."""
        return join([self._one(caption) for caption in captions], self._one(""), self.chunks)

    def _one(self, caption: str) -> Conditioning:
        """A prepared caption, or one of the many forms of a shuffled one, which are not worth keeping."""
        return self.memory.get(caption) or self._ready(self._encode(caption))

    def _ready(self, tensors: dict[str, torch.Tensor]) -> Conditioning:
        ready = {name: tensor.to(self.device, self.dtype) for name, tensor in tensors.items()}
        return Conditioning(ready["context"], ready.get("pooled"))

    @torch.no_grad()
    def _encode(self, caption: str) -> dict[str, torch.Tensor]:
        self.stack = self.stack or self.load()
        encoded = self.stack.encode([caption], self.clip_skip)
        tensors = {"context": encoded.context.float().cpu()}
        return tensors if encoded.pooled is None else {**tensors, "pooled": encoded.pooled.float().cpu()}
