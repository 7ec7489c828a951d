"""What a LoRA file is, in plain values: for the command `info` and for lists."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from lib_lora.lora import names
from lib_lora.lora.hashes import FileBytes, sshs_model_hash
from lib_lora.lora.metadata import FAMILY_TITLES, family_of
from lib_lora.lora.reading import LoraFile, read

_CONTEXT_WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl"}


def describe(path: Path) -> dict[str, Any]:
    """Read a LoRA file and say what it is.

    Returns:
        Plain values, ready for JSON: ``file``, ``size`` (bytes), ``kind`` (LoRA, LoCon, DoRA, DoRA + LoCon),
        ``family`` (sd1, sd2, sdxl, or None: for another model; read from names and shapes), ``webui_version``
        (under which A1111 lists it, read from the metadata as it does: SD1, SD2, SDXL, Unknown), ``parts``
        (layers of each), ``modules``, ``ranks``, ``alphas`` (None: not in the file, the scale is 1), ``dtype``,
        ``trigger``, ``base_model``, ``base_model_sha256``, ``steps``, ``consent``, ``hash`` (of the tensors, as
        computed now) and ``hashes`` (for each that the metadata claim: whether it is right).

    Raises:
        UserError: as `read`.
    """
    lora = read(path)
    layers = lora.layers.values()
    found = sshs_model_hash(FileBytes(path))
    alphas = {None if layer.alpha is None else round(float(layer.alpha), 4) for layer in layers}
    parts = Counter(names.part_of(name) or "other" for name in lora.layers)
    claimed = family_of(lora.metadata)
    return {
        "file": path.name,
        "size": path.stat().st_size,
        "kind": _kind(lora),
        "family": family(lora),
        "webui_version": FAMILY_TITLES[claimed] if claimed else "Unknown",
        "parts": dict(sorted(parts.items(), key=lambda item: "unet te1 te2 other".index(item[0]))),
        "modules": len(lora.layers),
        "ranks": sorted({layer.rank for layer in layers}),
        "alphas": sorted(alphas, key=lambda alpha: (alpha is None, alpha)),
        "dtype": str(Counter(layer.down.dtype for layer in layers).most_common(1)[0][0]).removeprefix("torch."),
        "trigger": _said(lora, "modelspec.trigger_phrase"),
        "base_model": _said(lora, "ss_sd_model_name"),
        "base_model_sha256": _said(lora, "ss_new_sd_model_hash"),
        "steps": _number(_said(lora, "ss_steps")),
        "consent": _said(lora, "sameface.consent"),
        "hash": found,
        "hashes": _verified(lora, found),
    }


def family(lora: LoraFile) -> str | None:
    """The family of model that the layers fit, or None."""
    fitting = [kind for kind in ("sdxl", "sd1", "sd2") if all(names.locate(kind, name) for name in lora.layers)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    # SD1's and SD2's names are the same: the width of the text conditioning decides; where it is unusual (a toy)
    # or there is none, the metadata do, and at last SD1's projections, which are 1x1 convolutions.
    of_unet = {name: layer for name, layer in lora.layers.items() if names.part_of(name) == "unet"}
    widths = {layer.down[0].numel() for name, layer in of_unet.items() if name.endswith("attn2_to_k")}
    by_width = {_CONTEXT_WIDTHS.get(width) for width in widths}
    claimed = family_of(lora.metadata)
    linear = any(layer.down.ndim == 2 for name, layer in of_unet.items() if name.endswith("proj_in"))
    for guess in (*by_width, claimed, "sd2" if linear else "sd1"):
        if guess in fitting:
            return guess
    return fitting[0]


def _kind(lora: LoraFile) -> str:
    layers = lora.layers.values()
    kinds = []
    if any(layer.dora_scale is not None for layer in layers):
        kinds.append("DoRA")
    if any(re.search(r"_(resnets|in_layers|out_layers)_|samplers_0_conv$|_op$", name) for name in lora.layers):
        kinds.append("LoCon")
    return " + ".join(kinds) or "LoRA"


def _said(lora: LoraFile, key: str) -> str | None:
    value = "".join(letter for letter in lora.metadata.get(key, "") if letter.isprintable())  # it may be a stranger's
    return None if value in ("", "None") else value


def _number(value: str | None) -> int | None:
    return int(value) if value and re.fullmatch(r"[0-9]{1,9}", value) else None


def _verified(lora: LoraFile, found: str) -> dict[str, bool]:
    claims = {key: _said(lora, key) for key in ("sshs_model_hash", "modelspec.hash_sha256")}
    return {key: claim.lower().removeprefix("0x") == found for key, claim in claims.items() if claim is not None}
