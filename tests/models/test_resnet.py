"""The quicker residual blocks against diffusers' own, values and gradients, and which stay diffusers'."""

import pytest
import torch
from diffusers.models.resnet import ResnetBlock2D

from lib_lora.models.fast.resnet import FastResnet, use_fast_resnets


def both(block, layout):
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, 8, 6, 4, generator=draw).to(memory_format=layout).requires_grad_()
    time = torch.randn(2, 5, generator=draw)
    out = block(x, time)
    return out, torch.autograd.grad(out.square().sum(), [x, *block.parameters()])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("width", [8, 12])
def test_values_and_gradients(layout, width):
    torch.manual_seed(0)
    block = ResnetBlock2D(in_channels=8, out_channels=width, temb_channels=5, groups=4).to(memory_format=layout)
    before = both(block, layout)
    use_fast_resnets(torch.nn.Sequential(block))
    assert type(block) is FastResnet
    assert (block.conv_shortcut is None) == (width == 8)
    after = both(block, layout)
    torch.testing.assert_close(after[0], before[0], rtol=1e-5, atol=1e-5)
    for own, theirs in zip(after[1], before[1], strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4)


def test_the_shortcut_is_given_what_came_in():
    """diffusers copies it into another layout first."""
    block = ResnetBlock2D(in_channels=8, out_channels=12, temb_channels=5, groups=4).to(
        memory_format=torch.channels_last
    )
    use_fast_resnets(torch.nn.Sequential(block))
    seen = []
    block.conv_shortcut.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.randn(1, 8, 6, 4).to(memory_format=torch.channels_last)
    block(x, torch.randn(1, 5))
    assert seen[0] is x


@pytest.mark.parametrize(
    "unusual",
    [
        {"down": True},
        {"up": True},
        {"dropout": 0.1},
        {"output_scale_factor": 2.0},
        {"skip_time_act": True},
        {"temb_channels": None},
        {"time_embedding_norm": "scale_shift"},
    ],
    ids=str,
)
def test_unusual_blocks_stay_as_they_are(unusual):
    block = ResnetBlock2D(**{"in_channels": 8, "temb_channels": 5, "groups": 4, **unusual})
    use_fast_resnets(torch.nn.Sequential(block))
    assert type(block) is ResnetBlock2D
