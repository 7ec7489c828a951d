"""Models and LoRAs for the tests of this room: toys with adapters in them, as if trained."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
import toys
from safetensors.torch import save_file
from torch import Tensor, nn
from webui_replay import as_float

from lib_lora.lora.adapter.adapter import Adapter, attach
from lib_lora.lora.adapter_settings import LoraSettings
from lib_lora.lora.file.metadata import LoraFacts, build
from lib_lora.models.families.identify import identify

CPU = torch.device("cpu")
KINDS = {"sd1": "sd1", "sd2": "sd2v", "sdxl": "sdxl"}
SHAPES = {
    "LoRA": LoraSettings(rank=4, alpha=3),
    "rsLoRA": LoraSettings(rank=5, alpha=2, use_rslora=True),
    "LoCon": LoraSettings(rank=4, alpha=2, conv_rank=3, conv_alpha=1.5, te_rank=2, te_alpha=1),
    "DoRA": LoraSettings(rank=4, alpha=3, use_dora=True),
    "DoRA LoCon": LoraSettings(rank=4, alpha=3, conv_rank=2, conv_alpha=1.5, use_dora=True, use_rslora=True),
}


@cache
def checkpoint_tensors(family: str) -> dict[str, Tensor]:
    """The tensors of a toy in the original layout, float32; not to be changed."""
    return as_float(toys.toy_tensors(KINDS[family]))


def parts_of(tensors: Mapping[str, Tensor], folder: Path, dtype: torch.dtype = torch.float32) -> dict[str, nn.Module]:
    """Write a checkpoint and load its UNet and text encoders."""
    path = folder / f"{len(list(folder.iterdir()))}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, str(path))
    info = identify(path)
    encoders = info.load_text(dtype, CPU).encoders
    named = {f"te{n}": encoder for n, encoder in enumerate(encoders, 1)}
    return {"unet": info.load_denoiser(dtype, CPU), **named}


def as_if_trained(adapter: Adapter, seed: int = 1) -> Adapter:
    """Random numbers in all of an adapter, each of which half precision can hold, so that files are exact."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in adapter.layers:
            for what, item in layer.parameters().items():
                noise = torch.randn(item.shape, generator=random)
                if what == "magnitude":
                    item.mul_(1 + 0.05 * noise)
                else:
                    spread = 0.15 if what == "up" else item[0].numel() ** -0.5
                    item.copy_((spread * noise).half().float())
    return adapter


def trained(
    family: str, shape: str | LoraSettings, folder: Path, dtype: torch.dtype = torch.float32
) -> tuple[dict[str, nn.Module], Adapter]:
    """A toy's parts with an adapter that does something."""
    torch.manual_seed(0)
    parts = parts_of(checkpoint_tensors(family), folder, dtype)
    settings = SHAPES[shape] if isinstance(shape, str) else shape
    return parts, as_if_trained(attach(parts, family, settings))


def metadata(family: str, **facts: Any) -> dict[str, str]:
    """The metadata of such a file."""
    return build(LoraFacts(family=family, prediction="v" if family == "sd2" else "epsilon", **facts))


@torch.no_grad()
def outputs(parts: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """What each part gives for fixed random inputs: the UNet's prediction, the encoders' hidden states."""
    random = torch.Generator().manual_seed(7)
    unet = parts["unet"]
    context = torch.randn(2, 77, unet.config.cross_attention_dim, generator=random).to(dtype)
    extra = {}
    if unet.config.addition_embed_type:
        wide = unet.config.projection_class_embeddings_input_dim - 6 * 256
        extra["added_cond_kwargs"] = {
            "text_embeds": torch.randn(2, wide, generator=random).to(dtype),
            "time_ids": torch.tensor([[64.0, 64, 0, 0, 64, 64]] * 2),
        }
    latents = torch.randn(2, 4, 16, 16, generator=random).to(dtype)
    found = {"unet": unet(latents, torch.tensor([7, 801]), context, **extra).sample.float()}
    ids = torch.randint(0, 49406, (2, 77), generator=random)
    for part, model in parts.items():
        if part != "unet":
            found[part] = model(ids, output_hidden_states=True).hidden_states[-1].float()
    return found


def furthest(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> dict[str, float]:
    """The largest difference of two sets of outputs, by part."""
    return {part: float((first[part] - second[part]).abs().max()) for part in first}


def flat_tensors(
    names: Iterable[str], rank: int = 2, width: int = 4, alpha: float = 1.0, dora: bool = False
) -> dict[str, Tensor]:
    """Tensors of a LoRA for linear layers of any names, narrow and quick to write; no two layers are the same."""
    random = torch.Generator().manual_seed(3)
    tensors = {}
    for name in names:
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
        tensors[f"{name}.lora_down.weight"] = torch.randn(rank, width, generator=random)
        tensors[f"{name}.lora_up.weight"] = torch.randn(width, rank, generator=random)
        if dora:
            tensors[f"{name}.dora_scale"] = 1 + torch.rand(1, width, generator=random)
    return tensors
