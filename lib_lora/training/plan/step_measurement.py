"""Holds what was measured of some steps of a training: how long a step takes, and how much memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class StepMeasurement:
    """What a probe has measured.

    Attributes:
        device: its name.
        seconds_per_step: of the optimizer.
        peak_memory: bytes; None = not known.
        load_seconds: until the first step.
        steps: of the whole run.
        precision: that was used.
        others: share of the processor that other programs took during the steps, 0..1.
        on: the other machine on which it was made; empty = this computer.
    """

    device: str
    seconds_per_step: float
    peak_memory: int | None = None
    load_seconds: float = 0.0
    steps: int = 0
    precision: str = ""
    others: float = 0.0
    on: str = ""

    def values(self) -> dict[str, Any]:
        """The measurement as it is stored, and as a job's result."""
        found = asdict(self)
        if not self.on:
            del found["on"]
        return found


def measurement_of(values: Mapping[str, Any]) -> StepMeasurement | None:
    """A measurement as it was kept; None where it is not one, as one of another version may be."""
    try:
        peak = values.get("peak_memory")
        return StepMeasurement(
            device=str(values["device"]),
            seconds_per_step=float(values["seconds_per_step"]),
            peak_memory=None if peak is None else int(peak),
            load_seconds=float(values.get("load_seconds") or 0.0),
            steps=int(values.get("steps") or 0),
            precision=str(values.get("precision") or ""),
            others=float(values.get("others") or 0.0),
            on=str(values.get("on") or ""),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
