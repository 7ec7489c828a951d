"""Attention in blocks against torch's own, values and gradients."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch.nn import functional

from lib_lora.models.fast import attention as module
from lib_lora.models.fast.attention import FastProcessor, attention, attention_layers


def _inputs(shape, keys, spread=1.0):
    draw = torch.Generator().manual_seed(0)
    batch, count, width = shape
    sizes = ((batch, count, width), (batch, keys, width), (batch, keys, width))
    return [(spread * torch.randn(size, generator=draw)).requires_grad_() for size in sizes]


def usual(query, key, value, heads):
    """torch's own, on the same layout."""
    parts = (one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in (query, key, value))
    return functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)


def _both(function, inputs, heads):
    out = function(*inputs, heads)
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape).to(out.dtype)
    return [out, *torch.autograd.grad(out, inputs, weights)]


@pytest.mark.parametrize("block", [1 << 10, 1 << 14, 1 << 22])
@pytest.mark.parametrize(
    ("shape", "keys", "heads"), [((1, 64, 16), 64, 2), ((2, 100, 120), 100, 3), ((1, 7, 5), 33, 1)]
)
def test_values_and_gradients(monkeypatch, shape, keys, heads, block):
    monkeypatch.setattr(module, "_BLOCK_BYTES", block)
    inputs = _inputs(shape, keys)
    for own, theirs in zip(_both(attention, inputs, heads), _both(usual, inputs, heads), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spread", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("common", [0.0, 10.0])
def test_half_precision_is_about_as_near_to_the_truth_as_torch_s_own(spread, common):
    """Also where scores are large, and where all keys have much in common."""
    exact = _inputs((1, 256, 80), 256, spread=spread)
    exact[1].data += common
    half = [one.detach().bfloat16().requires_grad_() for one in exact]
    truth = _both(usual, [one.detach().float().requires_grad_() for one in half], 2)
    for mine, other, true in zip(_both(attention, half, 2), _both(usual, half, 2), truth, strict=True):
        assert mine.dtype == torch.bfloat16
        error, theirs = (float((one.float() - true).detach().norm() / true.detach().norm()) for one in (mine, other))
        assert error < 2 * theirs + 1e-3


def test_autocast_does_not_round_the_scores():
    half = [one.detach().bfloat16() for one in _inputs((1, 256, 80), 256, spread=3)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = attention(*half, 2)
    assert torch.equal(inside, attention(*half, 2))


@pytest.mark.parametrize("blocks", [True, False])
def test_a_unet_computes_the_same(monkeypatch, blocks):
    monkeypatch.setattr(module, "_FEWEST_KEYS", 1)
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=8,
    ).requires_grad_(False)
    x, words = torch.randn(2, 4, 16, 16, requires_grad=True), torch.randn(2, 77, 16)

    def both():
        out = unet(x, torch.tensor([3, 700]), encoder_hidden_states=words).sample
        return out, torch.autograd.grad(out.square().sum(), x)[0]

    before = both()
    layers = attention_layers(unet)
    assert [layer.is_cross_attention for layer in layers] == [False, True] * (len(layers) // 2)
    for layer in layers:
        layer.set_processor(FastProcessor(blocks))
    for own, theirs in zip(both(), before, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4)
