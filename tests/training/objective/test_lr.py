"""The learning rate's rise and fall, against values worked out by hand and against diffusers' cosine."""

from __future__ import annotations

from typing import get_args

import pytest
from diffusers.optimization import get_cosine_schedule_with_warmup
from faults import misfit
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, optim

from lib_lora.training.objective.lr import Schedule, lr_factor, restarted_lr_factor


def test_warm_up_rises_in_equal_parts_and_never_starts_at_zero() -> None:
    assert [lr_factor(step, 100, 4) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_constant_stays() -> None:
    assert {lr_factor(step, 100, 10, "constant") for step in range(10, 100)} == {1.0}


def test_linear_falls_in_a_line() -> None:
    assert [lr_factor(step, 10, 0, "linear") for step in (0, 5, 9, 10, 50)] == pytest.approx([1, 0.5, 0.1, 0, 0])


def test_cosine_known_values() -> None:
    values = [lr_factor(step, 12, 0, "cosine") for step in (0, 3, 4, 6, 12)]
    assert values == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.75, 0.5, 0])


def test_the_fall_ends_at_the_minimum() -> None:
    for kind in ("linear", "cosine"):
        assert lr_factor(100, 100, 10, kind, minimum=0.1) == pytest.approx(0.1)
        assert lr_factor(55, 100, 10, kind, minimum=0.1) == pytest.approx(0.55)


def test_after_the_warm_up_it_is_diffusers_cosine() -> None:
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    theirs = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=5, num_training_steps=50)
    for step in range(50):
        if step >= 5:
            assert lr_factor(step, 50, 5, "cosine") == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


@settings(deadline=None)
@given(
    st.integers(0, 3000),
    st.integers(1, 2000),
    st.integers(0, 2000),
    st.sampled_from(["constant", "linear", "cosine"]),
    st.floats(0, 1),
)
def test_it_stays_in_range_rises_and_then_falls(
    step: int, total: int, warmup: int, kind: Schedule, minimum: float
) -> None:
    now, after = (lr_factor(at, total, warmup, kind, minimum) for at in (step, step + 1))
    assert 0 <= now <= 1
    if step < warmup:
        assert 0 < now < after
    else:
        assert minimum - 1e-12 <= after <= now


@pytest.mark.parametrize("wrong", [{"kind": "step"}, {"step": -1}, {"total": 0}, {"warmup": -1}, {"minimum": 1.5}])
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with misfit(next(iter(wrong))):
        lr_factor(**{"step": 0, "total": 10, **wrong})  # type: ignore[arg-type]


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from(get_args(Schedule)))
def test_a_restart_is_a_schedule_of_its_own(first, more, kind):
    whole = [restarted_lr_factor(step, first + more, first, 0.05, kind) for step in range(first + more)]
    alone = [[lr_factor(step, steps, round(0.05 * steps), kind) for step in range(steps)] for steps in (first, more)]
    assert whole == [*alone[0], *alone[1]]


def test_half_as_many_steps_again_change_half_as_much_again():
    """Stretched over all steps instead, a twelfth: the sum of rates that the last third of a cosine has left."""
    first = sum(lr_factor(step, 400) for step in range(400))
    stretched = sum(lr_factor(step, 600) for step in range(400, 600))
    restarted = sum(restarted_lr_factor(step, 600, 400) for step in range(400, 600))
    assert stretched / first == pytest.approx(1 / 12, abs=0.01)
    assert restarted / first == pytest.approx(1 / 2, abs=0.01)
