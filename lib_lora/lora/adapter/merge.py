"""Merges a LoRA file into a model for a while, with the arithmetic that A1111 uses.

Used where pictures are painted without a webui. The weights are float tensors of diffusers' and transformers'
modules; nothing of them is changed for good.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from lib_lora.errors import Misfit, UserError
from lib_lora.lora import key_names
from lib_lora.lora.dora import input_norm
from lib_lora.lora.file.reading import LoraFile
from lib_lora.lora.file.tensors import LayerTensors, incomplete_attention
from lib_lora.models.families.registry import family_named

Layer: TypeAlias = nn.Linear | nn.Conv2d


@dataclass(frozen=True)
class Merge:
    """What of the file was used.

    Attributes:
        applied: the number of layers that were changed, by part.
        ignored: names in the file that none of the parts has, or that A1111 leaves out too.
    """

    applied: dict[str, int]
    ignored: tuple[str, ...]


@contextmanager
def merged(parts: Mapping[str, nn.Module], family: str, lora: LoraFile, weight: float = 1.0) -> Iterator[Merge]:
    """Merge a LoRA into the weights of `parts` inside the block; afterwards they are again what they were, exactly.

    The change is ``weight * alpha / rank * up @ down`` (alpha missing: scale 1); with DoRA it is ``weight *
    (decomposed - original)``, as in A1111. It is computed in float32 and rounded once to the weight's dtype.
    The original weights wait in the CPU's memory, so that no more of a GPU's is used; as A1111 does it.

    Args:
        parts: "unet", "te1", "te2"; a part of the file that is not given is left out.
        family: name of the model family.
        lora: as `read` gives it.
        weight: 1 = as trained; any finite number.

    Raises:
        UserError: the LoRA is for another model, or has a DoRA that A1111 computes wrongly.
        ValueError: a weight that is no number.
    """
    if not math.isfinite(weight):
        raise Misfit(f"the weight of a LoRA cannot be {weight}.", "weight")
    plan, merge = _plan(parts, family, lora)
    originals: list[tuple[torch.Tensor, torch.Tensor]] = []
    try:
        if weight:
            for name, layer in plan.items():
                changed = _changed(layer.weight, lora.layers[name], weight, f"{lora.path.name}: {name!r}")
                originals.append((layer.weight, layer.weight.data.to("cpu", copy=True)))
                layer.weight.data.copy_(changed)
        yield merge
    finally:
        for parameter, original in originals:
            parameter.data.copy_(original)


def _plan(parts: Mapping[str, nn.Module], family: str, lora: LoraFile) -> tuple[dict[str, Layer], Merge]:
    """The layer for each name in the file that is to be used."""
    plan: dict[str, Layer] = {}
    applied: dict[str, int] = {}
    for part, module in parts.items():
        layers = {path: layer for path, layer in module.named_modules() if isinstance(layer, Layer)}
        by_name = key_names.paths_by_name(family, part, layers)
        used = {name: by_name[name] for name in lora.layers if name in by_name}
        if part in family_named(family).joint_attention:  # A1111 has q, k, v and out of these as one module
            lost = incomplete_attention({path for path in used.values() if ".self_attn." in path})
            used = {
                name: path
                for name, path in used.items()
                if ".self_attn." not in path or path.rpartition(".self_attn.")[0] not in lost
            }
        plan |= {name: layers[path] for name, path in used.items()}
        applied[part] = len(used)
    if not plan:
        raise UserError(
            f"{lora.path.name} has no layer of this {family} model; it is for a different kind of model, "
            "and a webui would paint as if it were not there.",
            code="lora-of-other-family",
            file=lora.path.name,
        )
    return plan, Merge(applied, tuple(name for name in lora.layers if name not in plan))


@torch.no_grad()
def _changed(weight: torch.Tensor, tensors: LayerTensors, multiplier: float, where: str) -> torch.Tensor:
    """The weight with the LoRA in it, in the weight's dtype and on its device."""
    original = weight.detach().float()
    try:
        delta = tensors.delta(original.shape, original.device)
    except ValueError as error:
        raise UserError(
            f"{where} does not fit the model ({error}); it was trained on a different one.", code="lora-layer-mismatch"
        ) from error
    if tensors.dora_scale is not None:
        whole = original + delta
        norm = input_norm(whole)
        if tensors.dora_scale.numel() != norm.numel() or tensors.dora_scale.shape[0] != 1:
            raise UserError(
                f"{where} has a DoRA on the output axis, which A1111 computes wrongly; retrain it here, "
                "or as a plain LoRA.",
                code="dora-on-output-axis",
            )
        scale = tensors.dora_scale.float().to(original.device).reshape(norm.shape)
        delta = whole * (scale / norm) - original
    return (original + multiplier * delta).to(weight.dtype)
