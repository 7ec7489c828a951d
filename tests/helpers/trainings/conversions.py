"""Counts how often plain values become the arguments of a job."""

from __future__ import annotations

from typing import Any

import pytest

from lib_lora import typed_settings
from lib_lora.queue.job_types import KINDS


def count_conversions(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The classes of arguments that are made of plain values from here on, one for each time."""
    seen: list[type] = []
    convert = typed_settings.from_dict

    def counted(kind: type[Any], values: Any, where: str = "settings") -> Any:
        if kind in KINDS.values():
            seen.append(kind)
        return convert(kind, values, where)

    monkeypatch.setattr(typed_settings, "from_dict", counted)
    return seen
