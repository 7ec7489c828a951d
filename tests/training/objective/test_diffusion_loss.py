"""The training loss against its formulas in numpy with 64 bits, at every timestep, the terminal one included."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from faults import misfit, raises
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora.models.noise_schedule import noise_schedule
from lib_lora.training.objective.diffusion_loss import (
    add_noise,
    elementwise_loss,
    huber_threshold,
    snr,
    timestep_weights,
    velocity,
)
from lib_lora.training.objective.diffusion_objective import DiffusionObjective
from lib_lora.training.objective.objective_settings import LossType, ObjectiveSettings
from lib_lora.typed_settings import from_dict

Array = npt.NDArray[np.float64]
ALL = torch.arange(1000)
SCHEDULES = {False: noise_schedule(False), True: noise_schedule(True)}
PREDICTIONS: tuple[str, ...] = ("epsilon", "v")


def _alphas(zero_terminal: bool = False) -> Array:
    """The schedule, worked out again: scaled linear, and algorithm 1 of Lin et al."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    root = np.sqrt(np.cumprod(1 - betas))
    if zero_terminal:
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return np.asarray(root**2)


def _batch(*timesteps: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(predicted, latents, noise, timesteps) of random numbers."""
    draw = torch.Generator().manual_seed(seed)
    shape = (len(timesteps), 4, 6, 5)
    predicted, latents, noise = (torch.randn(shape, generator=draw) for _ in range(3))
    return predicted, latents, noise, torch.tensor(timesteps)


def _each(values: Array) -> Array:
    return values.reshape(-1, 1, 1, 1)


def test_noise_is_mixed_by_the_schedule() -> None:
    _, latents, noise, times = _batch(0, 500, 999)
    a = _each(_alphas()[times.numpy()])
    expected = np.sqrt(a) * latents.numpy() + np.sqrt(1 - a) * noise.numpy()
    np.testing.assert_allclose(add_noise(latents, noise, times, SCHEDULES[False]).numpy(), expected, atol=1e-5)


def test_at_a_zero_terminal_step_nothing_of_the_picture_is_left() -> None:
    _, latents, noise, times = _batch(999)
    assert torch.equal(add_noise(latents, noise, times, SCHEDULES[True]), noise)
    assert torch.equal(velocity(latents, noise, times, SCHEDULES[True]), -latents)


def test_velocity_and_noisy_latents_give_back_the_picture() -> None:
    """x0 = sqrt(a) x_t - sqrt(1 - a) v, and the noise = sqrt(a) v + sqrt(1 - a) x_t."""
    _, latents, noise, times = _batch(3, 400, 998)
    a = torch.tensor(_each(_alphas()[times.numpy()])).float()
    noisy, v = (f(latents, noise, times, SCHEDULES[False]) for f in (add_noise, velocity))
    torch.testing.assert_close(a.sqrt() * noisy - (1 - a).sqrt() * v, latents, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(a.sqrt() * v + (1 - a).sqrt() * noisy, noise, atol=1e-5, rtol=1e-5)


def test_half_precision_goes_in_and_float32_comes_out() -> None:
    predicted, latents, noise, times = (one.half() if one.is_floating_point() else one for one in _batch(10, 900))
    assert add_noise(latents, noise, times, SCHEDULES[False]).dtype == torch.float32
    objective = DiffusionObjective(SCHEDULES[False], "v", ObjectiveSettings(min_snr_gamma=5))
    loss = objective.loss(predicted, latents, noise, times)
    assert loss.dtype == torch.float32


def test_snr_of_the_known_ends() -> None:
    a = _alphas()
    np.testing.assert_allclose(snr(SCHEDULES[False], ALL).numpy(), a / (1 - a), rtol=2e-4)
    assert float(snr(SCHEDULES[False], ALL)[0]) == pytest.approx(1175.5, rel=1e-3)
    assert float(snr(SCHEDULES[False], ALL)[-1]) == pytest.approx(0.00468, rel=1e-2)
    assert float(snr(SCHEDULES[True], ALL)[-1]) == 0


@pytest.mark.parametrize("zero_terminal", [False, True])
def test_huber_thresholds(zero_terminal: bool) -> None:
    a, c, t = _alphas(zero_terminal), 0.1, np.arange(1000)
    with np.errstate(divide="ignore"):
        sigma = np.sqrt((1 - a) / a)
    schedule = SCHEDULES[zero_terminal]
    by_snr = huber_threshold(ALL, schedule, c, "snr").numpy()
    np.testing.assert_allclose(by_snr, (1 - c) / (1 + sigma) ** 2 + c, rtol=1e-4)
    np.testing.assert_allclose(huber_threshold(ALL, schedule, c, "exponential").numpy(), c ** (t / 1000), rtol=1e-5)
    np.testing.assert_allclose(huber_threshold(ALL, schedule, c, "constant").numpy(), np.full(1000, c), rtol=1e-6)


@pytest.mark.parametrize("loss_type", ["l2", "l1", "huber", "smooth_l1"])
def test_elementwise_losses(loss_type: LossType) -> None:
    predicted, target, _, _ = _batch(0, 0)
    d, c = (predicted - target).double().numpy(), np.array([0.1, 0.7])
    curve = np.sqrt(d**2 + _each(c) ** 2) - _each(c)
    expected = {"l2": d**2, "l1": abs(d), "huber": 2 * _each(c) * curve, "smooth_l1": 2 * curve}[loss_type]
    have = elementwise_loss(predicted, target, loss_type, torch.tensor(c))
    np.testing.assert_allclose(have.numpy(), expected, atol=1e-5)


def test_huber_is_square_near_and_straight_far() -> None:
    near, far = torch.full((1, 1, 1, 1), 1e-2), torch.full((1, 1, 1, 1), 100.0)
    zero, c = torch.zeros(1, 1, 1, 1), torch.tensor([1.0])
    assert elementwise_loss(near, zero, "huber", c).item() == pytest.approx(1e-4, rel=1e-2)
    assert elementwise_loss(far, zero, "huber", c).item() == pytest.approx(200, rel=2e-2)
    with misfit("threshold", "huber"):
        elementwise_loss(near, zero, "huber")


def _weights(zero_terminal: bool, prediction: str, **knobs: Any) -> Array:
    weights = timestep_weights(ALL, SCHEDULES[zero_terminal], prediction, ObjectiveSettings(**knobs))
    assert weights.dtype == torch.float32
    return weights.double().numpy()


def test_min_snr_weights() -> None:
    a = _alphas()
    ratio = a / (1 - a)
    np.testing.assert_allclose(_weights(False, "epsilon", min_snr_gamma=5.0), np.minimum(ratio, 5) / ratio, rtol=2e-4)
    np.testing.assert_allclose(_weights(False, "v", min_snr_gamma=5.0), np.minimum(ratio, 5) / (ratio + 1), rtol=2e-4)


def test_debiased_weights() -> None:
    a = _alphas()
    ratio = np.minimum(a / (1 - a), 1000)
    np.testing.assert_allclose(_weights(False, "epsilon", debiased=True), 1 / np.sqrt(ratio), rtol=2e-4)
    np.testing.assert_allclose(_weights(False, "v", debiased=True), 1 / (ratio + 1), rtol=2e-4)


def test_scaled_v_weights_and_their_product() -> None:
    a = _alphas()
    ratio = np.minimum(a / (1 - a), 1000)
    np.testing.assert_allclose(_weights(False, "v", scale_v_pred_loss=True), ratio / (ratio + 1), rtol=2e-4)
    every = _weights(False, "v", scale_v_pred_loss=True, min_snr_gamma=5.0, debiased=True)
    free = a / (1 - a)
    expected = np.minimum(free, 5) / (free + 1) * ratio / (ratio + 1) / (ratio + 1)
    np.testing.assert_allclose(every, expected, rtol=5e-4)


def test_without_knobs_every_timestep_counts_the_same() -> None:
    for prediction in PREDICTIONS:
        assert (_weights(True, prediction) == 1).all()


def test_the_terminal_step_of_a_zero_terminal_schedule() -> None:
    """There the SNR is 0: weights take their limits instead of 0/0 or 1/0."""
    assert _weights(True, "epsilon", min_snr_gamma=5.0)[-1] == 1
    assert _weights(True, "v", min_snr_gamma=5.0)[-1] == 0
    assert _weights(True, "epsilon", debiased=True)[-1] == pytest.approx(math.sqrt(1000))
    assert _weights(True, "v", debiased=True)[-1] == pytest.approx(1 / 1.001)
    assert _weights(True, "v", scale_v_pred_loss=True)[-1] == pytest.approx(0.001 / 1.001)


KNOBS = st.builds(
    ObjectiveSettings,
    min_snr_gamma=st.sampled_from([0.0, 0.5, 1.0, 5.0, 20.0]),
    debiased=st.booleans(),
    loss_type=st.sampled_from(["l2", "l1", "huber", "smooth_l1"]),
    huber_c=st.floats(0.001, 1),
    huber_schedule=st.sampled_from(["snr", "exponential", "constant"]),
    prior_loss_weight=st.floats(0, 10),
)


@given(KNOBS, st.booleans(), st.sampled_from(PREDICTIONS), st.booleans())
@settings(max_examples=60, deadline=None)
def test_weights_loss_and_gradient_are_finite_at_every_timestep(
    knobs: ObjectiveSettings, zero_terminal: bool, prediction: str, scale: bool
) -> None:
    if scale and prediction == "v":
        knobs = from_dict(ObjectiveSettings, {**vars(knobs), "scale_v_pred_loss": True})
    schedule = SCHEDULES[zero_terminal]
    weights = timestep_weights(ALL, schedule, prediction, knobs)
    assert torch.isfinite(weights).all()
    assert (weights >= 0).all()
    assert weights.max() <= 32
    draw = torch.Generator().manual_seed(1)
    predicted, latents, noise = (torch.randn(1000, 1, 2, 2, generator=draw) for _ in range(3))
    predicted[::2] = (noise if prediction == "epsilon" else velocity(latents, noise, ALL, schedule))[::2]  # d = 0
    predicted.requires_grad_()
    objective = DiffusionObjective(schedule, prediction, knobs)
    loss = objective.loss(predicted, latents, noise, ALL, is_class=ALL % 3 == 0)
    assert torch.isfinite(loss).all()
    assert (loss >= 0).all()
    assert (loss[::2] <= 1e-5).all()
    loss.mean().backward()
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()


def test_the_default_is_mean_squared_error_on_the_target() -> None:
    predicted, latents, noise, times = _batch(5, 700, 999)
    plain = ObjectiveSettings()
    loss = DiffusionObjective(SCHEDULES[False], "epsilon", plain).loss(predicted, latents, noise, times)
    expected = ((predicted - noise).double().numpy() ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5)
    a = _each(_alphas()[times.numpy()])
    target = np.sqrt(a) * noise.numpy() - np.sqrt(1 - a) * latents.numpy()
    loss = DiffusionObjective(SCHEDULES[False], "v", plain).loss(predicted, latents, noise, times)
    np.testing.assert_allclose(loss.numpy(), ((predicted.numpy() - target) ** 2).mean(axis=(1, 2, 3)), rtol=1e-5)


def test_everything_together_is_the_reference_in_its_order() -> None:
    predicted, latents, noise, times = _batch(5, 300, 900)
    knobs = ObjectiveSettings(loss_type="huber", huber_c=0.2, min_snr_gamma=5.0, prior_loss_weight=0.5)
    weight_map = torch.rand(3, 1, 6, 5, generator=torch.Generator().manual_seed(4)) * 3
    is_class = torch.tensor([False, True, False])
    objective = DiffusionObjective(SCHEDULES[False], "epsilon", knobs)
    loss = objective.loss(predicted, latents, noise, times, weight_map=weight_map, is_class=is_class)

    a = _alphas()[times.numpy()]
    c = _each((1 - 0.2) / (1 + np.sqrt((1 - a) / a)) ** 2 + 0.2)
    d = (predicted - noise).double().numpy()
    mean = (2 * c * (np.sqrt(d**2 + c**2) - c) * weight_map.double().numpy()).mean(axis=(1, 2, 3))
    ratio = a / (1 - a)
    np.testing.assert_allclose(loss.numpy(), mean * [1, 0.5, 1] * np.minimum(ratio, 5) / ratio, rtol=1e-4)


def test_a_weight_map_moves_the_gradient_to_its_place() -> None:
    predicted, latents, noise, times = _batch(500)
    weight_map = torch.zeros(1, 1, 6, 5)
    weight_map[..., 2, 3] = 1
    predicted.requires_grad_()
    objective = DiffusionObjective(SCHEDULES[False], "epsilon", ObjectiveSettings())
    objective.loss(predicted, latents, noise, times, weight_map=weight_map).sum().backward()
    assert predicted.grad is not None
    touched = predicted.grad.abs().sum(dim=(0, 1)) > 0
    assert touched.nonzero().tolist() == [[2, 3]]


def test_a_picture_counts_the_same_alone_and_in_a_batch() -> None:
    """So two processes with half the batch each have the mean of one with all of it."""
    predicted, latents, noise, times = _batch(1, 250, 640, 999)
    knobs = ObjectiveSettings(loss_type="smooth_l1", min_snr_gamma=5.0)
    objective = DiffusionObjective(SCHEDULES[True], "v", knobs)

    def loss(rows: slice) -> torch.Tensor:
        return objective.loss(predicted[rows], latents[rows], noise[rows], times[rows])

    torch.testing.assert_close(loss(slice(0, 4)), torch.cat([loss(slice(0, 2)), loss(slice(2, 4))]))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"noise_offset": -0.1}, "noise_offset"),
        ({"min_snr_gamma": float("nan")}, "min_snr_gamma"),
        ({"adaptive_noise_scale": float("inf")}, "adaptive_noise_scale"),
        ({"multires_iterations": -1}, "multires_iterations"),
        ({"multires_discount": 0.0}, "multires_discount"),
        ({"huber_c": 1.5}, "huber_c"),
        ({"prior_loss_weight": -1.0}, "prior_loss_weight"),
        ({"ip_noise_gamma": -1.0}, "ip_noise_gamma"),
        ({"loss_type": "l3"}, "loss_type"),
        ({"huber_schedule": "cosine"}, "huber_schedule"),
        ({"min_timestep": 500, "max_timestep": 500}, "min_timestep"),
        ({"max_timestep": 1001}, "min_timestep"),
        ({"min_timestep": -1}, "min_timestep"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any], field: str) -> None:
    with misfit(field, *values.values()):
        ObjectiveSettings(**values)


def test_settings_come_from_a_file_and_a_typo_is_an_error() -> None:
    read = from_dict(ObjectiveSettings, {"loss_type": "huber", "min_snr_gamma": 5, "debiased": False})
    assert read == ObjectiveSettings(loss_type="huber", min_snr_gamma=5.0)
    with raises("setting-unknown", has="did you mean 'min_snr_gamma'"):
        from_dict(ObjectiveSettings, {"min_snr_gama": 5})
    with raises("setting-invalid", has="noise_offset is -1"):
        from_dict(ObjectiveSettings, {"noise_offset": -1})


def test_a_v_setting_on_a_noise_model_is_refused() -> None:
    knobs = ObjectiveSettings(scale_v_pred_loss=True)
    knobs.check("v")
    with raises("v-prediction-needed"):
        knobs.check("epsilon")
    with raises("v-prediction-needed"):
        timestep_weights(ALL, SCHEDULES[False], "epsilon", knobs)
