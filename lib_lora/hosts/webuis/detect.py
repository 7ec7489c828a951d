"""Detects which webui, if any, this process belongs to."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import Any

from lib_lora.hosts.webui_attributes import ask_or
from lib_lora.hosts.webuis.a1111 import A1111
from lib_lora.hosts.webuis.forge import Forge, Neo, ReForge
from lib_lora.hosts.webuis.webui import Webui

_known: dict[str, Any] = {}


def host() -> Webui | None:
    """The webui that this process is, or None; always the same object, also after "Reload UI".

    A webui is never loaded by this: what runs alone may have a package ``modules`` in its path too.
    """
    shared = sys.modules.get("modules.shared")
    if shared is None or "modules.sd_models" not in sys.modules:
        return None
    if _known.get("shared") is not shared:
        _known.update(shared=shared, host=_made())
    found: Webui = _known["host"]
    return found


def _made() -> Webui:
    if ask_or("sd_models:forge_model_reload") or (_there("modules_forge") and _there("backend")):
        neo = ask_or("modules_forge.forge_version:version") == "neo" or ask_or("shared:cmd_opts.ckpt_dirs") is not None
        return Neo() if neo else Forge()
    if _there("modules_forge") and _there("ldm_patched"):
        return ReForge()
    return A1111("ux" if _has_extension("sd-webui-ux") else "a1111")


def _there(package: str) -> bool:
    return package in sys.modules or importlib.util.find_spec(package) is not None


def _has_extension(name: str) -> bool:
    folders = (ask_or(f"paths_internal:{one}") for one in ("extensions_dir", "extensions_builtin_dir"))
    return any(
        os.path.isdir(os.path.join(folder, name))  # noqa: PTH112, PTH118 - the webui keeps paths as text
        for folder in folders
        if folder
    )
