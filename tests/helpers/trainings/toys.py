"""Toy checkpoints in the original layout: every tensor of the real file, in the real place, as narrow as can be.

They are written out from the architecture itself and share no name table with the loader, so a wrong
name in either shows. Weights are random but tame; output convolutions and final norms are not zero,
so that a LoRA changes what is painted. Widths change where the real ones do, so the same shortcuts exist.
The same code with the real widths writes a full-size SD1.5 or SDXL, for measurements.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO

import torch
from safetensors.torch import save_file

VOCABULARY = 49408


@dataclass
class _Writer:
    """Collects tensors; each is drawn from one seeded generator in the order of writing."""

    seed: int
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(self.seed)

    def put(self, key: str, tensor: torch.Tensor) -> None:
        self.tensors[key] = tensor

    def normal(self, key: str, *shape: int, std: float) -> None:
        self.put(key, torch.randn(shape, generator=self.random) * std)

    def layer(self, key: str, out: int, *rest: int, gain: float = 1.0, bias: bool = True) -> None:
        """A linear layer or convolution whose output is as large as its input, times `gain`."""
        fan_in = 1
        for size in rest:
            fan_in *= size
        self.normal(f"{key}.weight", out, *rest, std=gain * fan_in**-0.5)
        if bias:
            self.normal(f"{key}.bias", out, std=0.02)

    def norm(self, key: str, width: int) -> None:
        self.put(f"{key}.weight", 1 + 0.1 * torch.randn(width, generator=self.random))
        self.normal(f"{key}.bias", width, std=0.1)


class _StreamWriter(_Writer):
    """Writes each tensor into a safetensors file at once, numbers in half precision: needs the memory of one tensor."""

    HEADER = 1 << 19  # bytes kept free for the header, which is known last; the format allows spaces at its end

    def __init__(self, seed: int, stream: IO[bytes]) -> None:
        super().__init__(seed)
        self.stream = stream
        self.table: dict[str, dict[str, object]] = {}
        self.at = 0
        stream.seek(8 + self.HEADER)

    def put(self, key: str, tensor: torch.Tensor) -> None:
        raw = (tensor.half() if tensor.is_floating_point() else tensor).contiguous().numpy()
        kind = {"float16": "F16", "int64": "I64"}[raw.dtype.name]
        self.table[key] = {"dtype": kind, "shape": raw.shape, "data_offsets": [self.at, self.at + raw.nbytes]}
        self.stream.write(raw.data.cast("B"))
        self.at += raw.nbytes

    def finish(self) -> None:
        header = json.dumps(self.table).encode("utf-8")
        assert len(header) <= self.HEADER, f"the header needs {len(header)} bytes"
        self.stream.seek(0)
        self.stream.write(struct.pack("<Q", self.HEADER) + header.ljust(self.HEADER))


def _transformer(w: _Writer, key: str, width: int, context: int, depth: int, linear: bool) -> None:
    square = (width,) if linear else (width, 1, 1)
    w.norm(f"{key}.norm", width)
    w.layer(f"{key}.proj_in", width, *square)
    for n in range(depth):
        block = f"{key}.transformer_blocks.{n}"
        for attention, source in (("attn1", width), ("attn2", context)):
            w.layer(f"{block}.{attention}.to_q", width, width, bias=False)
            w.layer(f"{block}.{attention}.to_k", width, source, bias=False)
            w.layer(f"{block}.{attention}.to_v", width, source, bias=False)
            w.layer(f"{block}.{attention}.to_out.0", width, width, gain=0.5)
        w.layer(f"{block}.ff.net.0.proj", 8 * width, width)
        w.layer(f"{block}.ff.net.2", width, 4 * width, gain=0.5)
        for n_norm in (1, 2, 3):
            w.norm(f"{block}.norm{n_norm}", width)
    w.layer(f"{key}.proj_out", width, *square, gain=0.5)


def _unet_resnet(w: _Writer, key: str, inside: int, out: int, time: int) -> None:
    w.norm(f"{key}.in_layers.0", inside)
    w.layer(f"{key}.in_layers.2", out, inside, 3, 3)
    w.layer(f"{key}.emb_layers.1", out, time, gain=0.5)
    w.norm(f"{key}.out_layers.0", out)
    w.layer(f"{key}.out_layers.3", out, out, 3, 3, gain=0.5)
    if inside != out:
        w.layer(f"{key}.skip_connection", out, inside, 1, 1)


def _unet(w: _Writer, widths: list[int], depths: list[int], context: int, linear: bool, vector: int) -> None:
    root = "model.diffusion_model"
    time = 4 * widths[0]
    w.layer(f"{root}.time_embed.0", time, widths[0])
    w.layer(f"{root}.time_embed.2", time, time)
    if vector:
        w.layer(f"{root}.label_emb.0.0", time, vector)
        w.layer(f"{root}.label_emb.0.2", time, time)
    w.layer(f"{root}.input_blocks.0.0", widths[0], 4, 3, 3)
    skips, current, index = [widths[0]], widths[0], 1
    for level, (width, depth) in enumerate(zip(widths, depths)):
        for _ in range(2):
            _unet_resnet(w, f"{root}.input_blocks.{index}.0", current, width, time)
            if depth:
                _transformer(w, f"{root}.input_blocks.{index}.1", width, context, depth, linear)
            current = width
            skips.append(current)
            index += 1
        if level < len(widths) - 1:
            w.layer(f"{root}.input_blocks.{index}.0.op", current, current, 3, 3)
            skips.append(current)
            index += 1
    _unet_resnet(w, f"{root}.middle_block.0", current, current, time)
    _transformer(w, f"{root}.middle_block.1", current, context, max(depths[-1], 1), linear)
    _unet_resnet(w, f"{root}.middle_block.2", current, current, time)
    index = 0
    for level in reversed(range(len(widths))):
        for j in range(3):
            _unet_resnet(w, f"{root}.output_blocks.{index}.0", current + skips.pop(), widths[level], time)
            current = widths[level]
            place = 1
            if depths[level]:
                _transformer(w, f"{root}.output_blocks.{index}.1", current, context, depths[level], linear)
                place = 2
            if j == 2 and level:
                w.layer(f"{root}.output_blocks.{index}.{place}.conv", current, current, 3, 3)
            index += 1
    w.norm(f"{root}.out.0", current)
    w.layer(f"{root}.out.2", 4, current, 3, 3)


def _vae_resnet(w: _Writer, key: str, inside: int, out: int) -> None:
    w.norm(f"{key}.norm1", inside)
    w.layer(f"{key}.conv1", out, inside, 3, 3)
    w.norm(f"{key}.norm2", out)
    w.layer(f"{key}.conv2", out, out, 3, 3, gain=0.5)
    if inside != out:
        w.layer(f"{key}.nin_shortcut", out, inside, 1, 1)


def _vae_middle(w: _Writer, key: str, width: int) -> None:
    _vae_resnet(w, f"{key}.block_1", width, width)
    w.norm(f"{key}.attn_1.norm", width)
    for name in ("q", "k", "v", "proj_out"):
        w.layer(f"{key}.attn_1.{name}", width, width, 1, 1, gain=0.5)
    _vae_resnet(w, f"{key}.block_2", width, width)


def _vae(w: _Writer, widths: list[int]) -> None:
    root = "first_stage_model"
    current = widths[0]
    w.layer(f"{root}.encoder.conv_in", current, 3, 3, 3)
    for level, width in enumerate(widths):
        for j in range(2):
            _vae_resnet(w, f"{root}.encoder.down.{level}.block.{j}", current, width)
            current = width
        if level < len(widths) - 1:
            w.layer(f"{root}.encoder.down.{level}.downsample.conv", current, current, 3, 3)
    _vae_middle(w, f"{root}.encoder.mid", current)
    w.norm(f"{root}.encoder.norm_out", current)
    w.layer(f"{root}.encoder.conv_out", 8, current, 3, 3, gain=2.0)
    w.layer(f"{root}.quant_conv", 8, 8, 1, 1)
    w.layer(f"{root}.post_quant_conv", 4, 4, 1, 1)
    w.layer(f"{root}.decoder.conv_in", current, 4, 3, 3)
    _vae_middle(w, f"{root}.decoder.mid", current)
    for level in reversed(range(len(widths))):
        for j in range(3):
            _vae_resnet(w, f"{root}.decoder.up.{level}.block.{j}", current, widths[level])
            current = widths[level]
        if level:
            w.layer(f"{root}.decoder.up.{level}.upsample.conv", current, current, 3, 3)
    w.norm(f"{root}.decoder.norm_out", current)
    w.layer(f"{root}.decoder.conv_out", 3, current, 3, 3, gain=0.5)


def _clip(w: _Writer, root: str, width: int, layers: int) -> None:
    """CLIP-L's text model in transformers' layout."""
    root += ".text_model"
    w.normal(f"{root}.embeddings.token_embedding.weight", VOCABULARY, width, std=0.5)
    w.normal(f"{root}.embeddings.position_embedding.weight", 77, width, std=0.2)
    w.put(f"{root}.embeddings.position_ids", torch.arange(77).unsqueeze(0))
    for n in range(layers):
        layer = f"{root}.encoder.layers.{n}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            w.layer(f"{layer}.self_attn.{name}", width, width, gain=0.7)
        w.layer(f"{layer}.mlp.fc1", 4 * width, width)
        w.layer(f"{layer}.mlp.fc2", width, 4 * width, gain=0.5)
        w.norm(f"{layer}.layer_norm1", width)
        w.norm(f"{layer}.layer_norm2", width)
    w.norm(f"{root}.final_layer_norm", width)


def _open_clip(w: _Writer, root: str, width: int, layers: int) -> None:
    """OpenCLIP's text tower in its own layout."""
    w.normal(f"{root}.positional_embedding", 77, width, std=0.2)
    w.normal(f"{root}.text_projection", width, width, std=width**-0.5)
    w.put(f"{root}.logit_scale", torch.tensor(4.6))
    w.normal(f"{root}.token_embedding.weight", VOCABULARY, width, std=0.5)
    for n in range(layers):
        block = f"{root}.transformer.resblocks.{n}"
        w.norm(f"{block}.ln_1", width)
        w.norm(f"{block}.ln_2", width)
        w.normal(f"{block}.attn.in_proj_weight", 3 * width, width, std=0.7 * width**-0.5)
        w.normal(f"{block}.attn.in_proj_bias", 3 * width, std=0.02)
        w.layer(f"{block}.attn.out_proj", width, width, gain=0.7)
        w.layer(f"{block}.mlp.c_fc", 4 * width, width)
        w.layer(f"{block}.mlp.c_proj", width, 4 * width, gain=0.5)
    w.norm(f"{root}.ln_final", width)


def _sd1(w: _Writer) -> None:
    _unet(w, [32, 64, 32, 32], [1, 1, 1, 0], context=64, linear=False, vector=0)
    _vae(w, [32, 64, 32, 32])
    _clip(w, "cond_stage_model.transformer", 64, 12)


def _sd1_full(w: _Writer) -> None:
    """The widths of the real SD1.5: 860 million numbers in the UNet, 123 in the text encoder, 84 in the VAE."""
    _unet(w, [320, 640, 1280, 1280], [1, 1, 1, 0], context=768, linear=False, vector=0)
    _vae(w, [128, 256, 512, 512])
    _clip(w, "cond_stage_model.transformer", 768, 12)


def _sd2v(w: _Writer) -> None:
    _unet(w, [64, 128, 64, 64], [1, 1, 1, 0], context=64, linear=True, vector=0)
    _vae(w, [32, 64, 32, 32])
    _open_clip(w, "cond_stage_model.model", 64, 24)
    w.put("v_pred", torch.tensor([]))


def _sdxl(w: _Writer) -> None:
    _unet(w, [64, 128, 64], [0, 2, 10], context=128, linear=True, vector=64 + 6 * 256)
    _vae(w, [32, 64, 32, 32])
    _clip(w, "conditioner.embedders.0.transformer", 64, 12)
    _open_clip(w, "conditioner.embedders.1.model", 64, 32)


def _sdxl_full(w: _Writer) -> None:
    """The widths of the real SDXL: 2,567 million numbers in the UNet, 123 and 695 in the text encoders."""
    _unet(w, [320, 640, 1280], [0, 2, 10], context=2048, linear=True, vector=1280 + 6 * 256)
    _vae(w, [128, 256, 512, 512])
    _clip(w, "conditioner.embedders.0.transformer", 768, 12)
    _open_clip(w, "conditioner.embedders.1.model", 1280, 32)


KINDS: dict[str, Callable[[_Writer], None]] = {"sd1": _sd1, "sd2v": _sd2v, "sdxl": _sdxl}


def toy_tensors(kind: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """All tensors of a toy, which are not to be changed in place; `kind` is sd1, sd2v (2.1-v, marked) or sdxl."""
    return dict(_drawn(kind, seed))


@cache
def _drawn(kind: str, seed: int) -> dict[str, torch.Tensor]:
    writer = _Writer(seed)
    KINDS[kind](writer)
    return writer.tensors


def clip_tensors(root: str, width: int, layers: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """The tensors of a toy CLIP-L alone."""
    writer = _Writer(seed)
    _clip(writer, root, width, layers)
    return writer.tensors


def write_toy(kind: str, path: Path, seed: int = 0, dtype: torch.dtype = torch.float16) -> Path:
    """Write a toy checkpoint (SD1: 13 MB in half precision) and return its path."""
    tensors = {
        key: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        for key, tensor in toy_tensors(kind, seed).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path))
    return path


def write_full_sd1(path: Path, seed: int = 0) -> Path:
    """Write a full-size SD1.5 of random numbers (2.1 GB, about half a minute, little memory) and return its path."""
    return _write_full(_sd1_full, path, seed)


def write_full_sdxl(path: Path, seed: int = 0) -> Path:
    """Write a full-size SDXL of random numbers (6.9 GB, minutes, little memory) and return its path."""
    return _write_full(_sdxl_full, path, seed)


def _write_full(parts: Callable[[_Writer], None], path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    with open(unfinished, "wb") as stream:
        writer = _StreamWriter(seed, stream)
        parts(writer)
        writer.finish()
    unfinished.replace(path)
    return path
