"""Chooses the device for a training, and explains why it is the CPU where the machine has a GPU.

Pure functions of plain facts: `training.distributed` asks torch for them, `training.plan.graphics_cards` the system.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["cuda", "mps", "xpu", "cpu"]
_UNUSED = frozenset(
    (
        "no-visible-gpu",
        "torch-without-cuda",
        "driver-missing",
        "driver-outdated",
        "torch-without-rocm",
        "rocm-no-device",
        "directml",
        "translated",
        "mps-unavailable",
    )
)
_HIDING = ("", "-1", "none", "nodevfiles")  # values of the variables that say which GPUs may be seen
# ROCm's code for several architectures at once
_GENERIC = {
    "gfx9-generic": "gfx90[02469c]",
    "gfx9-4-generic": r"gfx9(4\d|50)",
    "gfx10-1-generic": r"gfx101\d",
    "gfx10-3-generic": r"gfx103\d",
    "gfx11-generic": r"gfx11[05]\d",
    "gfx12-generic": r"gfx120\d",
}
_SLOW = "A full-size model would train for days; the small test model takes minutes"
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
        limits: the variables that say which GPUs a build of this kind may see, with their values
            ("CUDA_VISIBLE_DEVICES=1"), as far as they are set.
        memory, free: of that GPU, in bytes; 0 = unknown.
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
    limits: tuple[str, ...] = ()
    memory: int = 0
    free: int = 0


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
        memory, free: of the GPU that is used, in bytes; 0 = unknown.
    """

    kind: Kind
    code: str
    tone: Literal["good", "warn", "bad"]
    text: str
    mend: str = ""
    memory: int = 0
    free: int = 0

    @property
    def leaves_gpu_unused(self) -> bool:
        """Whether the CPU is used although there is a GPU, or may be one, which nobody has ruled out on purpose."""
        return self.code in _UNUSED


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
        mend = "If it fails or the loss is not a number, use ROCm."
        return DeviceChoice("cuda", "zluda", "warn", text, mend, torch.memory, torch.free)
    text = f"Training uses {torch.gpu} ({through})."
    return DeviceChoice("cuda", "rocm" if torch.rocm else "cuda", "good", text, "", torch.memory, torch.free)


def runs(architecture: str, held: Sequence[str]) -> bool:
    """Whether code for the architectures `held` runs on a GPU of this one; yes where either is unknown.

    NVIDIA: the same major version and at most the same minor ("sm_80" on "sm_86"), or the intermediate code of any
    older one ("compute_90"), which the driver translates. AMD: the same, or a generic one that covers it
    ("gfx12-generic" on "gfx1201"); one of an unknown form may cover it.
    """
    if not architecture or not held:
        return True
    mine = re.fullmatch(r"sm_(\d+)(\d)", architecture)
    if mine is None:
        return any(_amd_runs(architecture, one.split(":")[0]) for one in held)
    major, minor = int(mine[1]), int(mine[2])
    for one in held:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", one)
        if found is None:
            continue
        other = (int(found[2]), int(found[3]))
        if (other[0] == major and other[1] <= minor) or (found[1] == "compute" and other <= (major, minor)):
            return True
    return False


def _amd_runs(architecture: str, held: str) -> bool:
    if held in _GENERIC:
        return re.fullmatch(_GENERIC[held], architecture) is not None
    plain = "gfx[0-9a-f]+"
    return held == architecture or not (re.fullmatch(plain, held) and re.fullmatch(plain, architecture))


def _why_cpu(torch: TorchFacts, machine: MachineFacts) -> tuple[str, Literal["warn", "bad"], str, str]:
    """Code, tone, reason and remedy; the first that holds."""
    this = f"this torch ({torch.version})"
    if torch.cpu_asked:
        return "cpu-asked", "warn", "the variable ACCELERATE_USE_CPU asks for it", "Remove the variable to use a GPU."
    if (torch.cuda or torch.rocm) and torch.limits:
        limits = [(name, value) for name, _, value in (one.partition("=") for one in torch.limits)]
        hiding = [(name, value) for name, value in limits if value.strip().lower() in _HIDING]
        name, value = (hiding or limits)[0]
        if hiding:
            return "gpus-hidden", "warn", f'the variable {name} is "{value}", which hides every GPU', f"Remove {name}."
        why = f'the variable {name} is "{value}", and {this} finds no GPU among those that it names'
        return "no-visible-gpu", "warn", why, f"Remove {name}, or correct it; if that changes nothing, look here again."
    if torch.rocm and "amd" in machine.makers:
        why = f"{this} is built for ROCm {torch.rocm}, but finds no GPU that it can use"
        mend = "Install AMD's driver; on Linux your account must be in the groups render and video."
        return "rocm-no-device", "bad", why, mend
    if "nvidia" in machine.makers:
        return _why_not_nvidia(torch, machine, this)
    if torch.directml:
        why = "torch-directml is there, but SameFace cannot train through DirectML"
        mend = f"Install a torch with ROCm, where your card and system have one ({_START}), or train elsewhere."
        return "directml", "bad", why, mend
    if "amd" in machine.makers:
        # "warn": many processors contain a small AMD GPU that cannot train
        why = f"{this} is built without ROCm, and this machine has an AMD GPU"
        mend = f"If ROCm supports that GPU, install a torch with ROCm into the Python that trains; {_START}."
        return "torch-without-rocm", "warn", why, mend
    if machine.system == "darwin":
        if machine.translated:
            why = f"{this} was built for Intel processors, and this Mac has an Apple one"
            return "translated", "bad", why, "Install a Python for Apple processors (arm64)."
        if "apple" in machine.makers:
            why = f"{this} cannot use the Apple GPU"
            return "mps-unavailable", "bad", why, "Update macOS (12.3 or newer) and torch."
    if "intel" in machine.makers:
        if "xpu" in torch.version:
            why = f"{this} is built for Intel GPUs (XPU), but finds none that it can use. {_SLOW}"
            return "xpu-no-device", "warn", why, "If this machine has an Intel Arc GPU, install Intel's newest driver."
        # most such machines have only the small GPU of their processor, so nothing is promised
        why = f"{this} is built without XPU, and the only GPU found is one of Intel's. {_SLOW}"
        mend = (
            "If it is an Arc GPU, a torch with XPU may be able to use it, which was not tried with SameFace "
            f"({_START}); most GPUs inside a processor are too small to train."
        )
        return "torch-without-xpu", "warn", why, mend
    why = f"there is no GPU that it could use. {_SLOW}"
    return "no-gpu", "warn", why, "Where there is a GPU, its driver may be missing."


def _why_not_nvidia(
    torch: TorchFacts, machine: MachineFacts, this: str
) -> tuple[str, Literal["warn", "bad"], str, str]:
    card = f"an NVIDIA GPU ({machine.nvidia})" if machine.nvidia else "an NVIDIA GPU"
    if not torch.cuda:
        why = f"{this} is built without CUDA, and this machine has {card}"
        install = f"a torch with CUDA into the Python that trains; {_START}."
        if machine.nvidia:
            return "torch-without-cuda", "bad", why, f"Install {install}"
        # "warn": without its driver nothing tells how old the card is
        why += ", whose driver is not there or does not run"
        return "torch-without-cuda", "warn", why, f"If CUDA still supports that GPU, install its driver and {install}"
    if not machine.nvidia:
        why = f"this machine has {card}, but NVIDIA's driver is not there or does not run"
        return "driver-missing", "bad", why, "Install NVIDIA's driver and restart the machine."
    why = f"{this} is built for CUDA {torch.cuda} and cannot use {machine.nvidia} with its driver {machine.driver}"
    return "driver-outdated", "bad", why, f"Update NVIDIA's driver, or install a torch for an older CUDA; {_START}."
