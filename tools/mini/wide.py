"""The small model at Stable Diffusion 1.5's own sizes: `python -m tools.mini.wide FILE`.

Forge and its descendants know a model by the exact sizes of its tensors, so the small one is none to them. Here every
channel of it is repeated until the sizes fit, and what reads a channel reads the mean of its copies: the numbers that
leave each layer are those of the small model. Two things are not exact: the group norms of two blocks of the UNet (5
and 6 of the way up), whose groups the sizes cut differently, and the VAE's third level, see `fitting_vae`. The file
takes 2.1 GB, and making it some minutes.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lib_lora.models.families.identify import identify
from lib_lora.models.part_names import original_key
from lib_lora.models.reading.header import read_header
from tools.mini.fitting_vae import fitting
from tools.mini.webui import MODEL

Map = torch.Tensor  # for each channel of the wide model, the small one's channel that it is a copy of
_UNET, _VAE, _TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model."
_WIDE, _SMALL = (320, 640, 1280, 1280), (64, 128, 128, 128)  # the UNet's channels at each level
_VAE_WIDE, _VAE_SMALL = (128, 256, 512, 512), (32, 64, 128, 128)
_SKIPS = (3, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0, 0)  # the level of what each block of the way up gets from the way down


def wide(small: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the small model at the sizes of Stable Diffusion 1.5, in half precision.

    Args:
        small: all tensors of ``mini-face.safetensors``, under the names of the checkpoint.
    """
    found = {}
    for name, tensor in small.items():
        for of, widen in ((_UNET, _unet), (_VAE, _vae), (_TEXT, _text)):
            if name.startswith(of):
                found[name] = widen(name.removeprefix(of), tensor.float()).to(
                    tensor.dtype if name.endswith("position_ids") else torch.float16
                )
    found |= _more_layers(found)
    found[f"{_UNET}input_blocks.7.0.skip_connection.weight"] = _spread(torch.eye(128), _level(2), _level(1))[
        ..., None, None
    ].half()
    found[f"{_UNET}input_blocks.7.0.skip_connection.bias"] = torch.zeros(1280).half()
    return found | {name: tensor.half() for name, tensor in _unchanging(found).items()}


def _repeat(wide: int, small: int) -> Map:
    """Copies of a channel lie beside each other, so that a group of channels remains a group."""
    return torch.arange(wide) * small // wide


def _level(number: int) -> Map:
    return _repeat(_WIDE[number], _SMALL[number])


def _beside(one: Map, other: Map) -> Map:
    return torch.cat((one, other + int(one.max()) + 1))


def _spread(tensor: torch.Tensor, out: Map | None, into: Map | None = None) -> torch.Tensor:
    """Copies of what comes out; what goes in is divided by the number of its copies. None = stays as it is."""
    if out is not None:
        tensor = tensor[out]
    if into is not None and tensor.dim() > 1:
        shares = 1 / torch.bincount(into)[into].float()
        tensor = tensor[:, into] * shares.view(1, -1, *[1] * (tensor.dim() - 2))
    return tensor


# The UNet


def _unet(name: str, tensor: torch.Tensor) -> torch.Tensor:
    time = _repeat(1280, 256)
    if name.startswith("time_embed.0."):
        return _spread(tensor, time) if tensor.dim() == 1 else _frequencies(tensor)[time]
    if name.startswith("time_embed."):
        return _spread(tensor, time, time)
    if name.startswith("out."):
        return tensor[_level(0)] if name.startswith("out.0") else _spread(tensor, None, _level(0))
    into, out = _ends(name)
    rest = name.split(".", 2 if name.startswith("middle") else 3)[-1]
    if name.startswith("input_blocks.0."):
        return _spread(tensor, out)
    if rest.startswith("emb_layers"):
        return _spread(tensor, out, time)
    if rest.startswith("in_layers.0"):
        return tensor[into]
    if rest.startswith(("in_layers", "skip_connection", "op")):
        return _spread(tensor, out, into)
    if "transformer_blocks" in rest:
        return _transformer(rest.split(".", 2)[-1], tensor, out)
    return _spread(tensor, out, out)


def _ends(name: str) -> tuple[Map, Map]:
    """What goes into a block of the UNet, and what comes out of it."""
    if name.startswith("middle_block."):
        return _level(3), _level(3)
    part, number = name.split(".")[0], int(name.split(".")[1])
    if part == "input_blocks":
        return _level(max(0, number - 2) // 3), _level(max(0, number - 1) // 3)
    level = 3 - number // 3
    before = 3 if number == 0 else 3 - (number - 1) // 3
    return _beside(_level(before), _level(_SKIPS[number])), _level(level)


def _frequencies(weight: torch.Tensor) -> torch.Tensor:
    """The wide model's waves of time are those of the small one, and four more between each two."""
    half, small = 160, weight.shape[1] // 2
    found = torch.zeros(len(weight), 2 * half)
    found[:, 0 : half : half // small] = weight[:, :small]
    found[:, half :: half // small] = weight[:, small:]
    return found


def _transformer(name: str, tensor: torch.Tensor, width: Map) -> torch.Tensor:
    small = int(width.max()) + 1
    inner = _repeat(4 * len(width), 4 * small)
    if name.startswith("ff.net.0"):  # values, then their gates
        return _spread(tensor, _beside(inner, inner), width)
    if name.startswith("ff.net.2"):
        return _spread(tensor, width, inner)
    if name.startswith(("attn2.to_k", "attn2.to_v")):
        return _spread(tensor, width, _repeat(768, 64))
    if name.endswith("to_q.weight"):  # as many more products are added up in each of the eight heads
        tensor = tensor / math.sqrt(len(width) / small)
    return _spread(tensor, width, width)


# The VAE


def _vae(name: str, tensor: torch.Tensor) -> torch.Tensor:
    levels = [_repeat(*sizes) for sizes in zip(_VAE_WIDE, _VAE_SMALL, strict=True)]
    if name.startswith(("quant_conv", "post_quant_conv")):
        return tensor
    side, rest = name.split(".", 1)
    top, bottom = levels[-1], levels[0]
    if rest.startswith("conv_in"):
        return _spread(tensor, bottom if side == "encoder" else top)
    if rest.startswith(("norm_out", "conv_out")):
        width = top if side == "encoder" else bottom
        return tensor[width] if rest.startswith("norm_out") else _spread(tensor, None, width)
    if rest.startswith("mid"):
        if ".attn_1.q." in rest:
            tensor = tensor / math.sqrt(len(top) / (int(top.max()) + 1))
        return _spread(tensor, top, top)
    level = int(rest.split(".")[1])
    out = into = levels[level]
    if ".block.0." in rest:
        into = levels[max(0, level - 1) if side == "encoder" else min(3, level + 1)]
    if ".norm1." in rest:
        return tensor[into]
    return _spread(tensor, out, into if ".conv1." in rest or ".nin_shortcut." in rest else out)


def _unchanging(found: Iterable[str]) -> dict[str, torch.Tensor]:
    """The block that each level of the VAE has more than the small one's; it adds nothing to what goes through."""
    made = {}
    for side, block in (("encoder.down", 1), ("decoder.up", 2)):
        for level, width in enumerate(_VAE_WIDE):
            stem = f"{_VAE}{side}.{level}.block.{block}"
            assert not any(name.startswith(stem) for name in found), stem
            for part in ("1", "2"):
                made[f"{stem}.norm{part}.weight"] = torch.ones(width)
                made[f"{stem}.norm{part}.bias"] = torch.zeros(width)
                made[f"{stem}.conv{part}.weight"] = torch.zeros(width, width, 3, 3)
                made[f"{stem}.conv{part}.bias"] = torch.zeros(width)
    return made


# The text encoder


def _text(name: str, tensor: torch.Tensor) -> torch.Tensor:
    width, inner = _repeat(768, 64), _repeat(3072, 256)
    if name.endswith("position_ids"):
        return tensor
    if name.startswith("embeddings"):
        return tensor[:, width]
    if ".fc1." in name:
        return _spread(tensor, inner, width)
    if ".fc2." in name:
        return _spread(tensor, width, inner)
    heads = torch.arange(768) % 64  # its one head, twelve times
    if re.search(r"self_attn\.[qkv]_proj", name):
        return _spread(tensor, heads, width)
    if ".out_proj." in name:
        return _spread(tensor, width, heads)
    return _spread(tensor, width, width)


def _more_layers(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The text encoder's layers that the small one lacks; they add nothing to what goes through."""
    stem = f"{_TEXT}encoder.layers."
    there = {int(name.removeprefix(stem).split(".")[0]) for name in found if name.startswith(stem)}
    last = max(there)
    return {
        f"{stem}{number}.{rest}": found[name] * (0 if ".out_proj." in name or ".fc2." in name else 1)
        for number in range(last + 1, 12)
        for name in found
        if name.startswith(f"{stem}{last}.") and (rest := name.removeprefix(f"{stem}{last}."))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="is written")
    options = parser.parse_args()
    small = {name: tensor for name, tensor in load_file(MODEL).items() if not name.startswith(_VAE)}
    vae = fitting(identify(MODEL).load_vae(torch.float32, torch.device("cpu")))
    for key, tensor in vae.state_dict().items():
        name = original_key(key, len(_VAE_SMALL))
        # the original has 1 x 1 convolutions in its attention
        small[_VAE + name] = tensor[:, :, None, None] if ".attn_1." in name and tensor.ndim == 2 else tensor
    facts = {**read_header(MODEL)[1], "modelspec.title": "mini face, wide"}
    save_file({name: tensor.contiguous() for name, tensor in wide(small).items()}, options.file, facts)


if __name__ == "__main__":
    main()
