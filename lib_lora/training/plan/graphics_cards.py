"""Lists the graphics cards that the system knows of, whatever torch can do with them.

Loads no torch.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lib_lora.training.plan.device_choice import MachineFacts

_MAKERS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}  # PCI vendors
_PCI = Path("/sys/bus/pci/devices")
_DISPLAY_CLASS = "0x03"  # of PCI: displays and what computes for them
_WINDOWS_CLASS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"  # display adapters


@dataclass(frozen=True)
class NvidiaCard:
    """What NVIDIA's driver says of the first card, which need not be the first that torch uses."""

    name: str
    driver: str = ""


def machine_facts() -> MachineFacts:
    """What this machine has."""
    card = nvidia_card()
    makers = set(_makers())
    if card:
        makers.add("nvidia")
    return MachineFacts(
        sys.platform, frozenset(makers), card.name if card else "", card.driver if card else "", _is_translated()
    )


def nvidia_card() -> NvidiaCard | None:
    """The first NVIDIA card; None where there is none, or no driver."""
    said = run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    parts = [part.strip() for part in said.splitlines()[0].split(",")] if said.strip() else []
    return NvidiaCard(*parts) if len(parts) == 2 else None


def _makers() -> Iterator[str]:
    if sys.platform == "win32":
        yield from _windows_makers()
    elif sys.platform == "darwin":
        if platform.machine() == "arm64" or _is_translated():
            yield "apple"
    else:
        yield from _linux_makers(_PCI)
        if shutil.which("rocm-smi"):
            yield "amd"


def _linux_makers(devices: Path) -> Iterator[str]:
    for device in sorted(devices.glob("*")):
        with suppress(OSError, UnicodeDecodeError):
            maker = (device / "vendor").read_text(encoding="ascii").strip()
            kind = (device / "class").read_text(encoding="ascii")
            if kind.startswith(_DISPLAY_CLASS) and maker in _MAKERS:
                yield _MAKERS[maker]


def _windows_makers() -> Iterator[str]:
    """The makers of the installed display drivers, from the registry."""
    if sys.platform != "win32":
        return
    import winreg

    with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _WINDOWS_CLASS) as drivers:
        for number in range(16):
            with suppress(OSError), winreg.OpenKey(drivers, f"{number:04d}") as driver:
                identifier = str(winreg.QueryValueEx(driver, "MatchingDeviceId")[0]).lower()
                for vendor, maker in _MAKERS.items():
                    if f"ven_{vendor.removeprefix('0x')}" in identifier:
                        yield maker


def _is_translated() -> bool:
    """Whether macOS translates this process for an Apple processor."""
    return sys.platform == "darwin" and run(["sysctl", "-n", "sysctl.proc_translated"]).strip() == "1"


def run(command: Sequence[str], variables: Mapping[str, str] | None = None, patience: float = 20) -> str:
    """What a short command prints; nothing where it fails, is not there, or takes longer than `patience` seconds."""
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW
    try:
        done = subprocess.run(
            list(command),
            env=dict(os.environ if variables is None else variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=patience,
            check=False,
            creationflags=flags,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
