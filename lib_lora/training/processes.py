"""Which device this process trains on, and whether it is one of several that ``accelerate launch`` started."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

_YES = ("1", "true", "yes", "on", "y", "t")


def state() -> PartialState:
    """accelerate's state, on the CPU where nothing else is there or ``ACCELERATE_USE_CPU`` asks for it.

    accelerate itself sees that variable, and several processes on a CPU, only where it is told.
    """
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in _YES
    return PartialState(cpu=asked or not _has_accelerator())


def _has_accelerator() -> bool:
    xpu = getattr(torch, "xpu", None)
    return torch.cuda.is_available() or torch.backends.mps.is_available() or bool(xpu and xpu.is_available())


def device() -> torch.device:
    """Where this process computes."""
    return torch.device(state().device)


def is_main() -> bool:
    """Whether this is the one process, or the first of several."""
    return bool(state().is_main_process)


def said_by_main(text: str | None) -> str | None:
    """The main process's text, in every process."""
    box = [text]
    if state().num_processes > 1:
        broadcast_object_list(box)
    return box[0]
