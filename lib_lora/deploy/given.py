"""What this room asks of a run and of a painted cell. `training.run.Run` and `grid.cells.Cell` have it; they are not
named, since rooms of one floor do not know each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lib_lora.character.store import Character


class Photo(Protocol):
    """One picture of the training set."""

    @property
    def prior(self) -> bool: ...


class Base(Protocol):
    """The base checkpoint."""

    @property
    def path(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def prediction(self) -> str: ...
    @property
    def guidance(self) -> float: ...


class Settings(Protocol):
    """How it was trained."""

    @property
    def resolution(self) -> int: ...
    @property
    def clip_skip(self) -> int: ...


class File(Protocol):
    """What ``run.yaml`` holds."""

    @property
    def id(self) -> str: ...
    @property
    def character(self) -> Character: ...
    @property
    def base(self) -> Base: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def photos(self) -> Sequence[Photo]: ...


class Run(Protocol):
    """A training run."""

    @property
    def file(self) -> File: ...


class Cell(Protocol):
    """A picture that was painted; its prompt without ``<lora:...>``."""

    @property
    def prompt(self) -> str: ...
    @property
    def negative(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def cfg(self) -> float: ...
    @property
    def sampler(self) -> str: ...
