"""Converts names of the UNet's parts from diffusers' layout to the original ("SAI", "ldm") layout.

All Stable Diffusion 1, 2 and XL UNets have two residual blocks a level on the way down and three on the way up, so one
level is three numbers in the flat ``input_blocks`` / ``output_blocks`` lists. From strings to strings.
"""

from __future__ import annotations

from collections.abc import Sequence

UNET = "model.diffusion_model."  # what the names of its tensors begin with in a checkpoint
_HEADS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def original_path(path: str, up_has_attention: Sequence[bool] = (True, True, False)) -> str:
    """The original dotted path of a module that diffusers calls `path`.

    Args:
        path: e.g. ``down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q``, no ``.weight``.
        up_has_attention: for each up block, whether it has attention (the upsampler's index
            depends on it). The default is SDXL's.

    >>> original_path("down_blocks.1.attentions.0.proj_in")
    'input_blocks.4.1.proj_in'

    Raises:
        KeyError: `path` names no part of such a UNet.
    """
    if path in _HEADS:
        return _HEADS[path]
    words = path.split(".")
    if words[0] == "mid_block":
        index = 1 if words[1] == "attentions" else 2 * int(words[2])
        return _join(f"middle_block.{index}", words[1], words[3:])
    block, kind, j = int(words[1]), words[2], int(words[3])
    if words[0] == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{3 * block + 3}.0.op"
        return _join(f"input_blocks.{3 * block + j + 1}.{int(kind == 'attentions')}", kind, words[4:])
    if words[0] == "up_blocks":
        if kind == "upsamplers":
            return f"output_blocks.{3 * block + 2}.{2 if up_has_attention[block] else 1}.conv"
        return _join(f"output_blocks.{3 * block + j}.{int(kind == 'attentions')}", kind, words[4:])
    raise KeyError(path)


def _join(stem: str, kind: str, rest: Sequence[str]) -> str:
    """`stem` and the inner name; only residual blocks have other inner names than diffusers."""
    inner = [_RESNET[rest[0]], *rest[1:]] if kind == "resnets" else list(rest)
    return ".".join([stem, *inner])
