"""Finds the folder where ComfyUI looks for LoRAs, and the one for workflows on its page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lib_lora.errors import UserError
from lib_lora.files import content

_BELOW = ("", "ComfyUI")  # the folder itself; the portable download has it inside
_EXTRA = "extra_model_paths.yaml"
_EMBEDDINGS = "embeddings"  # below its own models, where it always looks
_LONGEST = 1 << 20  # bytes of such a file
_MOST = 1000  # folders of LoRAs in one


@dataclass(frozen=True)
class ComfyFolders:
    """Where things go.

    Attributes:
        loras: the folder for LoRAs.
        workflows: what its page lists as the user's workflows, there or not; None = it is not known where.
        embeddings: the folder in which it looks for textual inversions, there or not; None = it is not known.
    """

    loras: Path
    workflows: Path | None = None
    embeddings: Path | None = None


def folder(path: Path) -> Path:
    """The LoRA folder of the ComfyUI in `path`, see `folders`.

    Raises:
        UserError: there is no ComfyUI.
    """
    return folders(path).loras


def folders(path: Path) -> ComfyFolders:
    """Where a ComfyUI's things go. LoRAs go to what its ``extra_model_paths.yaml`` calls the default, else to its own
    folder, else to the first that the file names.

    Args:
        path: ComfyUI's folder, the one that it was unpacked into, the folder ``models/loras`` itself, or the file that
            ComfyUI is given by ``--extra-model-paths-config``.

    Raises:
        UserError: there is no ComfyUI.
    """
    path = path.expanduser()
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        if named := _named(path):
            return ComfyFolders(named[0][0], _workflows(path.parent))
    elif path.name == "loras" and (models := path.parent).name == "models" and path.is_dir():
        return ComfyFolders(path, _workflows(models.parent), models / _EMBEDDINGS)
    homes = [path / below for below in _BELOW]
    named = [one for home in homes for one in _named(home / _EXTRA)]
    own = [(home / "models" / "loras", False) for home in homes if (home / "models" / "loras").is_dir()]
    for loras, _ in [*(one for one in named if one[1]), *own, *named]:
        home = next((one for one in homes if (one / "models").is_dir() or (one / _EXTRA).is_file()), path)
        models = home / "models"
        return ComfyFolders(loras, _workflows(home), models / _EMBEDDINGS if models.is_dir() else None)
    raise UserError(
        f"{path} is not a ComfyUI folder: it has no models/loras; give the folder that ComfyUI's main.py or its "
        "models folder is in.",
        code="comfyui-folder-invalid",
        folder=path,
    )


def _workflows(home: Path) -> Path | None:
    """The workflow folder of a ComfyUI without accounts, which is the usual one."""
    user = home / "user"
    return user / "default" / "workflows" if user.is_dir() or (home / "main.py").is_file() else None


def _named(file: Path) -> list[tuple[Path, bool]]:
    """The folders for LoRAs in ``extra_model_paths.yaml`` that are there, and whether each is a default one.

    As ComfyUI reads it: folders, one per line, from ``base_path`` (in which ``~`` and variables count), or from the
    file's folder; the names of the sections mean nothing. Anybody may have written the file.
    """
    found = []
    for place in _sections(file):
        base = place.get("base_path")
        start = file.parent / _expanded(base) if isinstance(base, str) else file.parent
        for line in str(place["loras"]).splitlines()[:_MOST]:
            if line.strip() and _is_folder(path := Path(os.path.normpath(start / line.strip()))):
                found.append((path, place.get("is_default") is True))
    return sorted(found, key=lambda one: not one[1])


def _sections(file: Path) -> list[dict[Any, Any]]:
    """The sections that name folders for LoRAs."""
    try:
        if file.stat().st_size > _LONGEST:
            return []
        places = yaml.safe_load(content(file).decode("utf-8-sig"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError, TypeError):
        return []  # beside its own errors, PyYAML lets through those of values that only look right
    listed = places.values() if isinstance(places, dict) else ()
    return [one for one in listed if isinstance(one, dict) and isinstance(one.get("loras"), str)]


def _expanded(base: str) -> str:
    return os.path.expandvars(os.path.expanduser(base))  # noqa: PTH111 - Path's own refuses an unknown user


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that no system has
        return False
