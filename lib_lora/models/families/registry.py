"""Lists the families that are known, in the order in which a checkpoint is compared with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lib_lora.models.families.model_family import ModelFamily
from lib_lora.models.families.sd1 import SD1
from lib_lora.models.families.sd2 import SD2
from lib_lora.models.families.sdxl import SDXL

_FAMILIES: dict[str, ModelFamily] = {family.name: family for family in (SDXL, SD1, SD2)}


def families() -> tuple[ModelFamily, ...]:
    """All families."""
    return tuple(_FAMILIES.values())


def family_named(name: str) -> ModelFamily:
    """The family of this name.

    Raises:
        KeyError: there is none.
    """
    return _FAMILIES[name]


def usual_family() -> ModelFamily:
    """The family that is meant where no base model is known yet: the one that the smallest GPU trains."""
    return min(families(), key=lambda family: family.memory.card)


def family_names() -> tuple[str, ...]:
    """The names of all families."""
    return tuple(_FAMILIES)


@contextmanager
def registered(family: ModelFamily) -> Iterator[None]:
    """Know one more family inside the block; the ones that come with SameFace are still tried first."""
    if family.name in _FAMILIES:
        raise ValueError(f"there is a family {family.name!r} already.")
    _FAMILIES[family.name] = family
    try:
        yield
    finally:
        del _FAMILIES[family.name]
