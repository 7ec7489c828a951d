"""Finds the base model and the LoRA among ComfyUI's files; a LoRA is put there where its folder is known.

Imports nothing heavy.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from lib_lora.comfyui.comfy_api import ComfyApi
from lib_lora.comfyui.workflow import LOADER, LORA
from lib_lora.errors import UserError, typed
from lib_lora.files import atomic_file, explained
from lib_lora.models.reading.header import read_header

# The folder of a LoRA that is there while it is painted with. No name comes twice, since ComfyUI keeps a LoRA by its
# name; and whoever has copied one takes it away, so no other process uses it.
_OURS = re.compile(r"sameface-[0-9a-f]{16}")
_COPY = re.compile(rf"(^|[\\/]){_OURS.pattern}[\\/]")  # in ComfyUI's list
_DAY = 86_400.0  # seconds; a copy that nobody has used for so long was left behind
_SEPARATOR = re.compile(r"[\\/]")  # between folders, by the system of the ComfyUI
_HASH = "sshs_model_hash"  # of the tensors alone, so that a delivered file has it as well
_MOST_OTHERS = 40  # files of other names that may be this one


class ComfyFiles:
    """Finds files in ComfyUI's lists.

    Args:
        api: of the ComfyUI.
        loras: its folder for LoRAs, where that is known and on this machine; None = it is not.
        name: of the character, as delivered LoRAs are called.
    """

    def __init__(self, api: ComfyApi, loras: Path | None = None, name: str = "") -> None:
        self._api, self._loras, self._name = api, loras, name
        self._known: dict[Path, str] = {}
        self._copies: dict[Path, Path] = {}

    def checkpoint(self, base: Path) -> str:
        """A base model's name in ComfyUI's list.

        Raises:
            UserError: it is not there.
        """
        there = self._api.choices(LOADER, "ckpt_name")
        if named := _called(there, base.name):
            return min(named, key=len)
        folders = self._api.folders("checkpoints")
        raise UserError(
            f"ComfyUI at {self._api.address} has no checkpoint {base.name}; copy {base} into its folder "
            f"{folders[0] if folders else 'models/checkpoints'}, or name {base.parent} in its extra_model_paths.yaml "
            "and start it again.",
            code="comfyui-checkpoint-missing",
            checkpoint=base.name,
        )

    def lora(self, path: Path) -> str:
        """A LoRA's name in ComfyUI's list: a file of the same tensors, under whichever name, else of the same name. One
        that is not there is copied into its folder where that is known.

        Raises:
            UserError: it is not there.
        """
        if path not in self._known:
            self._known[path] = self._found(path) or self._copied(path)
        if copy := self._copies.get(path):
            with suppress(OSError):
                os.utime(copy)  # it is in use, see `sweep_copies`
        return self._known[path]

    def close(self) -> None:
        """Delete what was copied."""
        for copy in self._copies.values():
            _remove(copy)
        self._copies, self._known = {}, {}

    def _found(self, path: Path) -> str:
        there = [one for one in self._api.choices(LORA, "lora_name") if not _COPY.search(one)]
        wanted = read_header(path)[1].get(_HASH, "") if path.suffix.lower() == ".safetensors" else ""
        same = _called(there, path.name)
        delivered = re.compile(rf"{re.escape(self._name)}(-\d+)?\.safetensors", re.IGNORECASE)
        others = [one for one in there if one not in same and self._name and delivered.fullmatch(_file(one))]
        for name in [*same, *others[:_MOST_OTHERS]]:
            known = (self._api.metadata("loras", name) or {}).get(_HASH, "")
            if (known and known == wanted) or (name in same and not (known and wanted)):
                return name
        return ""

    def _copied(self, path: Path) -> str:
        if self._loras is None or not self._loras.is_dir():
            folders = self._api.folders("loras")
            put = typed("use", self._name or "NAME", "--comfyui", "DIR")
            raise UserError(
                f"ComfyUI at {self._api.address} has no LoRA {path.name}; copy {path} into its folder "
                f"{folders[0] if folders else 'models/loras'}, or have it copied, where DIR is ComfyUI's folder: {put}",
                code="comfyui-lora-missing",
                lora=path.name,
            )
        target = _new_folder(self._loras) / path.name
        self._copies[path] = target
        with explained(path, "read"), open(path, "rb") as stream, explained(target), atomic_file(target) as copy:
            shutil.copyfileobj(stream, copy)
        parts = [target.parent.name, target.name]
        for name in self._api.choices(LORA, "lora_name"):
            if _SEPARATOR.split(name)[-2:] == parts:
                return name
        raise UserError(
            f"ComfyUI at {self._api.address} does not see {target}; it looks for LoRAs elsewhere: set the folder of "
            "this ComfyUI, or copy the LoRA there.",
            code="comfyui-folder-of-another",
            lora=path.name,
        )


def sweep_copies(loras: Path, now: float | None = None) -> None:
    """Delete copies that were left behind: after a kill, or where Windows kept a file that ComfyUI had open.

    Args:
        loras: ComfyUI's folder for LoRAs.
        now: unix seconds; None = the present.
    """
    oldest = (time.time() if now is None else now) - _DAY
    with suppress(OSError):
        for folder in [one for one in loras.iterdir() if _OURS.fullmatch(one.name) and not one.is_symlink()]:
            with suppress(OSError):
                if max(one.stat().st_mtime for one in [folder, *folder.iterdir()]) < oldest:
                    for file in list(folder.iterdir()):
                        _remove(file)
                    folder.rmdir()


def _remove(copy: Path) -> None:
    """Delete a copy and its folder; what cannot be deleted stays for `sweep_copies`."""
    with suppress(OSError):  # Windows keeps a file that ComfyUI has open
        copy.unlink()
    with suppress(OSError):
        copy.parent.rmdir()


def _new_folder(parent: Path) -> Path:
    """A folder of this process alone."""
    folder = parent / f"sameface-{secrets.token_hex(8)}"
    with explained(folder):
        folder.mkdir()
    return folder


def _file(name: str) -> str:
    """A file's name without ComfyUI's folders."""
    return _SEPARATOR.split(name)[-1]


def _called(names: list[str], wanted: str) -> list[str]:
    """The files of a name, the exact one first, else those in other capitals."""
    exact = [one for one in names if _file(one) == wanted]
    return exact or [one for one in names if _file(one).casefold() == wanted.casefold()]
