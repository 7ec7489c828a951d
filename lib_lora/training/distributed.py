"""Chooses the device of this process, and knows whether it is one of several that ``accelerate launch`` started.

Loads torch and accelerate where their answer is needed: a process that nobody launched knows that it is alone.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from lib_lora.errors import UserError
from lib_lora.training.plan.device_choice import MachineFacts, TorchFacts, choose, kind_of
from lib_lora.training.plan.graphics_cards import machine_facts

if TYPE_CHECKING:
    import torch
    from accelerate import PartialState

T = TypeVar("T")
_LAUNCHED = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_LIMIT = {  # which GPUs a build may see
    "cuda": ("CUDA_VISIBLE_DEVICES",),
    "rocm": ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
}
_YES = ("1", "true", "yes", "on", "y", "t")


def state() -> PartialState:
    """accelerate's state, on the CPU where nothing else is there or ``ACCELERATE_USE_CPU`` asks for it.

    accelerate itself sees that variable, and several processes on a CPU, only where it is told.
    """
    from accelerate import PartialState

    return PartialState(cpu=kind_of(torch_facts()) == "cpu")


def torch_facts(with_memory: bool = False) -> TorchFacts:
    """What this process's torch can use. It is loaded for this; facts that it cannot give stay empty.

    Args:
        with_memory: also how much memory the first GPU has; this takes some of it for as long as the process lives.
    """
    asked = os.environ.get("ACCELERATE_USE_CPU", "").lower() in _YES
    try:
        import torch
    except Exception:  # not there, or broken in any way
        return TorchFacts(cpu_asked=asked)
    gpu = architecture = ""
    free = memory = 0
    architectures: list[str] = []
    if torch.cuda.is_available():
        gpu = "a GPU"
        with suppress(Exception):  # a driver in disorder
            gpu = torch.cuda.get_device_name() or gpu
            architectures = torch.cuda.get_arch_list()
            if torch.version.hip:
                architecture = torch.cuda.get_device_properties(0).gcnArchName.split(":")[0]
            else:
                architecture = "sm_{}{}".format(*torch.cuda.get_device_capability())
        if with_memory:
            with suppress(Exception):  # there may be none left to ask with
                free, memory = torch.cuda.mem_get_info()
    xpu = getattr(torch, "xpu", None)
    limits = _LIMIT["rocm" if torch.version.hip else "cuda"]
    return TorchFacts(
        version=str(torch.__version__),
        cuda=torch.version.cuda or "",
        rocm=torch.version.hip or "",
        gpu=gpu,
        architecture=architecture,
        architectures=tuple(architectures),
        mps=torch.backends.mps.is_available(),
        xpu=bool(xpu and xpu.is_available()),
        directml=importlib.util.find_spec("torch_directml") is not None,
        cpu_asked=asked,
        limits=tuple(f"{name}={os.environ[name]}" for name in limits if name in os.environ),
        memory=memory,
        free=free,
    )


def gpu_left_unused(machine: Callable[[], MachineFacts] = machine_facts) -> str:
    """Why training uses the CPU although there is a GPU, or may be one, and what to do; empty where that is not so.

    The driver's tool, which is asked for this, may take many seconds where the driver is in disorder.
    """
    facts = torch_facts()
    if kind_of(facts) != "cpu":
        return ""
    choice = choose(facts, machine())
    return f"{choice.text} {choice.mend}" if choice.leaves_gpu_unused else ""


def device() -> torch.device:
    """Where this process computes."""
    import torch

    return torch.device(state().device)


def device_name() -> str:
    """What a person calls the device that this process trains on: of a GPU, its driver's name."""
    import torch

    found = device()
    if found.type == "cuda":
        return str(torch.cuda.get_device_name(found))
    return "the processor" if found.type == "cpu" else found.type.upper()


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
