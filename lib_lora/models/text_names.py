"""Names of OpenCLIP's text tower: transformers' layout to OpenCLIP's. Strings to strings."""

from __future__ import annotations

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
