"""The moving average against its formula, and that a saved one goes on exactly."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from faults import misfit

from lib_lora.training.objective.ema import EMA


def _walk(params: list[torch.Tensor], step: int) -> None:
    for param in params:
        param.data.add_(torch.randn(param.shape, generator=torch.Generator().manual_seed(step)))


def test_it_is_the_formula() -> None:
    params = [torch.nn.Parameter(torch.zeros(3, 2)), torch.nn.Parameter(torch.ones(4))]
    ema = EMA(params, decay=0.6)
    expected = [param.detach().numpy().astype(np.float64) for param in params]
    for n in range(1, 31):
        _walk(params, n)  # type: ignore[arg-type]
        ema.update()
        d = min(0.6, (1 + n) / (10 + n))
        expected = [d * old + (1 - d) * new.detach().numpy() for old, new in zip(expected, params, strict=True)]
        for have, want in zip(ema.tensors(), expected, strict=True):
            np.testing.assert_allclose(have.numpy(), want, rtol=1e-4, atol=1e-5)
    assert ema.updates == 30


def test_the_start_is_forgotten_quickly() -> None:
    weight = torch.zeros(1)
    ema = EMA([weight], decay=0.999)
    weight.fill_(1.0)
    ema.update()
    assert float(ema.tensors()[0]) == pytest.approx(9 / 11)  # without the warm-up it would be 0.001
    for _ in range(9):
        ema.update()
    assert float(ema.tensors()[0]) > 0.999


def test_the_trained_weights_are_not_touched() -> None:
    weight = torch.nn.Parameter(torch.randn(5))
    before = weight.detach().clone()
    ema = EMA([weight], decay=0.5)
    ema.update()
    assert torch.equal(weight, before)
    assert ema.tensors()[0].data_ptr() != weight.data_ptr()
    assert not ema.tensors()[0].requires_grad


def test_a_saved_average_goes_on_bit_for_bit() -> None:
    def fresh() -> tuple[list[torch.Tensor], EMA]:
        params = [torch.zeros(3, 2), torch.zeros(4)]
        return params, EMA(params, decay=0.9)

    straight, whole = fresh()
    for step in range(20):
        _walk(straight, step)
        whole.update()

    params, first = fresh()
    for step in range(8):
        _walk(params, step)
        first.update()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    first.update()  # what happens after saving must not change what was saved
    file.seek(0)
    second = EMA(params, decay=0.9)
    second.load_state_dict(torch.load(file, weights_only=True))
    for step in range(8, 20):
        _walk(params, step)
        second.update()
    assert second.updates == whole.updates == 20
    for have, want in zip(second.tensors(), whole.tensors(), strict=True):
        assert torch.equal(have, want)


def test_wrong_use_is_refused() -> None:
    with misfit("decay", 1.0):
        EMA([torch.zeros(1)], decay=1.0)
    with misfit("params", "float16"):
        EMA([torch.zeros(1, dtype=torch.float16)], decay=0.9)
    state = EMA([torch.zeros(2)], decay=0.9).state_dict()
    with misfit("state"):
        EMA([torch.zeros(3)], decay=0.9).load_state_dict(state)
    with misfit("state"):
        EMA([torch.zeros(2), torch.zeros(2)], decay=0.9).load_state_dict(state)
