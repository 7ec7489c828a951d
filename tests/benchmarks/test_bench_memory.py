"""The count of a step's bytes is right for three tensors, and falls where memory is saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from lib_lora.lora.adapter.fused import FusedLayer
from lib_lora.models.families.identify import identify
from lib_lora.models.reading.weights import open_tensors

pytest.importorskip("torch.nn.attention", reason="older torch tells nobody when a tensor without numbers is gone")

from bench.speed import memory

WORK = memory.MemoryCase(batch=1, side=256, rank=4, text=True, recomputed=False)


def test_what_is_alive_is_counted_once() -> None:
    x = torch.empty(1000, device="meta")
    with memory.Alive() as alive:
        y = x * 2
        z = y + 1
        z.add_(y).view(10, 100)
        assert (alive.now, alive.peak) == (8000, 8000)
        del y
        assert (alive.now, alive.peak) == (4000, 8000)
        del z
        assert alive.now == 0


def test_flash_attention_keeps_no_scores() -> None:
    query, key, value = (torch.empty(2, 4, 64, 8, device="meta", requires_grad=True) for _ in range(3))
    with memory.flash_attention(), memory.Alive() as alive:
        out = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        assert alive.now == out.nbytes + 2 * 4 * 64 * 4


def test_a_layer_with_its_adapter_by_hand() -> None:
    rows, wide, out, rank = 50, 24, 40, 4
    with torch.device("meta"):
        base = torch.nn.Linear(wide, out).to(torch.bfloat16).requires_grad_(False)
        down, up = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((rank, wide), (out, rank)))
        x = torch.empty(rows, wide, dtype=torch.bfloat16, requires_grad=True)
        above = torch.empty(rows, out, dtype=torch.bfloat16)
    layer = FusedLayer(base, down, up, 0.5)
    with memory.Alive() as alive:
        y = layer(x)
        kept = 2 * (rank * wide + out * rank) + 2 * rows * rank  # the adapter in bfloat16, what comes out of `down`
        assert alive.now == kept + 2 * rows * out
        y.backward(above)
        gradients = 2 * rows * wide + 4 * (rank * wide + out * rank)
        assert alive.now == 2 * rows * out + gradients
        # `up`'s gradient is scaled last: there twice in float32, with all that was kept, and the inner gradient
        assert alive.peak == kept + 2 * rows * out + 2 * rows * rank + gradients + 4 * out * rank


def test_a_step_of_a_toy(toy: Callable[[str], Path]) -> None:
    info = identify(toy("sd1"))
    whole = memory.step_bytes(info, WORK)
    alone = memory.step_bytes(info, replace(WORK, text=False))
    assert alone["frozen"] < whole["frozen"]
    assert alone["numbers"] < whole["numbers"]
    two = memory.step_bytes(info, replace(WORK, text=False, batch=2))["step"]
    assert 1.7 * alone["step"] < two < 2.05 * alone["step"]
    assert memory.step_bytes(info, replace(WORK, text=False, recomputed=True))["step"] < 0.6 * alone["step"]


def test_both_encoders_of_sdxl_are_counted(toy: Callable[[str], Path]) -> None:
    info = identify(toy("sdxl"))
    with torch.device("meta"):
        unet = UNet2DConditionModel(**info.model_family.unet_config(open_tensors(info.path), info)).to(torch.bfloat16)
    stack = info.load_text(torch.bfloat16, torch.device("meta"))
    parts = [unet, *stack.parts().values()]
    assert len(parts) == 3
    every = sum(one.nbytes for module in parts for one in module.parameters())
    assert memory.step_bytes(info, WORK)["frozen"] == every


def test_the_vae_takes_more_for_larger_pictures(toy: Callable[[str], Path]) -> None:
    info = identify(toy("sd1"))
    small, large = memory.vae_bytes(info, 128), memory.vae_bytes(info, 256)
    assert all(3.5 * small[name] < large[name] < 4.5 * small[name] for name in ("encode", "decode"))
