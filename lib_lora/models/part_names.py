"""Converts names of tensors of the VAE and the text encoder from diffusers and transformers to those of checkpoints."""

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


_WHOLE = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "text_projection.weight": "text_projection",
}
_INNER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
_PROJECTIONS = ("q_proj", "k_proj", "v_proj")


def open_clip_key(key: str) -> tuple[str, int | None]:
    """OpenCLIP's name of a transformers tensor, and which third of it (None: all of it).

    OpenCLIP stores q, k and v as one matrix ``in_proj``; ``text_projection`` is stored transposed.

    >>> open_clip_key("text_model.encoder.layers.3.self_attn.k_proj.bias")
    ('transformer.resblocks.3.attn.in_proj_bias', 1)

    Raises:
        KeyError: no such tensor.
    """
    if key in _WHOLE:
        return _WHOLE[key], None
    head, _, rest = key.removeprefix("text_model.encoder.layers.").partition(".")
    stem = f"transformer.resblocks.{int(head)}"
    inner, _, leaf = rest.rpartition(".")
    if inner in _INNER:
        return f"{stem}.{_INNER[inner]}.{leaf}", None
    projection = inner.removeprefix("self_attn.")
    if projection in _PROJECTIONS:
        return f"{stem}.attn.in_proj_{leaf}", _PROJECTIONS.index(projection)
    if projection == "out_proj":
        return f"{stem}.attn.out_proj.{leaf}", None
    raise KeyError(key)
