"""The learning rate over time, as a pure function of the step; nothing to save for a resume."""

from __future__ import annotations

import math
from typing import Literal, get_args

Schedule = Literal["constant", "linear", "cosine"]


def lr_factor(step: int, total: int, warmup: int = 0, kind: Schedule = "cosine", minimum: float = 0.0) -> float:
    """What the learning rate is multiplied by at a step: `minimum`..1, and more than 0 during the warm-up.

    It rises in equal parts over `warmup` steps and is 1 at step `warmup`; then it stays, or falls in a line or
    half a cosine to `minimum`, which it would reach at step `total`. (Diffusers and kohya begin at 0, which
    wastes the first step.)

    Args:
        step: 0 .. total - 1; later steps keep the last value.
        total: the number of optimizer steps of the run.
        warmup: steps of the rise.
        kind: "constant", "linear" or "cosine".
        minimum: the end of "linear" and "cosine", as a share of the full rate, 0..1.

    Raises:
        ValueError: an unknown kind, or a number out of range.
    """
    if kind not in get_args(Schedule):
        raise ValueError(f"unknown schedule {kind!r}; known are {', '.join(get_args(Schedule))}")
    if step < 0 or total < 1 or warmup < 0 or not 0 <= minimum <= 1:
        raise ValueError(f"out of range: step {step}, total {total}, warmup {warmup}, minimum {minimum}")
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if kind == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    falling = 1 - progress if kind == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return minimum + (1 - minimum) * falling
