"""Chooses the device for a training, and explains why it is the CPU where the machine has a GPU.

Pure functions of plain facts: `training.distributed` asks torch for them, `training.plan.graphics_cards` the system.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from lib_lora.messages.message import Message
from lib_lora.messages.tone import Tone

Kind = Literal["cuda", "mps", "xpu", "cpu"]
_UNUSED = frozenset(
    (
        "no-visible-gpu",
        "torch-without-cuda",
        "cuda-and-driver-missing",
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
_CPU = "Training uses the CPU: {why}."
_SLOW = "A full-size model would train for days; the small test model takes minutes"
_START = 'the page "Get Started" of pytorch.org gives the command for your system'
# By code: tone, sentence and what to do. Of the CPU the sentence is the reason, which `_CPU` says.
_GPU_TEXTS: dict[str, tuple[Tone, str, str]] = {
    "cuda": ("good", "Training uses {gpu} (CUDA {version}).", ""),
    "rocm": ("good", "Training uses {gpu} (ROCm {version}).", ""),
    "mps": ("good", "Training uses the Apple GPU (Metal).", ""),
    "xpu": ("good", "Training uses the Intel GPU (XPU).", ""),
    "architecture-unknown": (
        "bad",
        "{gpu} cannot compute with torch {torch}, which contains no code for {architecture}.",
        f"Install a newer torch into the Python that trains; {_START}.",
    ),
    "zluda": (
        "warn",
        "Training uses {gpu}, which passes itself off as CUDA; SameFace has not been tested on it.",
        "If it fails or the loss is not a number, use ROCm.",
    ),
    "torch-missing": (
        "bad",
        "Training cannot start: the Python that trains has no torch that loads.",
        "Install what is missing, or install torch again.",
    ),
}
_CPU_REASONS: dict[str, tuple[Tone, str, str]] = {
    "cpu-asked": ("warn", "the variable ACCELERATE_USE_CPU asks for it", "Remove the variable to use a GPU."),
    "gpus-hidden": ("warn", 'the variable {variable} is "{value}", which hides every GPU', "Remove {variable}."),
    "no-visible-gpu": (
        "warn",
        'the variable {variable} is "{value}", and this torch ({torch}) finds no GPU among those that it names',
        "Remove {variable}, or correct it; if that changes nothing, check here again.",
    ),
    "rocm-no-device": (
        "bad",
        "this torch ({torch}) is built for ROCm {rocm}, but finds no GPU that it can use",
        "Install AMD's driver; on Linux your account must be in the groups render and video.",
    ),
    "torch-without-cuda": (
        "bad",
        "this torch ({torch}) is built without CUDA, and this machine has an NVIDIA GPU ({card})",
        f"Install a torch with CUDA into the Python that trains; {_START}.",
    ),
    # "warn": without its driver nothing tells how old the card is
    "cuda-and-driver-missing": (
        "warn",
        "this torch ({torch}) is built without CUDA, and this machine has an NVIDIA GPU, whose driver is missing "
        "or not running",
        f"If CUDA still supports that GPU, install its driver and a torch with CUDA into the Python that trains; "
        f"{_START}.",
    ),
    "driver-missing": (
        "bad",
        "this machine has an NVIDIA GPU, but NVIDIA's driver is missing or not running",
        "Install NVIDIA's driver and restart the machine.",
    ),
    "driver-outdated": (
        "bad",
        "this torch ({torch}) is built for CUDA {cuda} and cannot use {card} with its driver {driver}",
        f"Update NVIDIA's driver, or install a torch for an older CUDA; {_START}.",
    ),
    "directml": (
        "bad",
        "torch-directml is installed, but SameFace cannot train through DirectML",
        f"Install a torch with ROCm, where your card and system have one ({_START}), or train elsewhere.",
    ),
    # "warn": many processors contain a small AMD GPU that cannot train
    "torch-without-rocm": (
        "warn",
        "this torch ({torch}) is built without ROCm, and this machine has an AMD GPU",
        f"If ROCm supports that GPU, install a torch with ROCm into the Python that trains; {_START}.",
    ),
    "translated": (
        "bad",
        "this torch ({torch}) was built for Intel processors, and this Mac has an Apple one",
        "Install a Python for Apple processors (arm64).",
    ),
    "mps-unavailable": (
        "bad",
        "this torch ({torch}) cannot use the Apple GPU",
        "Update macOS (12.3 or newer) and torch.",
    ),
    "xpu-no-device": (
        "warn",
        "this torch ({torch}) is built for Intel GPUs (XPU), but finds none that it can use. " + _SLOW,
        "If this machine has an Intel Arc GPU, install Intel's newest driver.",
    ),
    # most such machines have only the small GPU of their processor, so nothing is promised
    "torch-without-xpu": (
        "warn",
        "this torch ({torch}) is built without XPU, and the only GPU found is one of Intel's. " + _SLOW,
        "If it is an Arc GPU, a torch with XPU may be able to use it, which has not been tested with SameFace "
        f"({_START}); most GPUs inside a processor are too small to train.",
    ),
    "no-gpu": (
        "warn",
        "there is no GPU that it could use. " + _SLOW,
        "Where there is a GPU, its driver may be missing.",
    ),
}


def templates() -> list[str]:
    """Of all that is said of a device."""
    rows = [*_GPU_TEXTS.values(), *_CPU_REASONS.values()]
    return [_CPU, *(template for _, *both in rows for template in both if template)]


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
        text: one or two sentences, with the same code.
        mend: what to do; None = nothing.
        memory, free: of the GPU that is used, in bytes; 0 = unknown.
    """

    kind: Kind
    code: str
    tone: Tone
    text: Message
    mend: Message | None = None
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
    if kind in ("mps", "xpu"):
        return _said(kind, kind)
    if not torch.version:
        return _said("cpu", "torch-missing")
    variable, value = _limit(torch)
    values = {"torch": torch.version, "cuda": torch.cuda, "rocm": torch.rocm, "variable": variable, "value": value}
    return _said("cpu", _why_cpu(torch, machine), {**values, "card": machine.nvidia, "driver": machine.driver})


def _said(
    kind: Kind, code: str, values: Mapping[str, str] = MappingProxyType({}), memory: int = 0, free: int = 0
) -> DeviceChoice:
    if code in _CPU_REASONS:
        tone, why, mend = _CPU_REASONS[code]
        text = Message(_CPU, {"why": Message(why, values)}, code)
    else:
        tone, template, mend = _GPU_TEXTS[code]
        text = Message(template, values, code)
    return DeviceChoice(kind, code, tone, text, Message(mend, values) if mend else None, memory, free)


def _of_cuda(torch: TorchFacts) -> DeviceChoice:
    if not runs(torch.architecture, torch.architectures):
        values = {"gpu": torch.gpu, "torch": torch.version, "architecture": torch.architecture}
        return _said("cuda", "architecture-unknown", values)
    code = "zluda" if "ZLUDA" in torch.gpu else "rocm" if torch.rocm else "cuda"
    values = {"gpu": torch.gpu, "version": torch.rocm or torch.cuda}
    return _said("cuda", code, values, torch.memory, torch.free)


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


def _limit(torch: TorchFacts) -> tuple[str, str]:
    """The variable that keeps torch from the GPUs, and its value: one that hides all of them before any other."""
    limits = [(name, value) for name, _, value in (one.partition("=") for one in torch.limits)]
    hiding = [(name, value) for name, value in limits if _hides(value)]
    return (hiding or limits or [("", "")])[0]


def _hides(value: str) -> bool:
    return value.strip().lower() in _HIDING


def _why_cpu(torch: TorchFacts, machine: MachineFacts) -> str:
    """The first code that holds."""
    if torch.cpu_asked:
        return "cpu-asked"
    if (torch.cuda or torch.rocm) and torch.limits:
        return "gpus-hidden" if _hides(_limit(torch)[1]) else "no-visible-gpu"
    if torch.rocm and "amd" in machine.makers:
        return "rocm-no-device"
    if "nvidia" in machine.makers:
        if not torch.cuda:
            return "torch-without-cuda" if machine.nvidia else "cuda-and-driver-missing"
        return "driver-outdated" if machine.nvidia else "driver-missing"
    if torch.directml:
        return "directml"
    if "amd" in machine.makers:
        return "torch-without-rocm"
    if machine.system == "darwin" and machine.translated:
        return "translated"
    if machine.system == "darwin" and "apple" in machine.makers:
        return "mps-unavailable"
    if "intel" in machine.makers:
        return "xpu-no-device" if "xpu" in torch.version else "torch-without-xpu"
    return "no-gpu"
