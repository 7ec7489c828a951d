"""What a training computes on, why, and what to do where that is the CPU although the machine has a GPU.

Pure functions of plain facts: `training.distributed` asks torch for them, `training.plan.graphics_cards` the system.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["cuda", "mps", "xpu", "cpu"]
_START = 'the page "Get Started" of pytorch.org gives the command for your system'


@dataclass(frozen=True)
class TorchFacts:
    """What the torch of one Python says.

    Attributes:
        version: such as "2.13.0+cpu"; empty = there is none, or it does not load.
        cuda, rocm: the version of each that it was built for; empty = without.
        gpu: the name of the first GPU that torch.cuda can use (ROCm's too); empty = it can use none.
        architecture: of that GPU, "sm_86" or "gfx1100"; empty = unknown.
        architectures: those that this torch holds code for; empty = unknown.
        mps, xpu: whether an Apple or Intel GPU can be used.
        directml: whether torch-directml lies beside it.
        cpu_asked: the variable ACCELERATE_USE_CPU asks for the CPU.
        hidden: the variable that hides all GPUs from it; empty = none does.
    """

    version: str = ""
    cuda: str = ""
    rocm: str = ""
    gpu: str = ""
    architecture: str = ""
    architectures: tuple[str, ...] = ()
    mps: bool = False
    xpu: bool = False
    directml: bool = False
    cpu_asked: bool = False
    hidden: str = ""


@dataclass(frozen=True)
class MachineFacts:
    """What the system says.

    Attributes:
        system: as `sys.platform` says it.
        makers: of its graphics cards: "nvidia", "amd", "intel", "apple".
        nvidia: the first NVIDIA card's name, as its driver says it; empty = no driver, or no such card.
        driver: the version of NVIDIA's driver.
        translated: this Python was built for Intel and runs on an Apple processor.
    """

    system: str = "linux"
    makers: frozenset[str] = frozenset()
    nvidia: str = ""
    driver: str = ""
    translated: bool = False


@dataclass(frozen=True)
class DeviceChoice:
    """What is used.

    Attributes:
        kind: torch's name of it; ROCm's GPUs are "cuda" too.
        code: the reason, for programs and tests.
        tone: "good"; "warn" = as it must be, and slow; "bad" = there is something to mend.
        text: one or two sentences.
        mend: what to do; empty = nothing.
    """

    kind: Kind
    code: str
    tone: Literal["good", "warn", "bad"]
    text: str
    mend: str = ""


def kind_of(torch: TorchFacts) -> Kind:
    """What accelerate takes: any GPU that this torch can use, else the CPU."""
    if torch.cpu_asked:
        return "cpu"
    if torch.gpu:
        return "cuda"
    return "mps" if torch.mps else "xpu" if torch.xpu else "cpu"


def choose(torch: TorchFacts, machine: MachineFacts) -> DeviceChoice:
    """What a training uses, and why."""
    kind = kind_of(torch)
    if kind == "cuda":
        return _of_cuda(torch)
    if kind == "mps":
        return DeviceChoice("mps", "mps", "good", "Training uses the Apple GPU (Metal).")
    if kind == "xpu":
        return DeviceChoice("xpu", "xpu", "good", "Training uses the Intel GPU (XPU).")
    if not torch.version:
        text = "Training cannot start: the Python that trains has no torch that loads."
        return DeviceChoice("cpu", "torch-missing", "bad", text, "Install what is lacking, or install torch again.")
    code, tone, why, mend = _why_cpu(torch, machine)
    return DeviceChoice("cpu", code, tone, f"Training uses the CPU: {why}.", mend)


def _of_cuda(torch: TorchFacts) -> DeviceChoice:
    through = f"ROCm {torch.rocm}" if torch.rocm else f"CUDA {torch.cuda}"
    if not runs(torch.architecture, torch.architectures):
        text = f"{torch.gpu} cannot compute with torch {torch.version}, which holds no code for {torch.architecture}."
        newer = "Install a newer torch into the Python that trains; " + _START + "."
        return DeviceChoice("cuda", "architecture-unknown", "bad", text, newer)
    if "ZLUDA" in torch.gpu:
        text = f"Training uses {torch.gpu}, which passes itself off as CUDA; SameFace was not tried on it."
        return DeviceChoice("cuda", "zluda", "warn", text, "If it fails or the loss is not a number, use ROCm.")
    return DeviceChoice("cuda", "rocm" if torch.rocm else "cuda", "good", f"Training uses {torch.gpu} ({through}).")


def runs(architecture: str, held: Sequence[str]) -> bool:
    """Whether code for the architectures `held` runs on a GPU of this one; yes where either is unknown.

    NVIDIA: the same major version and at most the same minor ("sm_80" on "sm_86"), or the intermediate code of any
    older one ("compute_90"), which the driver translates. AMD: exactly the same.
    """
    if not architecture or not held:
        return True
    mine = re.fullmatch(r"sm_(\d+)(\d)", architecture)
    if mine is None:
        return architecture in held
    major, minor = int(mine[1]), int(mine[2])
    for one in held:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", one)
        if found is None:
            continue
        other = (int(found[2]), int(found[3]))
        if (other[0] == major and other[1] <= minor) or (found[1] == "compute" and other <= (major, minor)):
            return True
    return False


def _why_cpu(torch: TorchFacts, machine: MachineFacts) -> tuple[str, Literal["warn", "bad"], str, str]:
    """Code, tone, reason and remedy; the first that holds."""
    this = f"this torch ({torch.version})"
    if torch.cpu_asked:
        return "cpu-asked", "warn", "the variable ACCELERATE_USE_CPU asks for it", "Remove the variable to use a GPU."
    built_for_gpu = torch.cuda or torch.rocm
    if built_for_gpu and torch.hidden:
        return "gpus-hidden", "warn", f"the variable {torch.hidden} hides every GPU", f"Remove {torch.hidden}."
    if "nvidia" in machine.makers:
        return _why_not_nvidia(torch, machine, this)
    if torch.directml:
        why = "torch-directml is there, but SameFace cannot train through DirectML"
        mend = f"Install a torch with ROCm, where your card and system have one ({_START}), or train elsewhere."
        return "directml", "bad", why, mend
    if "amd" in machine.makers:
        if torch.rocm:
            return (
                "rocm-no-device",
                "bad",
                f"{this} is built for ROCm {torch.rocm}, but finds no GPU that it can use",
                ("Install AMD's driver; on Linux your account must be in the groups render and video."),
            )
        # "warn": many processors contain a small AMD GPU that cannot train
        why = f"{this} is built without ROCm, and this machine has an AMD GPU"
        return (
            "torch-without-rocm",
            "warn",
            why,
            (f"If ROCm supports that GPU, install a torch with ROCm into the Python that trains; {_START}."),
        )
    if machine.system == "darwin":
        if machine.translated:
            why = f"{this} was built for Intel processors, and this Mac has an Apple one"
            return "translated", "bad", why, "Install a Python for Apple processors (arm64)."
        if "apple" in machine.makers:
            why = f"{this} cannot use the Apple GPU"
            return "mps-unavailable", "bad", why, "Update macOS (12.3 or newer) and torch."
    slow = (
        "there is no GPU that it could use. A full-size model would train for days; the small test model takes minutes"
    )
    return "no-gpu", "warn", slow, "Where there is a GPU, its driver may be missing."


def _why_not_nvidia(torch: TorchFacts, machine: MachineFacts, this: str) -> tuple[str, Literal["bad"], str, str]:
    card = f"an NVIDIA GPU ({machine.nvidia})" if machine.nvidia else "an NVIDIA GPU"
    if not torch.cuda:
        why = f"{this} is built without CUDA, and this machine has {card}"
        return "torch-without-cuda", "bad", why, f"Install a torch with CUDA into the Python that trains; {_START}."
    if not machine.nvidia:
        why = f"this machine has {card}, but NVIDIA's driver is not there or does not run"
        return "driver-missing", "bad", why, "Install NVIDIA's driver and restart the machine."
    why = f"{this} is built for CUDA {torch.cuda} and cannot use {machine.nvidia} with its driver {machine.driver}"
    return "driver-outdated", "bad", why, f"Update NVIDIA's driver, or install a torch for an older CUDA; {_START}."
