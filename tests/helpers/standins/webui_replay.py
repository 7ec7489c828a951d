"""What A1111 1.10.1 does with a LoRA file, written down again from reading it. Uses nothing of ``lib_lora``.

A checkpoint's tensors in the original layout are its modules: ``model.diffusion_model.out.2.weight`` is the
weight of the module that A1111 calls ``diffusion_model_out_2``.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

_RESNET = {
    "conv1": "in_layers_2",
    "conv2": "out_layers_3",
    "norm1": "in_layers_0",
    "norm2": "out_layers_0",
    "time_emb_proj": "emb_layers_1",
    "conv_shortcut": "skip_connection",
}
_ROOTS = {
    "model.": "",
    "cond_stage_model.transformer.": "transformer_",
    "cond_stage_model.model.": "model_",
    "conditioner.embedders.0.transformer.": "0_transformer_",
    "conditioner.embedders.1.model.": "1_model_",
}
_Q_K_V = ("_q_proj", "_k_proj", "_v_proj")


def _open_clip(layer: str, leaf: str) -> str:
    leaf = {"mlp_fc1": "mlp_c_fc", "mlp_fc2": "mlp_c_proj"}.get(leaf, leaf.replace("self_attn", "attn"))
    return f"model_transformer_resblocks_{layer}_{leaf}"


def webui_name(name: str, kind: str) -> str:
    """Where A1111 looks first for a layer of the file; `kind` is sd1, sd2 or sdxl."""
    found = re.fullmatch(r"lora_unet_(down|up)_blocks_(\d+)_(attentions|resnets)_(\d+)_(.+)", name)
    if found:
        way, i, what, j, leaf = found.groups()
        index = 3 * int(i) + int(j) + (way == "down")
        blocks = "input_blocks" if way == "down" else "output_blocks"
        if what == "attentions":
            return f"diffusion_model_{blocks}_{index}_1_{leaf}"
        return f"diffusion_model_{blocks}_{index}_0_{_RESNET.get(leaf, leaf)}"
    if found := re.fullmatch(r"lora_unet_mid_block_attentions_\d+_(.+)", name):
        return f"diffusion_model_middle_block_1_{found[1]}"
    if found := re.fullmatch(r"lora_unet_mid_block_resnets_(\d+)_(.+)", name):
        return f"diffusion_model_middle_block_{2 * int(found[1])}_{_RESNET.get(found[2], found[2])}"
    if found := re.fullmatch(r"lora_unet_down_blocks_(\d+)_downsamplers_0_conv", name):
        return f"diffusion_model_input_blocks_{3 * int(found[1]) + 3}_0_op"
    if found := re.fullmatch(r"lora_unet_up_blocks_(\d+)_upsamplers_0_conv", name):
        return f"diffusion_model_output_blocks_{3 * int(found[1]) + 2}_{1 if found[1] == '0' else 2}_conv"
    if found := re.fullmatch(r"lora_te_text_model_encoder_layers_(\d+)_(.+)", name):
        return _open_clip(*found.groups()) if kind == "sd2" else f"transformer_{name.removeprefix('lora_te_')}"
    if found := re.fullmatch(r"lora_te2_text_model_encoder_layers_(\d+)_(.+)", name):
        return f"1_{_open_clip(*found.groups())}"
    return name


def webui_find(name: str, modules: Collection[str], kind: str) -> str | None:
    """The name of the module that A1111 changes for a layer of the file, or None: then it says nothing."""
    tries = [webui_name(name, kind)]
    if name.startswith("lora_unet"):
        tries.append(name.replace("lora_unet", "diffusion_model"))
    if name.startswith("lora_te1_text_model"):
        tries.append(name.replace("lora_te1_text_model", "0_transformer_text_model"))
        tries.append(name.replace("lora_te1_text_model", "transformer_text_model"))
    return next((one for one in tries if one in modules), None)


def webui_modules(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, int | None]]:
    """A1111's module names for an original checkpoint: name -> (key, third of the tensor or None)."""
    modules: dict[str, tuple[str, int | None]] = {}
    for key, tensor in tensors.items():
        root = next((root for root in _ROOTS if key.startswith(root)), None)
        if root is None or tensor.ndim < 2:
            continue
        name = _ROOTS[root] + key.removeprefix(root).replace(".", "_")
        if name.endswith("_in_proj_weight"):
            attention = name.removesuffix("_in_proj_weight")
            modules |= {attention + end: (key, third) for third, end in enumerate(_Q_K_V)}
        elif name.endswith("_weight"):
            modules[name.removesuffix("_weight")] = (key, None)
    return modules


def webui_merge(
    checkpoint: Mapping[str, Tensor], lora: Mapping[str, Tensor], kind: str, multiplier: float = 1.0
) -> dict[str, Tensor]:
    """A copy of `checkpoint` (original layout, float32) with the tensors of a LoRA file in it."""
    layers: dict[str, dict[str, Tensor]] = {}
    for key, tensor in lora.items():
        name, _, what = key.partition(".")
        layers.setdefault(name, {})[what] = tensor.float()
    modules = webui_modules(checkpoint)
    result = dict(checkpoint)
    for name, layer in layers.items():
        module = webui_find(name, modules, kind)
        assert module is not None, f"A1111 would ignore {name}"
        key, third = modules[module]
        result[key] = result[key].clone()
        weight = result[key] if third is None else result[key].chunk(3)[third]
        weight += multiplier * _change(weight, layer)
    return result


def _change(weight: Tensor, layer: Mapping[str, Tensor]) -> Tensor:
    down, up = layer["lora_down.weight"], layer["lora_up.weight"]
    scale = layer["alpha"].item() / down.shape[0] if "alpha" in layer else 1.0
    change: Tensor = scale * (up.reshape(len(up), -1) @ down.reshape(len(down), -1)).reshape(weight.shape)
    if "dora_scale" not in layer:
        return change
    whole = weight + change
    norm = whole.transpose(0, 1).reshape(whole.shape[1], -1).norm(dim=1)
    norm = norm.reshape(1, -1, *[1] * (weight.ndim - 2))
    changed: Tensor = whole * (layer["dora_scale"] / norm) - weight
    return changed


def as_float(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a toy with all floating numbers in float32."""
    return {key: item.float() if item.is_floating_point() else item for key, item in tensors.items()}


def webui_bundled(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The embeddings that its loader finds in a LoRA file, by name: vectors, or one for each of SDXL's encoders."""
    found: dict[str, dict[str, Any]] = {}
    for key, weight in tensors.items():
        layer, _, part = key.partition(".")
        if layer == "bundle_emb":
            name, vector = part.split(".", 1)
            one = found.setdefault(name, {})
            if vector.split(".")[0] == "string_to_param":
                one["string_to_param"] = {vector.split(".", 1)[1]: weight}
            else:
                one[vector] = weight
    embeddings: dict[str, Any] = {}
    for name, data in found.items():
        if "string_to_param" in data:
            (embeddings[name],) = data["string_to_param"].values()
        else:
            assert set(data) == {"clip_l", "clip_g"}
            embeddings[name] = data
    return embeddings


def webui_heard(
    tokens: Sequence[int], comma: Sequence[int], names: Mapping[str, Sequence[int]], embeddings: Mapping[str, Any]
) -> tuple[list[list[int]], list[list[tuple[int, Any]]]]:
    """Its `tokenize_line` for one text of weight 1: the tokens of each chunk, and where which vectors are put."""
    chunks: list[list[int]] = []
    put: list[list[tuple[int, Any]]] = []
    current: list[int] = []
    fixes: list[tuple[int, Any]] = []
    position, last_comma = 0, -1
    while position < len(tokens):
        if tokens[position] == comma[0]:
            last_comma = len(current)
        elif len(current) == 75 and last_comma != -1 and len(current) - last_comma <= 20:
            moved = current[last_comma + 1 :]
            chunks.append(current[: last_comma + 1])
            put.append(fixes)
            current, fixes, last_comma = moved, [], -1
        if len(current) == 75:
            chunks.append(current)
            put.append(fixes)
            current, fixes, last_comma = [], [], -1
        name = next(
            (one for one, ids in names.items() if list(tokens[position : position + len(ids)]) == list(ids)), None
        )
        if name is None:
            current.append(tokens[position])
            position += 1
            continue
        vectors = embeddings[name]
        count = len(vectors["clip_g"] if isinstance(vectors, dict) else vectors)
        if len(current) + count > 75:
            chunks.append(current)
            put.append(fixes)
            current, fixes, last_comma = [], [], -1
        fixes.append((len(current), vectors))
        current += [0] * count
        position += len(names[name])
    if current or not chunks:
        chunks.append(current)
        put.append(fixes)
    return chunks, put
