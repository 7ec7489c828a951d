"""Which layers get an adapter: by the last words of their names in diffusers' and transformers' modules.

Names, not classes: a library that renames a class would else leave a part silently untrained.
Also the full list of these layers in each family, from its architecture; the file's checks rest on it.
Strings only; knows no tensors.
"""

from __future__ import annotations

from functools import cache

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
FEED_FORWARD = ("ff.net.0.proj", "ff.net.2")
PROJECTIONS = ("proj_in", "proj_out")
RESIDUAL = ("conv1", "conv2", "time_emb_proj", "conv_shortcut")
SAMPLERS = ("downsamplers.0.conv", "upsamplers.0.conv")
TEXT_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj")
TEXT = (*TEXT_ATTENTION, "mlp.fc1", "mlp.fc2")

PARTS: dict[str, tuple[str, ...]] = {"sd1": ("unet", "te1"), "sd2": ("unet", "te1"), "sdxl": ("unet", "te1", "te2")}
# SD2's encoder has 24 layers; the family reads the last but one, so the 24th is never built.
_TEXT_LAYERS = {("sd1", "te1"): 12, ("sd2", "te1"): 23, ("sdxl", "te1"): 12, ("sdxl", "te2"): 32}
_DEPTHS = {"sd1": (1, 1, 1, 0), "sd2": (1, 1, 1, 0), "sdxl": (0, 2, 10)}  # transformer blocks on each level
_MIDDLE_DEPTH = {"sd1": 1, "sd2": 1, "sdxl": 10}


def pattern(part: str, convolutions: bool) -> str:
    """A regular expression that matches, as a whole, the dotted names of the layers to adapt.

    Args:
        part: "unet", "te1" or "te2".
        convolutions: with the UNet's residual blocks and samplers.
    """
    if part != "unet":
        return rf"(.*\.)?encoder\.layers\.\d+\.({_any(TEXT)})"
    block = rf"transformer_blocks\.\d+\.(attn[12]\.({_any(ATTENTION)})|{_any(FEED_FORWARD)})"
    found = rf".*\battentions\.\d+\.({_any(PROJECTIONS)}|{block})"
    if convolutions:
        found += rf"|.*\bresnets\.\d+\.({_any(RESIDUAL)})|.*\b({_any(SAMPLERS)})"
    return found


# The names of the 3x3 convolutions among them, each to be matched at the end of a dotted name.
# No "|" at the top level: peft 0.13 puts them in its own expression without brackets.
CONVOLUTION_ENDS = (r"resnets\.\d+\.conv[12]", r"(?:down|up)samplers\.0\.conv")


def _any(names: tuple[str, ...]) -> str:
    return "|".join(name.replace(".", r"\.") for name in names)


@cache
def paths(family: str, part: str, convolutions: bool = False) -> tuple[str, ...]:
    """The dotted names of all layers to adapt in one part of a model, in the order of the model.

    The numbers of them: SD1 and SD2 UNets 192 (278 with convolutions), SDXL's 722 (788); text encoders
    SD1 72, SD2 138, SDXL 72 and 192.

    Raises:
        ValueError: the family has no such part.
    """
    if part not in PARTS[family]:
        raise ValueError(f"{family} has no part {part!r}; it has {', '.join(PARTS[family])}.")
    if part != "unet":
        return text_paths(_TEXT_LAYERS[family, part])
    found = [path for prefix, depth in _transformers(family) for path in _transformer(prefix, depth)]
    if convolutions:
        found += _convolutions(len(_DEPTHS[family]))
    return tuple(found)


def text_paths(layers: int) -> tuple[str, ...]:
    """The layers to adapt in a text encoder of so many layers (a small model has fewer than its family)."""
    return tuple(f"text_model.encoder.layers.{n}.{leaf}" for n in range(layers) for leaf in TEXT)


def _transformers(family: str) -> list[tuple[str, int]]:
    """The attention stages of the UNet, each with its number of transformer blocks."""
    depths = _DEPTHS[family]
    down = [(f"down_blocks.{i}.attentions.{j}", depth) for i, depth in enumerate(depths) for j in range(2)]
    up = [(f"up_blocks.{i}.attentions.{j}", depth) for i, depth in enumerate(reversed(depths)) for j in range(3)]
    middle = [("mid_block.attentions.0", _MIDDLE_DEPTH[family])]
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
