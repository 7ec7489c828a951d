"""The noise of one picture, against the reference's formulas computed again in numpy from the same draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_lora.training.objective.noise import (
    multires_noise,
    offset_noise,
    sample_noise,
    sample_timestep,
    training_noise,
)
from lib_lora.training.objective.objective_settings import ObjectiveSettings
from lib_lora.training.objective.randomness import generator

SHAPE = (4, 24, 16)
Array = npt.NDArray[np.float64]


def _latent(fill: float = 0.0) -> torch.Tensor:
    """Channel means of fill + 0, 1, -2, 3."""
    steps = torch.tensor([0.0, 1.0, -2.0, 3.0]).view(4, 1, 1)
    return (fill + steps).expand(SHAPE).clone()


def test_plain_noise_is_standard_normal() -> None:
    noise = sample_noise((4, 128, 128), generator(1, "noise"))
    assert noise.dtype == torch.float32
    assert noise.device.type == "cpu"
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1, abs=0.02)


def test_offset_adds_one_number_a_channel() -> None:
    noise = sample_noise(SHAPE, generator(1))
    moved = offset_noise(noise, _latent(), 0.05, 0.0, generator(2))
    added = (moved - noise).double().numpy()
    drawn = torch.randn(4, 1, 1, generator=generator(2)).double().numpy()
    np.testing.assert_allclose(added, np.broadcast_to(0.05 * drawn, SHAPE), atol=1e-6)


def test_adaptive_offset_follows_the_latents_mean() -> None:
    noise = sample_noise(SHAPE, generator(1))
    added = (offset_noise(noise, _latent(), 0.05, 0.01, generator(2)) - noise).double().numpy()[:, 0, 0]
    drawn = torch.randn(4, generator=generator(2)).double().numpy()
    np.testing.assert_allclose(added, np.array([0.05, 0.06, 0.07, 0.08]) * drawn, atol=1e-6)


def test_a_negative_adaptive_scale_never_turns_the_offset_around() -> None:
    noise = sample_noise(SHAPE, generator(1))
    added = (offset_noise(noise, _latent(), 0.05, -0.02, generator(2)) - noise).double().numpy()[:, 0, 0]
    drawn = torch.randn(4, generator=generator(2)).double().numpy()
    np.testing.assert_allclose(added, np.array([0.05, 0.03, 0.01, 0.0]) * drawn, atol=1e-6)


def _enlarged(coarse: Array, length: int) -> Array:
    """Bilinear enlargement of the last axis, with pixel centres at i + 1/2."""
    places = np.clip((np.arange(length) + 0.5) * coarse.shape[-1] / length - 0.5, 0, coarse.shape[-1] - 1)
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, coarse.shape[-1] - 1)
    return np.asarray(coarse[..., low] * (1 - (places - low)) + coarse[..., high] * (places - low))


@pytest.mark.parametrize(("iterations", "discount"), [(1, 0.3), (3, 0.3), (8, 0.8)])
def test_multires_is_the_pyramid_of_the_reference(iterations: int, discount: float) -> None:
    plain = sample_noise(SHAPE, generator(1))
    have = multires_noise(plain, iterations, discount, generator(2))

    draws = generator(2)
    noise = plain.double().numpy()
    for i in range(iterations):
        r = float(torch.rand(1, generator=draws)) * 2 + 2
        h, w = max(1, int(SHAPE[1] / r**i)), max(1, int(SHAPE[2] / r**i))
        coarse = torch.randn(1, 4, h, w, generator=draws)[0].double().numpy()
        rows = _enlarged(np.swapaxes(coarse, 1, 2), SHAPE[1])
        noise = noise + _enlarged(np.swapaxes(rows, 1, 2), SHAPE[2]) * discount**i
        if h == 1 or w == 1:
            break
    np.testing.assert_allclose(have.numpy(), noise / noise.std(ddof=1), atol=2e-5)


def test_multires_has_deviation_one_and_more_weight_in_the_large() -> None:
    plain = sample_noise((4, 64, 64), generator(1))
    pyramid = multires_noise(plain, 8, 0.6, generator(2))
    assert float(pyramid.std()) == pytest.approx(1, abs=1e-4)
    blocks = [float(one.view(4, 8, 8, 8, 8).mean(dim=(2, 4)).std()) for one in (plain, pyramid)]
    assert blocks[0] == pytest.approx(1 / 8, abs=0.02)
    assert blocks[1] > 2 * blocks[0]


def test_everything_off_is_plain_noise() -> None:
    target, seen = training_noise(_latent(), ObjectiveSettings(), generator(3))
    assert torch.equal(target, sample_noise(SHAPE, generator(3)))
    assert torch.equal(target, seen)


def test_the_order_is_offset_then_multires_then_ip() -> None:
    knobs = ObjectiveSettings(
        noise_offset=0.1, adaptive_noise_scale=0.01, multires_iterations=4, multires_discount=0.5, ip_noise_gamma=0.2
    )
    target, seen = training_noise(_latent(), knobs, generator(3))
    draws = generator(3)
    noise = sample_noise(SHAPE, draws)
    noise = offset_noise(noise, _latent(), 0.1, 0.01, draws)
    noise = multires_noise(noise, 4, 0.5, draws)
    assert torch.equal(target, noise)
    assert torch.equal(seen, noise + 0.2 * sample_noise(SHAPE, draws))


def test_ip_noise_leaves_the_target_alone() -> None:
    plain, _ = training_noise(_latent(), ObjectiveSettings(noise_offset=0.05), generator(3))
    target, seen = training_noise(_latent(), ObjectiveSettings(noise_offset=0.05, ip_noise_gamma=0.1), generator(3))
    assert torch.equal(plain, target)
    extra = seen - target
    assert float(extra.std()) == pytest.approx(0.1, abs=0.01)
    assert abs(float(torch.corrcoef(torch.stack([extra.flatten(), target.flatten()]))[0, 1])) < 0.1


def test_a_half_precision_latent_makes_no_half_precision_noise() -> None:
    knobs = ObjectiveSettings(noise_offset=0.1, adaptive_noise_scale=0.1)
    target, _ = training_noise(_latent().half(), knobs, generator(3))
    assert target.dtype == torch.float32
    assert torch.equal(target, training_noise(_latent(), knobs, generator(3))[0])


@given(st.integers(1, 4), st.integers(0, 2**31), st.integers(0, 5000))
def test_two_processes_with_half_the_batch_see_what_one_sees(half: int, seed: int, step: int) -> None:
    knobs = ObjectiveSettings(noise_offset=0.05, multires_iterations=3, ip_noise_gamma=0.1)

    def batch(slots: range) -> list[tuple[torch.Tensor, torch.Tensor, int]]:
        rows = []
        for slot in slots:
            draw = generator(seed, "sample", step, slot)
            rows.append((*training_noise(_latent(slot), knobs, draw), sample_timestep(knobs, draw)))
        return rows

    whole, parts = batch(range(2 * half)), [*batch(range(half, 2 * half)), *batch(range(half))]
    for one, other in zip(whole, parts[half:] + parts[:half], strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
        assert one[2] == other[2]
    assert len({float(target.sum()) for target, _, _ in whole}) == 2 * half


def test_timesteps_fill_their_range_evenly() -> None:
    knobs = ObjectiveSettings(min_timestep=100, max_timestep=110)
    drawn = [sample_timestep(knobs, generator(0, step)) for step in range(3000)]
    assert sorted(set(drawn)) == list(range(100, 110))
    assert max(abs(drawn.count(timestep) - 300) for timestep in range(100, 110)) < 70
    assert sample_timestep(ObjectiveSettings(min_timestep=999), generator(0)) == 999


def test_the_numbers_never_change_between_versions() -> None:
    """A resumed run on a newer SameFace must go on with the same noise."""
    knobs = ObjectiveSettings(noise_offset=0.05, multires_iterations=6, ip_noise_gamma=0.1)
    draw = generator(42, "sample", 10, 0)
    target, seen = training_noise(_latent(), knobs, draw)
    assert target[0, 0, :3].tolist() == pytest.approx([0.2408342, 0.6155723, -1.9207437], abs=1e-5)
    assert seen[3, -1, -3:].tolist() == pytest.approx([-0.2257807, -0.1886964, -0.9919239], abs=1e-5)
    assert sample_timestep(knobs, draw) == 337
