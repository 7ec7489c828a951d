"""Every draw is named by what it is for, and nothing else moves it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_lora.training.objective.randomness import generator, python_random

KEYS = st.lists(st.one_of(st.integers(-(2**40), 2**40), st.text(max_size=5)), max_size=4)


def test_the_same_name_gives_the_same_numbers_whatever_was_drawn_before() -> None:
    first = torch.randn(20, generator=generator(7, "noise", 3, 1))
    torch.manual_seed(99)
    torch.randn(5)
    assert torch.equal(first, torch.randn(20, generator=generator(7, "noise", 3, 1)))
    assert python_random(7, "tags", 3).random() == python_random(7, "tags", 3).random()


def test_the_global_generators_are_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    torch.randn(4, generator=generator(7, "noise"))
    assert torch.equal(before, torch.get_rng_state())


def test_seed_purpose_step_and_slot_each_count() -> None:
    names: list[tuple[int, tuple[int | str, ...]]] = [
        (1, ("a", 2, 3)),
        (2, ("a", 2, 3)),
        (1, ("b", 2, 3)),
        (1, ("a", 3, 3)),
        (1, ("a", 2, 4)),
        (1, ("a", 2)),
    ]
    numbers = {float(torch.randn(1, generator=generator(seed, *keys))) for seed, keys in names}
    assert len(numbers) == len(names)


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, 23), (12, 3)), (("1", 23), (1, 23)), (("ab", "c"), ("a", "bc")), (("a;s1:b",), ("a", "b")), ((), ("",))],
)
def test_names_that_look_alike_are_different(one: tuple[int | str, ...], other: tuple[int | str, ...]) -> None:
    assert generator(5, *one).initial_seed() != generator(5, *other).initial_seed()


@settings(deadline=None)
@given(st.integers(-(2**70), 2**70), KEYS)
def test_the_mixed_seed_has_63_bits(seed: int, keys: list[int | str]) -> None:
    assert 0 <= generator(seed, *keys).initial_seed() < 2**63


def test_the_numbers_never_change_between_versions() -> None:
    """A resumed run on a newer SameFace must go on with the same noise."""
    assert generator(42, "noise", 10, 1).initial_seed() == 353278214384043154
    drawn = torch.randn(3, generator=generator(42, "noise", 10, 1))
    assert drawn.tolist() == pytest.approx([0.32190979, -0.22143109, 0.17827697], abs=1e-6)
    order = list(range(6))
    python_random(42, "order", 0).shuffle(order)
    assert order == [5, 4, 3, 1, 0, 2]


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError):
        generator(1, 0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        python_random(1, None)  # type: ignore[arg-type]


def test_a_whole_number_of_another_type_is_the_same_key() -> None:
    assert generator(1, torch.tensor(5)).initial_seed() == generator(1, 5).initial_seed()  # type: ignore[arg-type]


def test_what_the_settings_and_the_tab_import_needs_no_torch() -> None:
    modules = ["objective.randomness", "data.buckets", "data.batches", "objective.lr"]
    modules += ["objective.objective_settings", "objective.optimizers"]
    code = "import sys; " + "; ".join(f"import lib_lora.training.{name}" for name in modules)
    code += "; sys.exit(' '.join(m for m in ('torch', 'cv2', 'transformers', 'bitsandbytes') if m in sys.modules) or 0)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
