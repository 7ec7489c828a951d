"""Describes a CLIP text encoder of a base model: its place in the checkpoint, and what of its output is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TextEncoder:
    """A text encoder.

    Attributes:
        layout: how the checkpoint names its tensors: transformers' names or OpenCLIP's.
        prefix: of its tensors in the checkpoint.
        layers: how many of its layers get an adapter.
        pad: the token that stands after EOS.
        output: which layer the denoiser hears: "skip" (the last, or the one that clip skip names), "last", or "second"
            (the last but one, without the final norm).
        unread: layers at its end that are not used, and so never read.
        pooled: its projected EOS vector is used too.
        other_prefixes: kohya prefixes beside its own under which webuis find its layers.
    """

    layout: Literal["clip", "open_clip"]
    prefix: str
    layers: int
    pad: int
    output: Literal["skip", "last", "second"]
    unread: int = 0
    pooled: bool = False
    other_prefixes: tuple[str, ...] = ()

    @property
    def feed_forward_pattern(self) -> str:
        """A regular expression of the tensors [inner, width] whose first group is the layer's number."""
        prefix = self.prefix.replace(".", r"\.")
        if self.layout == "clip":
            return rf"{prefix}(?:text_model\.)?encoder\.layers\.(\d+)\.mlp\.fc1\.weight"
        return rf"{prefix}transformer\.resblocks\.(\d+)\.mlp\.c_fc\.weight"
