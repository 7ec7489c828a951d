"""Writes the golden key lists in ``golden/``. Run by hand: ``python tests/lora/make_golden.py``.

Uses nothing of ``lib_lora``. SD1 and SD2 names come from the published configurations, built by diffusers and
transformers; SDXL's UNet from the names of the original checkpoint, as the toy builder lists them.
"""

import gzip
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

GOLDEN = Path(__file__).parent / "golden"
SD15 = {"cross_attention_dim": 768, "attention_head_dim": 8}
SD21 = {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}
SDXL = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
OPEN_CLIP_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
OPEN_CLIP_G = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}


@cache
def full_size(kind: str) -> torch.nn.Module:
    """The published model of a part, without memory: "sd1-unet", "sd2-te1", "sdxl-te2", ... Not to be changed."""
    configs: dict[str, dict[str, Any]] = {"sd1-unet": SD15, "sd2-unet": SD21, "sdxl-unet": SDXL}
    texts = {"sd1-te1": CLIP_L, "sd2-te1": OPEN_CLIP_H, "sdxl-te1": CLIP_L, "sdxl-te2": OPEN_CLIP_G}
    with torch.device("meta"):
        if kind in configs:
            unet: torch.nn.Module = UNet2DConditionModel(**configs[kind])
            return unet
        model = CLIPTextModelWithProjection if kind == "sdxl-te2" else CLIPTextModel
        made = model(CLIPTextConfig(**texts[kind]))
        # since transformers 5.6 CLIPTextModel is what was its ``text_model``
        return made if hasattr(made, "text_model") else torch.nn.ModuleDict({"text_model": made})


def _weights(model: torch.nn.Module) -> list[str]:
    """The dotted names of all matrices and kernels."""
    return [key.removesuffix(".weight") for key, item in model.state_dict().items() if item.ndim in (2, 4)]


def golden_names(kind: str) -> list[str]:
    """The layer names of a list; "...-conv" is what convolutions add to the UNet's."""
    if kind.startswith("sdxl-unet"):
        return _sdxl_unet(kind.endswith("-conv"))
    family, part = kind.split("-")[:2]
    paths = _weights(full_size(f"{family}-{part}"))
    if part == "unet":
        wanted = r"resnets|samplers" if kind.endswith("-conv") else r"attentions"
        prefix = "lora_unet_"
    else:
        wanted = r"layers\.\d"
        prefix = {"sd1-te1": "lora_te_", "sd2-te1": "lora_te_", "sdxl-te1": "lora_te1_", "sdxl-te2": "lora_te2_"}[kind]
    return [prefix + path.replace(".", "_") for path in paths if re.search(wanted, path)]


def _sdxl_unet(convolutions: bool) -> list[str]:
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers" / "trainings"))
    import toys

    root = "model.diffusion_model."
    blocks = re.compile(r"(input_blocks\.[1-9]\d*|middle_block|output_blocks)\.")
    attention = re.compile(r"\.(transformer_blocks|proj_in|proj_out)\b")
    paths = [
        key.removeprefix(root).removesuffix(".weight")
        for key, item in toys.toy_tensors("sdxl").items()
        if key.startswith(root) and key.endswith(".weight") and item.ndim in (2, 4)
    ]
    chosen = [path for path in paths if blocks.match(path) and bool(attention.search(path)) != convolutions]
    return ["lora_unet_" + path.replace(".", "_") for path in chosen]


LISTS = {
    "sd1-unet": 192,
    "sd1-unet-conv": 86,
    "sd1-te1": 72,
    "sd2-unet": 192,
    "sd2-unet-conv": 86,
    "sd2-te1": 138,
    "sdxl-unet": 722,
    "sdxl-unet-conv": 66,
    "sdxl-te1": 72,
    "sdxl-te2": 192,
}


def keys_of(names: Iterable[str]) -> list[str]:
    """The sorted keys of a plain LoRA of these layers."""
    return sorted(f"{name}.{what}" for name in names for what in ("alpha", "lora_down.weight", "lora_up.weight"))


def golden(kind: str) -> list[str]:
    """A stored list."""
    plain = GOLDEN / f"{kind}.txt"
    raw = plain.read_bytes() if plain.exists() else gzip.decompress((GOLDEN / f"{kind}.txt.gz").read_bytes())
    return raw.decode().split()


if __name__ == "__main__":
    for kind, number in LISTS.items():
        names = golden_names(kind)
        assert len(set(names)) == len(names) == number, (kind, len(names))
        text = ("\n".join(keys_of(names)) + "\n").encode()
        if len(text) > 100_000:
            (GOLDEN / f"{kind}.txt.gz").write_bytes(gzip.compress(text, mtime=0))
        else:
            (GOLDEN / f"{kind}.txt").write_bytes(text)
