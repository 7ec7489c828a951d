"""Every optimizer takes real steps, and a saved one goes on bit for bit."""

from __future__ import annotations

import importlib.util
import io
import sys
import types
from typing import Any, get_args

import pytest
import torch
from faults import raises
from torch import nn

from lib_lora.training.objective.optimizers import (
    DEFAULT_BETAS,
    OptimizerName,
    make_optimizer,
    trouble_with_8bit,
)

NAMES = get_args(OptimizerName)
RATES = {"adamw": 0.05, "adamw8bit": 0.05, "adafactor": 0.05, "prodigy": 1.0, "lion": 0.02}


def _weights() -> list[nn.Parameter]:
    """A matrix large enough to be kept in 8 bit (4,096 numbers), and a small vector that is not."""
    draw = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(64, 80, generator=draw)), nn.Parameter(torch.randn(7, generator=draw))]


def _goals() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(64, 80, generator=draw), torch.randn(7, generator=draw)]


def _made(name: str, weights: list[nn.Parameter], **more: Any) -> torch.optim.Optimizer:
    groups = [{"params": weights[:1], "name": "unet"}, {"params": weights[1:], "name": "te1"}]
    return make_optimizer(name, groups, RATES[name], **more)[0]


def _loss(weights: list[nn.Parameter]) -> torch.Tensor:
    """A quadratic, steeper in some directions than in others."""
    parts = []
    for weight, goal in zip(weights, _goals(), strict=True):
        steepness = torch.linspace(0.5, 2, weight.numel()).view(weight.shape)
        parts.append((steepness * (weight - goal) ** 2).mean())
    return torch.stack(parts).sum()


def _train(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], steps: int) -> float:
    for _ in range(steps):
        optimizer.zero_grad()
        loss = _loss(weights)
        loss.backward()
        optimizer.step()
    return float(_loss(weights).detach())


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_the_bottom_of_a_quadratic(name: str) -> None:
    weights = _weights()
    start = float(_loss(weights).detach())
    end = _train(_made(name, weights, weight_decay=0.0), weights, 200)
    assert end < 0.05 * start


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_goes_on_bit_for_bit(name: str) -> None:
    straight = _weights()
    _train(_made(name, straight), straight, 24)

    weights = _weights()
    first = _made(name, weights)
    _train(first, weights, 11)
    file = io.BytesIO()
    torch.save({"optimizer": first.state_dict(), "weights": [w.detach() for w in weights]}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    resumed = [nn.Parameter(weight.clone()) for weight in saved["weights"]]
    second = _made(name, resumed)
    second.load_state_dict(saved["optimizer"])
    assert [group["name"] for group in second.param_groups] == ["unet", "te1"]
    _train(second, resumed, 13)
    for one, other in zip(straight, resumed, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_rate_changed_between_steps_counts(name: str) -> None:
    """The loop sets the rate of each step; a rate of nearly nothing must move nearly nothing."""
    weights = _weights()
    optimizer = _made(name, weights)
    _train(optimizer, weights, 3)
    before = [weight.detach().clone() for weight in weights]
    for group in optimizer.param_groups:
        group["lr"] *= 1e-9
    _train(optimizer, weights, 1)
    moved = max(float((now - then).detach().abs().max()) for now, then in zip(weights, before, strict=True))
    assert moved < 1e-6


@pytest.mark.parametrize("name", [name for name in NAMES if name != "prodigy"])
def test_groups_have_their_own_rates(name: str) -> None:
    weights = _weights()
    groups: list[dict[str, Any]] = [{"params": weights[:1]}, {"params": iter(weights[1:]), "lr": 0.004}]
    optimizer, _ = make_optimizer(name, groups, 0.02)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.004]


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_pulls_towards_zero(name: str) -> None:
    ends = []
    for decay in (0.0, 0.5):
        weights = _weights()
        _train(_made(name, weights, weight_decay=decay), weights, 200)
        ends.append(sum(float(weight.detach().norm()) for weight in weights))
    assert ends[1] < 0.97 * ends[0]


def test_each_is_the_one_that_was_asked_for() -> None:
    made = {name: _made(name, _weights()) for name in NAMES if name != "adamw8bit"}
    assert isinstance(made["adamw"], torch.optim.AdamW)
    modules = {name: type(optimizer).__module__.split(".")[0] for name, optimizer in made.items()}
    assert modules == {"adamw": "torch", "adafactor": "transformers", "prodigy": "prodigyopt", "lion": "lion_pytorch"}
    assert made["adafactor"].defaults["relative_step"] is False
    assert made["prodigy"].defaults["safeguard_warmup"] is True
    for name in ("adamw", "prodigy", "lion"):
        assert tuple(made[name].defaults["betas"]) == DEFAULT_BETAS[name]
    assert tuple(_made("lion", _weights(), betas=(0.95, 0.98)).defaults["betas"]) == (0.95, 0.98)


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES:
        _made(name, _weights())
    assert capsys.readouterr().out == ""


def test_making_one_draws_no_random_number() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for name in NAMES:
        _made(name, _weights())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed here")
def test_8bit_is_really_8_bit_where_it_works() -> None:
    trouble = trouble_with_8bit("cpu")
    optimizer, note = make_optimizer("adamw8bit", [{"params": _weights()}], 0.05)
    assert (note is None) == (trouble is None)
    if trouble is None:
        assert type(optimizer).__name__ == "AdamW8bit"
        weights = optimizer.param_groups[0]["params"]
        _train(optimizer, weights, 1)
        assert optimizer.state[weights[0]]["state1"].dtype == torch.uint8
    else:
        assert isinstance(optimizer, torch.optim.AdamW)


def _without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)  # importing it now raises ImportError


def test_8bit_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "bitsandbytes")
    large = [nn.Parameter(torch.zeros(1000, 2000))]
    optimizer, note = make_optimizer("adamw8bit", [{"params": large}], 0.05)
    assert type(optimizer) is torch.optim.AdamW
    assert note == (
        "adamw8bit: bitsandbytes is not installed; using AdamW in 32 bit instead, which needs about 11 MB more memory."
    )
    assert optimizer.param_groups[0]["params"] == large


class _Broken(torch.optim.SGD):
    """An 8-bit optimizer that is installed and fails in its first step, as with a card it was not built for."""

    def __init__(self, params: Any, lr: float, **_: Any) -> None:
        super().__init__(params, lr=lr)

    def step(self, closure: Any = None) -> Any:
        raise RuntimeError("no kernel image is available for execution on the device\nlong tail")


class _Wrong(_Broken):
    """One that runs and moves nothing."""

    def step(self, closure: Any = None) -> Any:
        return closure


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (_Broken, "bitsandbytes does not work on cpu (no kernel image is available for execution on the device)"),
        (_Wrong, "bitsandbytes gives wrong numbers on cpu"),
    ],
)
def test_8bit_is_probed_with_real_steps(monkeypatch: pytest.MonkeyPatch, kind: type, reason: str) -> None:
    fake = types.ModuleType("bitsandbytes")
    fake.optim = types.SimpleNamespace(AdamW8bit=kind)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bitsandbytes", fake)
    optimizer, note = make_optimizer("adamw8bit", [{"params": _weights()}], 0.05)
    assert type(optimizer) is torch.optim.AdamW
    assert note == f"adamw8bit: {reason}; using AdamW in 32 bit instead."


def test_8bit_survives_a_library_that_does_not_even_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> Any:
        raise RuntimeError(f"{name}: CUDA Setup failed")

    monkeypatch.setattr("importlib.import_module", fails)
    assert trouble_with_8bit("cpu") == "bitsandbytes does not start (bitsandbytes: CUDA Setup failed)"


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("prodigy", "prodigyopt", "prodigyopt"),
        ("lion", "lion_pytorch", "lion-pytorch"),
        ("adafactor", "transformers.optimization", "transformers"),
    ],
)
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str) -> None:
    _without(monkeypatch, module)
    with raises("optimizer-package-missing", has=(name, package, package)):
        _made(name, _weights())


def test_prodigy_wants_one_rate_near_1() -> None:
    weights = _weights()
    assert make_optimizer("prodigy", [{"params": weights}], 1.0)[1] is None
    note = make_optimizer("prodigy", [{"params": weights}], 1e-4)[1]
    assert note is not None
    assert "0.0001 is far from the usual 1" in note
    with raises("prodigy-unequal-rates", has=("1", "0.5")):
        make_optimizer("prodigy", [{"params": weights[:1]}, {"params": weights[1:], "lr": 0.5}], 1.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "adamw8bits"}, ("optimizer-unknown", "adamw8bit")),
        ({"name": "sgd"}, ("optimizer-unknown", "adamw8bit")),
        ({"lr": 0.0}, ("learning-rate-invalid", "learning rate must be greater than 0, not 0")),
        ({"lr": float("nan")}, ("learning-rate-invalid", "learning rate must be greater than 0")),
        ({"weight_decay": -1.0}, ("optimizer-setting-invalid", "Weight decay must be 0 or more")),
        ({"betas": (0.9, 1.0)}, ("optimizer-setting-invalid", "betas between 0 and 1")),
    ],
)
def test_nonsense_is_refused(changed: dict[str, Any], message: str) -> None:
    call: dict[str, Any] = {"name": "adamw", "groups": [{"params": _weights()}], "lr": 0.1, **changed}
    with raises(message[0], has=message[1:]):
        make_optimizer(**call)
