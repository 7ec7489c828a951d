"""Toy checkpoints, each made once in a run of the tests and read by all workers."""

from __future__ import annotations

from collections.abc import Callable
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
