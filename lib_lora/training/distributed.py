"""Which device this process trains on, and whether it is one of several that ``accelerate launch`` started.

Loads torch and accelerate where their answer is needed: a process that nobody launched knows that it is alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from lib_lora.errors import UserError

if TYPE_CHECKING:
    import torch
    from accelerate import PartialState

T = TypeVar("T")
_LAUNCHED = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_YES = ("1", "true", "yes", "on", "y", "t")


def state() -> PartialState:
    """accelerate's state, on the CPU where nothing else is there or ``ACCELERATE_USE_CPU`` asks for it.

    accelerate itself sees that variable, and several processes on a CPU, only where it is told.
    """
    from accelerate import PartialState

    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in _YES
    return PartialState(cpu=asked or not _has_accelerator())


def _has_accelerator() -> bool:
    import torch

    xpu = getattr(torch, "xpu", None)
    return torch.cuda.is_available() or torch.backends.mps.is_available() or bool(xpu and xpu.is_available())


def device() -> torch.device:
    """Where this process computes."""
    import torch

    return torch.device(state().device)


def alone() -> bool:
    """Whether no launcher of several processes, which are known by the variables that they set, started this one."""
    return not any(name in os.environ for name in _LAUNCHED)


def is_main() -> bool:
    """Whether this is the one process, or the first of several."""
    return alone() or bool(state().is_main_process)


def main_first(make: Callable[[], T]) -> T:
    """What `make` gives, in every process; the main one makes it first (and fills the caches that the others read).

    Raises:
        UserError: in every process, if the main one raised it, so that none waits for the others.
    """
    result, error = None, None
    if is_main():
        try:
            result = make()
        except UserError as caught:
            error = caught
    error = from_main(error)
    if error:
        raise error
    return result if result is not None else make()


def from_main(value: T) -> T:
    """The main process's value, in every process; it is pickled."""
    if alone():
        return value
    from accelerate.utils import broadcast_object_list

    box = [value]
    if state().num_processes > 1:
        broadcast_object_list(box)
    return box[0]
