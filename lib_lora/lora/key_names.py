"""kohya's names of adapted layers, and back. Strings to strings.

A key of the file is ``<name>.<what>``: the name has a prefix for the part of the model and then the layer's
path with every dot replaced by ``_``; readers split it at the FIRST dot. SDXL's UNet goes by the original
("SAI") paths, everything else by diffusers' and transformers'.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from lib_lora.lora import targets
from lib_lora.models.unet_names import original_path

PREFIXES: dict[str, dict[str, str]] = {
    "sd1": {"unet": "lora_unet_", "te1": "lora_te_"},
    "sd2": {"unet": "lora_unet_", "te1": "lora_te_"},
    "sdxl": {"unet": "lora_unet_", "te1": "lora_te1_", "te2": "lora_te2_"},
}
_UP_HAS_ATTENTION = {"sd1": (False, True, True, True), "sd2": (False, True, True, True), "sdxl": (True, True, False)}


def kohya_name(family: str, part: str, path: str) -> str:
    """The name under which a layer stands in the file.

    >>> kohya_name("sd1", "unet", "mid_block.attentions.0.proj_in")
    'lora_unet_mid_block_attentions_0_proj_in'
    >>> kohya_name("sdxl", "unet", "mid_block.attentions.0.proj_in")
    'lora_unet_middle_block_1_proj_in'

    Args:
        family: "sd1", "sd2" or "sdxl".
        part: "unet", "te1" or (SDXL) "te2".
        path: the layer's dotted path in diffusers' or transformers' module.

    Raises:
        KeyError: no such family or part, or a path that no such UNet has.
    """
    prefix = PREFIXES[family][part]
    inner = original_path(path, _UP_HAS_ATTENTION[family]) if (family, part) == ("sdxl", "unet") else path
    return prefix + inner.replace(".", "_")


def spellings(family: str, part: str, path: str) -> tuple[str, ...]:
    """All names by which A1111 finds a layer, kohya's first; for reading what other programs wrote.

    SD1 and SD2 UNets are found by original paths too and SDXL's by diffusers', with two exceptions where
    A1111 looks in the wrong place; SD1's text encoder is also found as SDXL's first.

    Raises:
        KeyError: as `kohya_name`.
    """
    name = kohya_name(family, part, path)
    if part == "unet":
        if family == "sdxl":
            if path.startswith("add_embedding") or path == "up_blocks.0.upsamplers.0.conv":
                return (name,)
            return name, "lora_unet_" + path.replace(".", "_")
        return name, "lora_unet_" + original_path(path, _UP_HAS_ATTENTION[family]).replace(".", "_")
    if family == "sd1":
        return name, "lora_te1_" + path.replace(".", "_")
    return (name,)


def paths_by_name(family: str, part: str, paths: Iterable[str]) -> dict[str, str]:
    """Every spelling of the names of `paths`, each with its path."""
    found: dict[str, str] = {}
    for path in paths:
        for name in spellings(family, part, path):
            found.setdefault(name, path)
    return found


@cache
def _known(family: str) -> dict[str, tuple[str, str]]:
    return {
        name: (part, path)
        for part in targets.PARTS[family]
        for name, path in paths_by_name(family, part, targets.paths(family, part, True)).items()
    }


def locate(family: str, name: str) -> tuple[str, str] | None:
    """The part and the dotted path of a name in a file (any spelling), or None if it is no layer we adapt.

    >>> locate("sdxl", "lora_unet_middle_block_1_proj_in")
    ('unet', 'mid_block.attentions.0.proj_in')
    """
    return _known(family).get(name)


def part_of(name: str) -> str | None:
    """The part that a name's prefix stands for, whatever the family; None if it is not one of kohya's."""
    for prefix, part in (("lora_unet_", "unet"), ("lora_te1_", "te1"), ("lora_te2_", "te2"), ("lora_te_", "te1")):
        if name.startswith(prefix):
            return part
    return None


def split_key(key: str) -> tuple[str, str]:
    """A key's layer name and what the tensor is, split at the first dot as A1111 does.

    >>> split_key("lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight")
    ('lora_te_text_model_encoder_layers_0_mlp_fc1', 'lora_down.weight')
    """
    name, _, what = key.partition(".")
    return name, what
