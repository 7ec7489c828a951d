"""Knows the licences of base models, from ``base_licences.yaml``: name, address, and what each says to a use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import yaml

from lib_lora.models.families.registry import families

Says = Literal["allowed", "conditions", "forbidden", "unknown"]
SAYS: tuple[Says, ...] = get_args(Says)
_FILE = Path(__file__).with_name("base_licences.yaml")


@dataclass(frozen=True)
class BaseLicence:
    """The licence of a base model.

    Attributes:
        name, address: of its text.
        pictures, services, merges, sell: what it says to each use (`licence_lights`).
        note: its conditions in a sentence.
    """

    name: str
    address: str
    pictures: Says
    services: Says
    merges: Says
    sell: Says
    note: str


@dataclass(frozen=True)
class _Table:
    licences: dict[str, BaseLicence]
    by_base: dict[str, str]


def licence_of_base(base: str) -> BaseLicence | None:
    """The licence of what a model was made for; None = it is not known.

    Args:
        base: Civitai's ``baseModel``, such as "SD 1.5".
    """
    found = _table()
    return found.licences.get(found.by_base.get(base, ""))


def licence_named(key: str) -> BaseLicence:
    """A licence by its key in the file.

    Raises:
        KeyError: there is none.
    """
    return _table().licences[key]


def family_of_base(base: str) -> str:
    """The name of SameFace's family of models that loads what was made for a base model; empty = none, or unknown."""
    return next((family.name for family in families() if base in family.civitai_bases), "")


def bases() -> list[str]:
    """All base models that the file lists."""
    return list(_table().by_base)


@cache
def _table() -> _Table:
    read = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    rows = read["base_models"]
    return _Table(
        {key: BaseLicence(**row) for key, row in read["licences"].items()},
        {base: row["licence"] for base, row in rows.items()},
    )
