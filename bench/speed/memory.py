"""How many bytes of tensors a training step needs, for each family: counted, without a GPU and without the time.

    python bench/speed/memory.py                        SD1.5 and SDXL of random numbers (2.1 and 6.9 GB in --work)
    python bench/speed/memory.py --families sd15 --batch 1 4 --rank 16  (torch 2.3 and later)

The engine's own parts are built on torch's meta device, whose tensors have shapes and no numbers, and one step of them
is taken as on a GPU: bfloat16 base, float32 adapters, attention that keeps what flash attention keeps. Every tensor
that is made is counted until it is gone. GB = 10^9 bytes:

frozen    the base model's parts.
adapter   its numbers, their gradients, and two (AdamW) or a half (8-bit) more for the optimizer.
step      the most that was alive at a time beyond those: what autograd keeps, and tensors that come and go.
sum       of the three with 8-bit AdamW. A GPU needs more: CUDA itself, what a library takes within an operation, what
          the optimizer's step takes, a desktop, gaps.
vae       the most that encoding a photo and painting one take beyond the VAE (float32), which is loaded for it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import helper_folders  # noqa: E402

helper_folders.add_to_path()

from diffusers import UNet2DConditionModel  # noqa: E402

from bench import results_file  # noqa: E402
from bench.speed.engine import KINDS, full_size_base  # noqa: E402
from lib_lora.lora.adapter.adapter import attach  # noqa: E402
from lib_lora.lora.adapter_settings import LoraSettings  # noqa: E402
from lib_lora.models.clip_tokens import CHUNK  # noqa: E402
from lib_lora.models.families.identify import identify  # noqa: E402
from lib_lora.models.families.model_family import ModelInfo  # noqa: E402
from lib_lora.models.families.stable_diffusion import StableDiffusion  # noqa: E402
from lib_lora.models.reading.weights import open_tensors  # noqa: E402
from lib_lora.models.text_conditioning import TextStack  # noqa: E402
from lib_lora.training.fast_parts import use_fast_parts  # noqa: E402
from lib_lora.training.session import recompute_activations  # noqa: E402

META = torch.device("meta")
GB = 1e9
NUMBER = {"adamw": 16, "adamw8bit": 10}  # bytes for each of an adapter's: itself, its gradient, the optimizer's


class Alive(TorchDispatchMode):
    """Counts the bytes of the tensors that are made within the block, as long as each is there.

    Attributes:
        now: bytes that are there.
        peak: the most there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {one.untyped_storage()._cdata for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if isinstance(one, torch.Tensor):
                storage = one.untyped_storage()
                if storage._cdata in given or storage._cdata in self._known:  # changed in place, or a view
                    continue
                self._count(storage)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        self._known.add(storage._cdata)
        weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())

    def _gone(self, known: int, size: int) -> None:
        self._known.remove(known)
        self.now -= size


class _Flash(torch.autograd.Function):
    """The memory of flash attention: inputs, output and one number for each query are kept (2205.14135, section 3)."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(query)
        sums = torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device)
        ctx.save_for_backward(query, key, value, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, _: torch.Tensor) -> tuple[torch.Tensor, ...]:
        query, key, value = ctx.saved_tensors[:3]
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _flash(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    result: torch.Tensor = _Flash.apply(query, key, value)  # type: ignore[no-untyped-call]
    return result


@contextmanager
def flash_attention() -> Iterator[None]:
    """Within the block torch's attention has the memory of flash attention and computes nothing."""
    with patch.object(torch.nn.functional, "scaled_dot_product_attention", _flash):
        yield


@dataclass(frozen=True)
class MemoryCase:
    """What is trained.

    Attributes:
        batch: pictures a step.
        side: of the pictures in pixels.
        rank: of the adapter.
        text: with the text encoders.
        recomputed: gradient checkpointing.
    """

    batch: int
    side: int
    rank: int
    text: bool
    recomputed: bool


def _family(info: ModelInfo) -> StableDiffusion:
    """The family of a model that has a UNet of diffusers."""
    assert isinstance(info.model_family, StableDiffusion)
    return info.model_family


def step_bytes(info: ModelInfo, case: MemoryCase) -> dict[str, int]:
    """Bytes of a training step: "frozen", "numbers" (how many the adapter has), "step"."""
    with META:
        unet = UNet2DConditionModel(**_family(info).unet_config(open_tensors(info.path), info)).to(torch.bfloat16)
    stack = info.load_text(torch.bfloat16, META) if case.text else None
    parts: dict[str, nn.Module] = {"unet": unet, **(stack.parts() if stack else {})}
    with META:
        attach(parts, info.family, LoraSettings(rank=case.rank, alpha=case.rank / 2, te=case.text))
    if not use_fast_parts(info.model_family, parts, torch.device("cuda")):
        raise RuntimeError("the adapter's layers were not fused")
    if case.recomputed:
        recompute_activations(info.model_family, parts)
    for module in parts.values():
        module.train()
    every = [one for module in parts.values() for one in module.parameters()]
    trained = [one for one in every if one.requires_grad]
    for one in trained:
        one.grad = torch.zeros_like(one)
    with flash_attention(), Alive() as alive:
        _step(info, case, unet, stack)
    return {
        "frozen": sum(one.nbytes for one in every if not one.requires_grad),
        "numbers": sum(one.numel() for one in trained),
        "step": alive.peak,
    }


def _step(info: ModelInfo, case: MemoryCase, unet: UNet2DConditionModel, stack: TextStack | None) -> None:
    """A forward and a backward pass."""
    pooled = None
    if stack:
        words = stack.encode(["photo of mrxa woman"] * case.batch)
        context, pooled = words.context, words.pooled
    else:
        context = torch.empty(case.batch, CHUNK + 2, info.context_dim, device=META)
    extra: dict[str, Any] = {}
    if _family(info).size_conditioning:
        width = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
        pooled = torch.empty(case.batch, width, device=META) if pooled is None else pooled
        sizes = torch.empty(case.batch, 6, device=META)
        extra = {"added_cond_kwargs": {"text_embeds": pooled.to(torch.bfloat16), "time_ids": sizes}}
    noisy = torch.empty(
        case.batch, info.model_family.latent_channels, case.side // 8, case.side // 8, dtype=torch.bfloat16, device=META
    )
    times = torch.empty(case.batch, dtype=torch.long, device=META)
    predicted = unet(noisy, times, encoder_hidden_states=context.to(torch.bfloat16), **extra).sample
    torch.nn.functional.mse_loss(predicted.float(), torch.empty_like(predicted, dtype=torch.float32)).backward()


def vae_bytes(info: ModelInfo, side: int) -> dict[str, int]:
    """Bytes that encoding and decoding a square picture take beyond the VAE's own: "encode", "decode"."""
    vae = info.load_vae(torch.float32, META)
    found = {}
    with torch.no_grad(), flash_attention():
        pixels, latent = (
            torch.empty(1, 3, side, side, device=META),
            torch.empty(1, info.model_family.latent_channels, side // 8, side // 8, device=META),
        )
        for name, call, value in (("encode", vae.encode, pixels), ("decode", vae.decode, latent)):
            with Alive() as alive:
                call(value)
            found[name] = alive.peak
    return found


SIDES = {kind: family.largest_side for kind, family in KINDS.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Count what was asked for, and print it as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "sameface-bench"), help="cache folder")
    parser.add_argument("--families", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--rank", type=int, default=32)
    results_file.add_option(parser)
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    lines = ["| case | checkpointing | frozen | adapter, AdamW | 8-bit | step | sum |", "|---|---|---|---|---|---|---|"]
    pictures = ["| family | encode | decode |", "|---|---|---|"]
    for family in options.families:
        info, side = identify(full_size_base(options.work, family)), SIDES[family]
        taken = vae_bytes(info, side)
        pictures.append(f"| {family} | {taken['encode'] / GB:.2f} | {taken['decode'] / GB:.2f} |")
        for batch in options.batch:
            for text in (False, True):
                for recomputed in (False, True):
                    case = MemoryCase(batch, side, options.rank, text, recomputed)
                    lines.append(_line(f"{family}-{batch}" + "-text" * text, recomputed, step_bytes(info, case)))
    print(f"Side {SIDES}, rank {options.rank}, GB = 10^9 bytes.\n", *lines, "", *pictures, sep="\n")
    figures = {"rank": options.rank, "sides": SIDES, "rows, GB": results_file.rows("\n".join([*lines, "", *pictures]))}
    results_file.save("memory", figures, options.results)
    return 0


def _line(name: str, recomputed: bool, found: dict[str, int]) -> str:
    full, small = (found["numbers"] * NUMBER[kind] / GB for kind in ("adamw", "adamw8bit"))
    frozen, step = found["frozen"] / GB, found["step"] / GB
    said = (frozen, full, small, step, frozen + small + step)
    return " | ".join([f"| {name}", "yes" if recomputed else "no", *(f"{value:.2f}" for value in said)]) + " |"


if __name__ == "__main__":
    raise SystemExit(main())
