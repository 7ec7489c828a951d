"""The webui's modules by name, for code that must also load where there is no webui."""

from __future__ import annotations

import importlib
import sys
from typing import Any


def part(name: str) -> Any:
    """The webui's module ``modules.NAME``.

    Raises:
        ImportError: this webui has none.
    """
    return importlib.import_module(f"modules.{name}")


def networks() -> Any:
    """The built-in Lora's module ``networks``; None where that extension is turned off.

    It is taken from what is loaded: its folder is no longer on the path, and other programs have a ``networks`` too.
    """
    found = sys.modules.get("networks")
    return found if hasattr(found, "available_networks") else None


def loras_work() -> bool:
    """Whether ``<lora:...>`` in a prompt means something to this webui."""
    return networks() is not None and "lora" in part("extra_networks").extra_network_registry
