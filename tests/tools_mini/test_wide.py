"""The small model at the sizes of Stable Diffusion 1.5: what its layers answer is what the small ones answer."""

import torch
from safetensors.torch import load_file
from torch.nn import functional

from tools.mini import wide
from tools.mini.webui import MODEL


def test_a_layer_of_copies_answers_with_copies():
    torch.manual_seed(1)
    into, out = wide._beside(wide._level(1), wide._level(0)), wide._level(1)
    small = torch.randn(2, 192, 5, 5)
    weight, bias, scale, shift = torch.randn(128, 192, 3, 3), torch.randn(128), torch.randn(192), torch.randn(192)

    def layer(x, weight, bias, scale, shift):
        return functional.conv2d(functional.group_norm(x, 32, scale, shift), weight, bias, padding=1)

    expected = layer(small, weight, bias, scale, shift)
    found = layer(small[:, into], wide._spread(weight, out, into), bias[out], scale[into], shift[into])
    torch.testing.assert_close(found, expected[:, out], atol=1e-3, rtol=1e-4)


def test_the_sizes_are_those_of_stable_diffusion_15():
    small = {name: tensor for name, tensor in load_file(MODEL).items() if not name.startswith(wide._VAE)}
    found = wide.wide(
        {
            name: tensor
            for name, tensor in small.items()
            if "output_blocks.5" in name or "time" in name or "layers.3." in name
        }
    )
    stem = "model.diffusion_model."
    assert found[f"{stem}output_blocks.5.0.in_layers.2.weight"].shape == (1280, 1920, 3, 3)
    assert found[f"{stem}output_blocks.5.1.transformer_blocks.0.attn2.to_k.weight"].shape == (1280, 768)
    assert found[f"{stem}output_blocks.5.1.transformer_blocks.0.ff.net.0.proj.weight"].shape == (10240, 1280)
    assert found[f"{stem}input_blocks.7.0.skip_connection.weight"].shape == (1280, 640, 1, 1)
    assert found[f"{stem}time_embed.0.weight"].shape == (1280, 320)


def test_the_waves_of_time_are_the_small_models_own():
    weight = torch.randn(7, 64)

    def waves(size):
        frequency = torch.exp(-torch.log(torch.tensor(10000.0)) * torch.arange(size // 2) / (size // 2)) * 321
        return torch.cat((frequency.cos(), frequency.sin()))

    torch.testing.assert_close(wide._frequencies(weight) @ waves(320), weight @ waves(64), atol=1e-4, rtol=1e-4)
