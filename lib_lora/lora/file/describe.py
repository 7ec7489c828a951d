"""Describes a LoRA file in plain values, for the command `info` and for lists.

Loads no torch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lib_lora.files import explained, opened_raw
from lib_lora.lora import key_names
from lib_lora.lora.bundled import vectors_shape, words_in
from lib_lora.lora.file.metadata import family_of
from lib_lora.lora.file.open_file import open_lora, refuse_broken
from lib_lora.lora.hashes import FileBytes, sshs_model_hash
from lib_lora.lora.layers import Shape, keys_by_layer
from lib_lora.models.families.registry import families, family_named
from lib_lora.models.reading.header import TensorEntry, read_header
from lib_lora.models.reading.plain_numbers import pieces


@dataclass(frozen=True)
class Layer:
    """What the file says of one layer.

    Attributes:
        down: shape of the half that goes down to the rank.
        dtype: of its numbers, as torch calls it.
        alpha: the number, rounded; None: it has none.
        dora: it has DoRA's magnitude.
    """

    down: Shape
    dtype: str
    alpha: float | None
    dora: bool


def describe(path: Path) -> dict[str, Any]:
    """Read a LoRA file and say what it is.

    Returns:
        Plain values, ready for JSON: ``file``, ``size`` (bytes), ``kind`` (LoRA, LoCon, DoRA, DoRA + LoCon),
        ``family`` (its name, or None: for another model; read from names and shapes), ``webui_version``
        (under which A1111 lists it, read from the metadata as it does: SD1, SD2, SDXL, Unknown), ``parts``
        (layers of each), ``modules``, ``ranks``, ``alphas`` (None: not in the file, the scale is 1), ``dtype``,
        ``words`` (that have vectors of their own in it, and how many), ``trigger``, ``base_model``,
        ``base_model_sha256``, ``steps``, ``consent``, ``hash`` (of the tensors, as computed now) and ``hashes`` (for
        each that the metadata claim: whether it is right).

    Raises:
        UserError: as `reading.read`.
    """
    layers, metadata = read_layers(path)
    shapes = {key: entry.shape for key, entry in read_header(path)[0].items()}
    found = sshs_model_hash(FileBytes(path))
    alphas = {layer.alpha for layer in layers.values()}
    parts = Counter(key_names.part_of(name) or "other" for name in layers)
    claimed = family_of(metadata)
    return {
        "file": path.name,
        "size": path.stat().st_size,
        "kind": _kind(layers),
        "family": family(layers, metadata),
        "webui_version": family_named(claimed).title if claimed else "Unknown",
        "parts": dict(sorted(parts.items(), key=lambda item: "unet te1 te2 other".index(item[0]))),
        "modules": len(layers),
        "ranks": sorted({layer.down[0] for layer in layers.values()}),
        "alphas": sorted(alphas, key=lambda alpha: (alpha is None, alpha)),
        "dtype": Counter(layer.dtype for layer in layers.values()).most_common(1)[0][0],
        "words": {word: vectors_shape(shapes[keys[0]])[0] for word, keys in words_in(shapes, path.name).items()},
        "trigger": _said(metadata, "modelspec.trigger_phrase"),
        "base_model": _said(metadata, "ss_sd_model_name"),
        "base_model_sha256": _said(metadata, "ss_new_sd_model_hash"),
        "steps": _number(_said(metadata, "ss_steps")),
        "consent": _said(metadata, "sameface.consent"),
        "hash": found,
        "hashes": _verified(metadata, found),
    }


def read_layers(path: Path) -> tuple[dict[str, Layer], dict[str, str]]:
    """The layers of a LoRA file, by name, and its metadata.

    Raises:
        UserError: as `reading.read`; every number of the file is looked at.
    """
    _, keys = open_lora(path)
    entries, metadata = read_header(path)
    layers = keys_by_layer({key: entries[key].shape for key in keys}, path.name)
    broken, alphas = [], {}
    with explained(path, "read"), opened_raw(path) as stream:
        for key in sorted(keys, key=lambda one: entries[one].offset):
            for piece in pieces(stream, path.name, entries[key]):
                if not np.isfinite(piece).all():
                    broken.append(key)
                    break
                if prod(entries[key].shape) == 1:
                    alphas[key] = round(float(piece[0]), 4)
    refuse_broken(path.name, broken, len(layers))
    return {name: _layer(fields, entries, alphas) for name, fields in layers.items()}, metadata


def _layer(fields: Mapping[str, str], entries: Mapping[str, TensorEntry], alphas: Mapping[str, float]) -> Layer:
    down = entries[fields["down"]]
    return Layer(down.shape, down.dtype, alphas[fields["alpha"]] if "alpha" in fields else None, "dora_scale" in fields)


def family(layers: Mapping[str, Layer], metadata: Mapping[str, str]) -> str | None:
    """The family of model that the layers fit, or None."""
    fitting = [one for one in families() if all(key_names.locate(one.name, name) for name in layers)]
    if len(fitting) < 2:
        return fitting[0].name if fitting else None
    # SD1's and SD2's names are the same: the width of the text conditioning decides; where it is unusual (a toy)
    # or there is none, the metadata do, and at last SD1's projections, which are 1x1 convolutions.
    of_unet = {name: layer for name, layer in layers.items() if key_names.part_of(name) == "unet"}
    widths = {prod(layer.down[1:]) for name, layer in of_unet.items() if name.endswith("attn2_to_k")}
    by_width = [one for one in fitting if widths & set(one.context_widths)]
    claimed = [one for one in fitting if one.name == family_of(metadata)]
    linear = any(len(layer.down) == 2 for name, layer in of_unet.items() if name.endswith("proj_in"))
    by_projections = [one for one in fitting if one.linear_projections == linear]
    return (*by_width, *claimed, *by_projections, *fitting)[0].name


def _kind(layers: Mapping[str, Layer]) -> str:
    kinds = []
    if any(layer.dora for layer in layers.values()):
        kinds.append("DoRA")
    if any(re.search(r"_(resnets|in_layers|out_layers)_|samplers_0_conv$|_op$", name) for name in layers):
        kinds.append("LoCon")
    return " + ".join(kinds) or "LoRA"


def _said(metadata: Mapping[str, str], key: str) -> str | None:
    value = "".join(letter for letter in metadata.get(key, "") if letter.isprintable())  # it may be a stranger's
    return None if value in ("", "None") else value


def _number(value: str | None) -> int | None:
    return int(value) if value and re.fullmatch(r"[0-9]{1,9}", value) else None


def _verified(metadata: Mapping[str, str], found: str) -> dict[str, bool]:
    claims = {key: _said(metadata, key) for key in ("sshs_model_hash", "modelspec.hash_sha256")}
    return {key: claim.lower().removeprefix("0x") == found for key, claim in claims.items() if claim is not None}
