"""Lists the layers of a Stable Diffusion UNet and of CLIP's text encoders that get an adapter, by dotted name.

Names, not classes: a library that renames a class would else leave a part silently untrained. The full lists follow
from the architecture; the LoRA file's checks rest on them. Strings only; knows no tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
FEED_FORWARD = ("ff.net.0.proj", "ff.net.2")
PROJECTIONS = ("proj_in", "proj_out")
RESIDUAL = ("conv1", "conv2", "time_emb_proj", "conv_shortcut")
SAMPLERS = ("downsamplers.0.conv", "upsamplers.0.conv")
TEXT_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj")
TEXT = (*TEXT_ATTENTION, "mlp.fc1", "mlp.fc2")

# The names of the 3x3 convolutions among them, each to be matched at the end of a dotted name.
# No "|" at the top level: peft 0.13 puts them in its own expression without brackets.
CONVOLUTION_ENDS = (r"resnets\.\d+\.conv[12]", r"(?:down|up)samplers\.0\.conv")


def unet_pattern(convolutions: bool) -> str:
    """A regular expression that matches, as a whole, the dotted names of the UNet's layers to adapt.

    Args:
        convolutions: with the residual blocks and samplers.
    """
    block = rf"transformer_blocks\.\d+\.(attn[12]\.({_any(ATTENTION)})|{_any(FEED_FORWARD)})"
    found = rf".*\battentions\.\d+\.({_any(PROJECTIONS)}|{block})"
    if convolutions:
        found += rf"|.*\bresnets\.\d+\.({_any(RESIDUAL)})|.*\b({_any(SAMPLERS)})"
    return found


def text_pattern() -> str:
    """The pattern for the layers of a text encoder."""
    return rf"(.*\.)?encoder\.layers\.\d+\.({_any(TEXT)})"


def _any(names: tuple[str, ...]) -> str:
    return "|".join(name.replace(".", r"\.") for name in names)


def text_paths(layers: int) -> tuple[str, ...]:
    """The layers to adapt in a text encoder of so many layers (a small model has fewer than its family)."""
    return tuple(f"text_model.encoder.layers.{n}.{leaf}" for n in range(layers) for leaf in TEXT)


def unet_paths(depths: Sequence[int], middle_depth: int, convolutions: bool) -> tuple[str, ...]:
    """The dotted names of all layers to adapt in a UNet, in the order of the model.

    Args:
        depths: transformer blocks on each level; 0 = the level has no attention.
        middle_depth: transformer blocks in the middle.
        convolutions: with the residual blocks and samplers.
    """
    found = [path for prefix, depth in _transformers(depths, middle_depth) for path in _transformer(prefix, depth)]
    if convolutions:
        found += _convolutions(len(depths))
    return tuple(found)


def _transformers(depths: Sequence[int], middle_depth: int) -> list[tuple[str, int]]:
    """The attention stages of the UNet, each with its number of transformer blocks."""
    down = [(f"down_blocks.{i}.attentions.{j}", depth) for i, depth in enumerate(depths) for j in range(2)]
    up = [(f"up_blocks.{i}.attentions.{j}", depth) for i, depth in enumerate(reversed(depths)) for j in range(3)]
    middle = [("mid_block.attentions.0", middle_depth)]
    return [(prefix, depth) for prefix, depth in (*down, *middle, *up) if depth]


def _transformer(prefix: str, depth: int) -> list[str]:
    inner = [f"attn{n}.{leaf}" for n in (1, 2) for leaf in ATTENTION] + list(FEED_FORWARD)
    blocks = [f"{prefix}.transformer_blocks.{k}.{leaf}" for k in range(depth) for leaf in inner]
    return [f"{prefix}.proj_in", *blocks, f"{prefix}.proj_out"]


def _convolutions(levels: int) -> list[str]:
    """The residual blocks' layers and the samplers of a UNet with so many levels."""
    down = [(f"down_blocks.{i}.resnets.{j}", i in (1, 2) and j == 0) for i in range(levels) for j in range(2)]
    middle = [(f"mid_block.resnets.{j}", False) for j in range(2)]
    up = [(f"up_blocks.{i}.resnets.{j}", True) for i in range(levels) for j in range(3)]
    # a shortcut is where the width changes: on the way down at two levels, on the way up at every skip connection
    layers = [
        f"{prefix}.{leaf}"
        for prefix, widens in (*down, *middle, *up)
        for leaf in RESIDUAL
        if widens or leaf != "conv_shortcut"
    ]
    samplers = [f"{way}_blocks.{i}.{way}samplers.0.conv" for way in ("down", "up") for i in range(levels - 1)]
    return layers + samplers
