"""Pictures to latents and back, and the noise schedule."""

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from faults import raises
from PIL import Image

from lib_lora.models.families.identify import identify
from lib_lora.models.families.sd1 import SD1
from lib_lora.models.families.sdxl import SDXL
from lib_lora.models.noise_schedule import noise_schedule
from lib_lora.models.vae import decode, encode, to_image, to_tensor

CPU = torch.device("cpu")


def test_schedule_is_diffusers_scaled_linear():
    theirs = DDPMScheduler(1000, 0.00085, 0.012, "scaled_linear").alphas_cumprod
    assert torch.allclose(noise_schedule(), theirs, rtol=1e-5)


def test_zero_terminal_snr():
    plain, zero = noise_schedule(), noise_schedule(True)
    assert zero[-1] == 0
    assert torch.isclose(zero[0], plain[0])
    assert (zero.diff() < 0).all()
    theirs = DDPMScheduler(1000, 0.00085, 0.012, "scaled_linear", rescale_betas_zero_snr=True).alphas_cumprod
    assert torch.allclose(zero, theirs, atol=1e-5)


def test_pictures_survive_the_tensor_form():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([levels, levels.T, 255 - levels], axis=-1))
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, 16, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    lost = np.asarray(image).astype(int) - np.asarray(to_image(tensor[0]))
    assert set(np.unique(lost)) <= {0, 1}  # cut off, never rounded up
    levels = [to_image(torch.full((3, 1, 1), level)).getpixel((0, 0)) for level in (1.0, 0.9999)]
    assert levels == [(255, 255, 255), (254, 254, 254)]


@pytest.mark.parametrize(("kind", "scale"), [("sd1", 0.18215), ("sdxl", 0.13025)])
def test_encode_gives_scaled_moments(toy, kind, scale):
    vae = identify(toy(kind)).load_vae(torch.float32, CPU)
    pixels = torch.rand(2, 3, 32, 48) * 2 - 1
    mean, std = encode(vae, pixels)
    raw = vae.encode(pixels).latent_dist
    assert mean.shape == std.shape == (2, 4, 4, 6)
    assert torch.allclose(mean, raw.mean * scale, atol=1e-6)
    assert torch.allclose(std, raw.std * scale, atol=1e-6)
    pictures = decode(vae, mean)
    assert [picture.size for picture in pictures] == [(48, 32)] * 2


def test_a_broken_vae_is_named(toy):
    vae = identify(toy("sd1")).load_vae(torch.float32, CPU)
    vae.encoder.conv_in.bias.data.fill_(float("nan"))
    with raises("vae-not-finite"):
        encode(vae, torch.zeros(1, 3, 16, 16))


def test_vae_dtype():
    cuda = torch.device("cuda")
    assert SDXL.vae_dtype(cuda, torch.float16) == torch.float32
    assert SD1.vae_dtype(cuda, torch.float16) == torch.float16
    assert SD1.vae_dtype(CPU, torch.bfloat16) == torch.float32


def test_a_picture_too_large_for_half_precision_is_decoded_again_in_full(toy):
    vae = identify(toy("sd1")).load_vae(torch.bfloat16, CPU)
    real, dtypes = vae.decode, []

    def decode_(latents):
        dtypes.append(latents.dtype)
        out = real(latents)
        if latents.dtype != torch.float32:
            out.sample.fill_(float("nan"))
        return out

    vae.decode = decode_
    (picture,) = decode(vae, torch.randn(1, 4, 4, 4))
    assert np.asarray(picture).std() > 0
    assert dtypes == [torch.bfloat16, torch.float32]
