"""Computes the learning rate of a step, as a pure function of it; nothing has to be saved for a resume."""

from __future__ import annotations

import math
from typing import Literal, get_args

from lib_lora.errors import Misfit

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
        raise Misfit(f"unknown schedule {kind!r}; known are {', '.join(get_args(Schedule))}", "kind")
    right = {"step": step >= 0, "total": total >= 1, "warmup": warmup >= 0, "minimum": 0 <= minimum <= 1}
    if wrong := next((name for name, fits in right.items() if not fits), ""):
        raise Misfit(f"out of range: step {step}, total {total}, warmup {warmup}, minimum {minimum}", wrong)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if kind == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    falling = 1 - progress if kind == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return minimum + (1 - minimum) * falling


def restarted_lr_factor(
    step: int, total: int, restart: int = 0, warmup: float = 0.0, kind: Schedule = "cosine", minimum: float = 0.0
) -> float:
    """`lr_factor` of a training that ended at step `restart` and was continued there to step `total`.

    The schedule begins again at `restart` (Loshchilov and Hutter 2017, "SGDR"): stretched over all steps, a cosine
    would have little left of its rate there, and half as many steps again would change the weights by a twelfth of what
    the first ones did.

    Args:
        step, total, kind, minimum: see `lr_factor`.
        restart: 0 <= restart < total.
        warmup: share of the steps of each part in which the rate rises, 0..1.
    """
    begin, end = (restart, total) if step >= restart else (0, restart)
    return lr_factor(step - begin, end - begin, round(warmup * (end - begin)), kind, minimum)
