"""Finds LoRA files by their names in folders, and knows the weights that they may have.

Imports nothing heavy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.pictures import HEAVIEST, LIGHTEST

SUFFIX = ".safetensors"
MODEL_ENDS = (SUFFIX, ".pt", ".ckpt")


def stems_in(folders: Iterable[Path]) -> set[str]:
    """The names of the models in and below folders, as a webui finds them, without ending and in small letters."""
    found, seen = set(), set()
    for folder in folders:
        for parent, below, files in os.walk(folder, followlinks=True):
            if (real := os.path.realpath(parent)) in seen:  # a link that leads back
                below.clear()
                continue
            seen.add(real)
            found |= {Path(file).stem.casefold() for file in files if Path(file).suffix.lower() in MODEL_ENDS}
    return found


class NamedLoras:
    """LoRA files by their names.

    Args:
        folders: in which they are looked for, with all that is below them; the first that has one counts.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self.folders = list(folders)
        self._known: dict[str, Path] | None = None

    def known(self) -> dict[str, Path]:
        """Every file by its name without the ending."""
        if self._known is None:
            self._known = {}
            for folder in self.folders:
                for parent, _, files in os.walk(folder, followlinks=True):
                    for file in sorted(files):
                        if file.lower().endswith(SUFFIX):
                            self._known.setdefault(file[: -len(SUFFIX)], Path(parent, file))
        return self._known

    def file(self, name: str, option: str = "--loras", tag: str = "") -> Path:
        """The file of a name.

        Args:
            name: without the ending.
            option: with which a folder is named, for the sentence.
            tag: what names it in a prompt; empty = nothing does.

        Raises:
            UserError: there is none.
        """
        if found := self.known().get(name):
            return found
        known = " or ".join(str(folder) for folder in self.folders)
        where = f"put it into {known}" if known else f"name its folder with {option}"
        asked = f" for {tag}" if tag else ""
        raise UserError(f"There is no LoRA {name}{SUFFIX}{asked}; {where}.", code="lora-unknown", lora=name)


def is_weight(value: float) -> bool:
    """Whether a number can be the weight of a further LoRA."""
    return math.isfinite(value) and LIGHTEST <= value <= HEAVIEST
