"""Converts the names of adapted layers to kohya's names and back.

A key of the file is ``<name>.<what>``: the name has a prefix for the part of the model and then the layer's path with
every dot replaced by ``_``; readers split it at the FIRST dot. SDXL's UNet goes by the original ("SAI") paths,
everything else by diffusers' and transformers'. From strings to strings.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from lib_lora.models.families.model_family import ModelFamily
from lib_lora.models.families.registry import family_named


def kohya_name(family: str, part: str, path: str) -> str:
    """The name under which a layer stands in the file.

    >>> kohya_name("sd1", "unet", "mid_block.attentions.0.proj_in")
    'lora_unet_mid_block_attentions_0_proj_in'
    >>> kohya_name("sdxl", "unet", "mid_block.attentions.0.proj_in")
    'lora_unet_middle_block_1_proj_in'

    Args:
        family: name of the model family.
        part: "unet", "te1" or "te2".
        path: the layer's dotted path in diffusers' or transformers' module.

    Raises:
        KeyError: no such family or part, or a path that no such UNet has.
    """
    model = family_named(family)
    return model.prefixes[part] + model.key_path(part, path).replace(".", "_")


def spellings(family: str, part: str, path: str) -> tuple[str, ...]:
    """All names by which A1111 finds a layer, kohya's first; for reading what other programs wrote.

    SD1 and SD2 UNets are found by original paths too and SDXL's by diffusers', with two exceptions where
    A1111 looks in the wrong place; SD1's text encoder is also found as SDXL's first.

    Raises:
        KeyError: as `kohya_name`.
    """
    return kohya_name(family, part, path), *family_named(family).other_spellings(part, path)


def paths_by_name(family: str, part: str, paths: Iterable[str]) -> dict[str, str]:
    """Every spelling of the names of `paths`, each with its path."""
    found: dict[str, str] = {}
    for path in paths:
        for name in spellings(family, part, path):
            found.setdefault(name, path)
    return found


@lru_cache(maxsize=8)
def _known(family: ModelFamily) -> dict[str, tuple[str, str]]:
    return {
        name: (part, path)
        for part in family.parts
        for name, path in paths_by_name(family.name, part, family.adapter_paths(part, True)).items()
    }


def locate(family: str, name: str) -> tuple[str, str] | None:
    """The part and the dotted path of a name in a file (any spelling), or None if it is no layer we adapt.

    >>> locate("sdxl", "lora_unet_middle_block_1_proj_in")
    ('unet', 'mid_block.attentions.0.proj_in')
    """
    return _known(family_named(family)).get(name)


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
