"""Toy checkpoints, each made once in a run of the tests and read by all workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from shared import Shared


@pytest.fixture(scope="session")
def toy(shared: Shared) -> Callable[[str], Path]:
    """A function that gives the path of a toy checkpoint: toy("sd1"), toy("sd2v"), toy("sdxl"). Not to be changed."""

    def get(kind: str) -> Path:
        import toys  # here, since torch comes with it, and this module is loaded for every test

        name = f"toy-{kind}.safetensors"
        return shared.made(f"toy {kind}", lambda folder: toys.write_toy(kind, folder / name).parent) / name

    return get


@contextmanager
def flow_toy_of(shared: Shared) -> Iterator[Path]:
    """See `flow_toy`, for fixtures that last longer than a test."""
    import flow_family

    name = "toy-flow.safetensors"
    with flow_family.known():
        yield shared.made("toy flow", lambda folder: flow_family.write_flow_toy(folder / name).parent) / name


@pytest.fixture
def flow_toy(shared: Shared) -> Iterator[Path]:
    """The checkpoint of a toy of two layers, whose family is known while the test runs (flow_family.py).

    It trains, saves and paints in a fraction of the time that the toys of Stable Diffusion take, which have all of its
    layers: for tests of what is the same for every model. A process that a test starts does not know the family.
    """
    with flow_toy_of(shared) as path:
        yield path
