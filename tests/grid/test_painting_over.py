"""Pictures painted over another picture, and noise turned towards other noise, as A1111 does both."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from faults import raises
from PIL import Image

from lib_lora.grid.diffusers_painter import DiffusersPainter, _turned, steps_over
from lib_lora.grid.noise_inversion import noise_of
from lib_lora.models.families.identify import identify
from lib_lora.models.families.stable_diffusion import SAMPLING
from lib_lora.pictures import Cell, parameters, parameters_of, save_picture


@pytest.fixture(scope="module")
def painter(toy):
    return DiffusersPainter(identify(toy("sd1")), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A colourful picture of 64 x 64."""
    path = tmp_path_factory.mktemp("bild ü") / "start 名前.png"
    levels = np.random.default_rng(5).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(levels).resize((64, 64)).save(path)
    return path


LARGE = {"width": 128, "height": 128}  # the toy cannot be asked without guidance for less


def _cell(**changes):
    values = {"prompt": "photo of a woman", "negative": "blurry", "seed": 7, "width": 64, "height": 64, "steps": 4}
    return Cell(**{**values, **changes})


def _pixels(image):
    return np.asarray(image).astype(int)


def test_strength_nought_is_what_the_vae_makes_of_the_start(painter, start):
    (ours,) = painter.paint([_cell(start=start, strength=0.0)])
    with Image.open(start) as image:
        assert np.array_equal(_pixels(ours), _pixels(painter.reconstruct(image)))


@pytest.mark.parametrize("sampler", SAMPLING.samplers)
def test_full_strength_is_nearly_a_picture_from_noise_and_less_strength_is_nearer_to_the_start(painter, start, sampler):
    full, most, little, none, again = (
        _pixels(image)
        for image in painter.paint(
            [_cell(sampler=sampler, steps=8)]
            + [_cell(sampler=sampler, steps=8, start=start, strength=one) for one in (1.0, 0.2, 0.0, 0.2)]
        )
    )
    # the start is still there beneath the strongest noise (A1111 has it so): near, not equal
    assert np.abs(most - full).mean() < np.abs(none - full).mean() / 3
    assert np.abs(little - none).mean() < np.abs(most - none).mean()
    assert np.array_equal(little, again)


def test_a_start_of_another_size_is_stretched(painter, start):
    (ours,) = painter.paint([_cell(width=64, height=128, start=start, strength=0.0)])
    assert ours.size == (64, 128)


@pytest.mark.parametrize(("strength", "steps"), [(0, 0), (0.04, 1), (0.5, 11), (0.75, 16), (0.99, 20), (1, 20)])
def test_steps_over_a_picture_are_counted_as_a1111_counts_them(strength, steps):
    assert steps_over(20, strength) == steps


def _slerp_of_a1111(val, low, high):
    """modules/rng.py of A1111 1.10.1."""
    low_norm = low / torch.norm(low, dim=1, keepdim=True)
    high_norm = high / torch.norm(high, dim=1, keepdim=True)
    omega = torch.acos((low_norm * high_norm).sum(1))
    so = torch.sin(omega)
    res = (torch.sin((1.0 - val) * omega) / so).unsqueeze(1) * low
    return res + (torch.sin(val * omega) / so).unsqueeze(1) * high


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_noise_is_turned_as_a1111_turns_it(share):
    one, other = torch.randn(2, 4, 8, 16, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(_turned(one, other, share), _slerp_of_a1111(share, one, other), atol=1e-5)
    assert torch.allclose(_turned(one, one, share), one, atol=1e-3)


def test_a_full_variation_is_the_other_seed_and_none_is_the_seed(painter):
    seven, eight, turned, none = (
        _pixels(image)
        for image in painter.paint(
            [_cell(), _cell(seed=8), _cell(variation=1.0, variation_seed=8), _cell(variation=0.0, variation_seed=8)]
        )
    )
    assert np.abs(turned - eight).max() <= 2
    assert np.array_equal(none, seven)


def test_with_the_noise_that_a_picture_is_painted_from_it_comes_back(painter, start):
    """Without guidance; with the seed's noise another picture is painted."""
    plain = _cell(steps=20, cfg=1.0, start=start, strength=0.5, **LARGE)
    own = replace(plain, inverted=True)
    back, other, none, both = painter.paint(
        [own, plain, replace(own, strength=0.0), replace(own, prompt="photo of a man")]
    )
    there = _pixels(none)
    assert np.abs(_pixels(back) - there).mean() < 0.8 * np.abs(_pixels(other) - there).mean()  # of a random toy
    assert not np.array_equal(_pixels(both), _pixels(back))


def test_with_another_sampler_than_eulers_the_noise_of_a_picture_is_not_sought(painter, start):
    with raises("sampler-without-inversion", has="Euler a"):
        painter.paint([_cell(start=start, inverted=True, sampler="Euler a", **LARGE)])


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_noise_in_latents_is_what_was_put_there(prediction):
    """Of a model that knows the picture, so that Euler's steps make no error."""
    random = torch.Generator().manual_seed(3)
    latents, noise = torch.randn(2, 2, 4, 8, 8, generator=random)
    scheduler = EulerDiscreteScheduler(prediction_type=prediction)
    scheduler.set_timesteps(10)

    def predict(scaled, time):
        sigma = float(scheduler.sigmas[list(scheduler.timesteps).index(time)]) if time else 0.0
        if prediction == "epsilon":
            return noise
        return (noise - sigma * latents) / (sigma**2 + 1) ** 0.5

    assert torch.allclose(noise_of(latents, scheduler, 4, predict), noise, atol=0.02)


def test_pictures_with_noise_of_their_own_are_painted_together_as_alone(painter, start):
    plain = _cell(start=start, strength=0.5, inverted=True, variation=0.1, **LARGE)
    cells = [replace(plain, variation_seed=seed) for seed in (1, 2)]
    together = [_pixels(image) for image in painter.paint(cells)]
    alone = [_pixels(painter.paint([cell])[0]) for cell in cells]
    assert all(np.abs(one - other).max() <= 2 for one, other in zip(together, alone, strict=True))
    assert not np.array_equal(*together)


def test_a_saved_picture_says_how_it_was_painted_and_that_it_is_generated(tmp_path, start):
    cell = _cell(start=start, strength=0.6, variation=0.1, variation_seed=9)
    path = tmp_path / "ü.png"
    save_picture(path, Image.new("RGB", (8, 8)), cell)
    with Image.open(path) as image:
        texts = dict(image.text)
    assert texts["parameters"] == parameters(cell) == parameters_of(path)
    assert texts["parameters"].endswith("Variation seed: 9, Variation seed strength: 0.1, Denoising strength: 0.6")
    assert parameters(_cell(start=start, inverted=True)).endswith("Denoising strength: 1, Inverted noise: True")
    assert parameters(_cell(inverted=True)) == parameters(_cell())
    assert "trainedAlgorithmicMedia" in texts["XML:com.adobe.xmp"]
    ElementTree.fromstring(texts["XML:com.adobe.xmp"].split("?>", 1)[1])  # well-formed
    path.write_bytes(path.read_bytes()[:30])
    assert parameters_of(path) is None
    assert parameters_of(tmp_path / "none.png") is None
