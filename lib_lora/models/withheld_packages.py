"""Keeps packages that nothing here needs from the libraries that import them merely because they are installed."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

# diffusers and peft import both where they are installed. Nothing here uses them in that way, bitsandbytes costs each
# start a second, and one that was built for another CUDA or torch raises there and would end a training without it.
PACKAGES = ("bitsandbytes", "xformers")


_withheld: set[str] = set()


def withhold_packages() -> None:
    """Have the `PACKAGES` look as if they were not installed, from now on and to everybody in this process.

    To be called before diffusers and peft are imported, and only in a process that is SameFace's own: a webui may need
    these packages. One that is imported already stays.
    """
    for name in PACKAGES:
        if name not in sys.modules:
            _withheld.add(name)
            sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to say that there is none


def import_withheld(name: str) -> ModuleType:
    """Import a package for whoever does need it, whether or not it is withheld.

    Raises:
        ImportError: it is not installed. Any other error is the package's own.
    """
    if name not in _withheld or sys.modules.get(name) is not None:
        return importlib.import_module(name)
    _withheld.remove(name)
    sys.modules.pop(name, None)
    try:
        return importlib.import_module(name)
    except BaseException:
        sys.modules[name] = None  # type: ignore[assignment]  # diffusers and peft must not find a broken one either
        _withheld.add(name)
        raise
