"""Finds the folder where ComfyUI looks for LoRAs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from lib_lora.errors import UserError
from lib_lora.files import content

_BELOW = ("", "ComfyUI")  # the folder itself; the portable download has it inside
_EXTRA = "extra_model_paths.yaml"


def folder(path: Path) -> Path:
    """The LoRA folder of the ComfyUI in `path`: its own, else the first that its ``extra_model_paths.yaml`` names.

    Args:
        path: ComfyUI's folder, the one that it was unpacked into, or the folder ``models/loras`` itself.

    Raises:
        UserError: there is no ComfyUI.
    """
    path = path.expanduser()
    if path.name == "loras" and path.parent.name == "models" and path.is_dir():
        return path
    for below in _BELOW:
        own = path / below / "models" / "loras"
        if own.is_dir():
            return own
    for below in _BELOW:
        for found in _named(path / below / _EXTRA):
            if found.is_dir():
                return found
    raise UserError(
        f"{path} is not a ComfyUI folder: it has no models/loras; give the folder that ComfyUI's main.py or its "
        "models folder is in.",
        code="comfyui-folder-invalid",
        folder=path,
    )


def _named(file: Path) -> Iterator[Path]:
    """The folders for LoRAs in ``extra_model_paths.yaml``: one a line, from ``base_path`` or from the file's folder."""
    try:
        places = yaml.safe_load(content(file).decode("utf-8"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return
    for place in places.values() if isinstance(places, dict) else ():
        if not isinstance(place, dict) or not isinstance(place.get("loras"), str):
            continue
        base = os.path.expandvars(str(place.get("base_path") or ""))
        for line in place["loras"].splitlines():
            if line.strip():
                yield file.parent / Path(base).expanduser() / line.strip()
