"""Names of the VAE's tensors: diffusers' layout to the original one. Strings to strings."""

from __future__ import annotations

import re

_RULES = (
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.attn_1\.group_norm\.", ".attn_1.norm."),
    (r"\.attn_1\.to_(q|k|v)\.", r".attn_1.\1."),
    (r"\.attn_1\.to_out\.0\.", ".attn_1.proj_out."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.down_blocks\.(\d+)\.resnets\.", r".down.\1.block."),
    (r"\.down_blocks\.(\d+)\.downsamplers\.0\.", r".down.\1.downsample."),
    (r"\.up_blocks\.(\d+)\.resnets\.", r".up.\1.block."),
    (r"\.up_blocks\.(\d+)\.upsamplers\.0\.", r".up.\1.upsample."),
)


def original_key(key: str, levels: int) -> str:
    """The original name of the tensor that diffusers' ``AutoencoderKL`` calls `key`.

    Args:
        key: e.g. ``decoder.up_blocks.0.resnets.1.conv1.weight``.
        levels: number of resolutions; the decoder counts them from the other end.

    >>> original_key("decoder.up_blocks.0.resnets.1.conv1.weight", 4)
    'decoder.up.3.block.1.conv1.weight'
    """
    for pattern, replacement in _RULES:
        key = re.sub(pattern, replacement, key)
    return re.sub(r"\.up\.(\d+)\.", lambda found: f".up.{levels - 1 - int(found[1])}.", key)
