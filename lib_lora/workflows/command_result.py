"""Holds the result of a command: text for people, values for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CommandResult:
    """An answer.

    Attributes:
        text: for people.
        values: for programs, plain.
        good: nothing speaks against what was asked for.
    """

    text: str
    values: dict[str, Any]
    good: bool = True
