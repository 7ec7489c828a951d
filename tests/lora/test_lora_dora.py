"""The DoRA layer against the formula, written out; its gradients against the paper's."""

import pytest
import torch
from faults import misfit
from torch import nn
from torch.nn import functional as F

from lib_lora.lora.dora import DoraLayer, input_norm, low_rank


def _bases():
    return {
        "linear": (nn.Linear(6, 5), torch.randn(3, 4, 6)),
        "no bias": (nn.Linear(6, 5, bias=False), torch.randn(2, 6)),
        "1x1": (nn.Conv2d(6, 5, 1), torch.randn(2, 6, 4, 4)),
        "3x3": (nn.Conv2d(6, 5, 3, padding=1), torch.randn(2, 6, 4, 4)),
        "down": (nn.Conv2d(6, 5, 3, stride=2, padding=1), torch.randn(2, 6, 8, 8)),
    }


def _randomised(layer):
    with torch.no_grad():
        layer.up.weight.normal_()
        layer.magnitude.mul_(1 + 0.2 * torch.randn_like(layer.magnitude))
    return layer


def _apply(base, weight, x):
    if isinstance(base, nn.Conv2d):
        return F.conv2d(x, weight, base.bias, base.stride, base.padding)
    return F.linear(x, weight, base.bias)


@pytest.mark.parametrize("kind", _bases())
@pytest.mark.parametrize("rslora", [False, True])
def test_the_output_is_that_of_the_formula(kind, rslora):
    torch.manual_seed(1)
    base, x = _bases()[kind]
    layer = _randomised(DoraLayer(base, rank=4, alpha=3, rslora=rslora))
    scale = 3 / 2 if rslora else 3 / 4
    change = torch.einsum("or,ri...->oi...", layer.up.weight.flatten(1), layer.down.weight) * scale
    whole = base.weight + change
    columns = [whole[:, i].reshape(-1) for i in range(6)]
    gains = torch.stack([layer.magnitude.flatten()[i] / columns[i].dot(columns[i]).sqrt() for i in range(6)])
    expected = _apply(base, whole * gains.reshape(1, 6, *[1] * (whole.ndim - 2)), x)
    assert torch.allclose(layer(x), expected, atol=1e-5)
    assert float((layer(x) - base(x)).detach().abs().max()) > 0.1


@pytest.mark.parametrize("kind", _bases())
def test_at_first_it_is_the_base_to_the_bit(kind):
    torch.manual_seed(1)
    base, x = _bases()[kind]
    layer = DoraLayer(base, rank=4, alpha=3)
    assert torch.equal(layer(x), base(x))
    assert torch.allclose(layer.magnitude.flatten(), base.weight.transpose(0, 1).flatten(1).norm(dim=1))


def test_the_norm_gets_no_gradient():
    """Equation 11 of the paper: as if the norm were a constant."""
    torch.manual_seed(2)
    base = nn.Linear(6, 5)
    layer = _randomised(DoraLayer(base, rank=2, alpha=2))
    x, target = torch.randn(7, 6), torch.randn(7, 5)
    F.mse_loss(layer(x), target).backward()
    up, down, magnitude = (
        item.detach().clone().requires_grad_() for item in (layer.up.weight, layer.down.weight, layer.magnitude)
    )
    constant = (base.weight + up @ down).norm(dim=0, keepdim=True).detach()
    F.mse_loss(F.linear(x, (base.weight + up @ down) * magnitude / constant, base.bias), target).backward()
    assert torch.allclose(layer.up.weight.grad, up.grad, atol=1e-6)
    assert torch.allclose(layer.down.weight.grad, down.grad, atol=1e-6)
    assert torch.allclose(layer.magnitude.grad, magnitude.grad, atol=1e-6)
    assert base.weight.grad is None


def test_a_small_change_is_not_all_rounded_away_in_bfloat16():
    """Gains within 0.1 % of 1, where bfloat16's steps are 0.4 and 0.8 %, still have an effect in the mean.

    (Less than all of it: the layer's own output is rounded too, as it is around a plain LoRA.)
    """
    torch.manual_seed(3)
    base = nn.Linear(64, 64, bias=False).bfloat16()
    layer = DoraLayer(base, rank=1, alpha=1)
    gains = 1 + 0.001 * (2 * torch.rand(1, 64) - 1)
    with torch.no_grad():
        layer.magnitude.mul_(gains)
        x = torch.randn(4096, 64).bfloat16()
        assert torch.equal((x * gains).bfloat16(), x)  # the short way would lose all of it
        wanted = F.linear(x.float() * (gains - 1), base.weight.float())
        moved = layer(x).float() - base(x).float()
    assert layer(x).dtype == torch.bfloat16
    assert 0.2 < float((moved * wanted).sum() / wanted.square().sum()) < 1.1


def test_autocast_leaves_the_norm_exact():
    torch.manual_seed(3)
    layer = _randomised(DoraLayer(nn.Linear(64, 64), rank=8, alpha=8))
    exact = layer.gain()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer.gain(), exact)
        low = layer(torch.ones(2, 64))
    assert torch.allclose(low.float(), layer(torch.ones(2, 64)), rtol=0.05, atol=0.1)


def test_dropout_touches_only_the_adapter():
    torch.manual_seed(4)
    layer = _randomised(DoraLayer(nn.Linear(32, 8), rank=2, alpha=2, dropout=0.5))
    x = torch.randn(3, 32)
    layer.train()
    assert not torch.equal(layer(x), layer(x))
    with torch.no_grad():
        layer.up.weight.zero_()
    assert torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_a_column_of_zeros_gives_no_nan():
    base = nn.Linear(4, 3)
    with torch.no_grad():
        base.weight[:, 2] = 0
    layer = DoraLayer(base, rank=1, alpha=1)
    out = layer(torch.ones(2, 4))
    out.sum().backward()
    assert torch.equal(out, base(torch.ones(2, 4)))
    assert all(torch.isfinite(item.grad).all() for item in (layer.up.weight, layer.down.weight, layer.magnitude))


def test_unusual_convolutions_are_refused():
    for base in (
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, padding_mode="circular"),
        nn.Conv2d(4, 4, 3, padding="same"),
    ):
        with misfit("base"):
            DoraLayer(base, rank=1, alpha=1)


def test_helpers():
    weight = torch.arange(12.0).reshape(3, 4)
    assert torch.allclose(input_norm(weight), weight.square().sum(0, keepdim=True).sqrt())
    assert input_norm(torch.zeros(3, 4, 2, 2)).shape == (1, 4, 1, 1)
    up, down = torch.randn(3, 2, 1, 1), torch.randn(2, 4, 3, 3)
    product = low_rank(up, down, torch.Size([3, 4, 3, 3]))
    assert torch.allclose(product, torch.einsum("or,rihw->oihw", up[:, :, 0, 0], down), atol=1e-6)
