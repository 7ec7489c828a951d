"""Reads which further LoRAs are painted with beside a character's, as ``FILE[:WEIGHT]``.

Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.lora.file.named_loras import SUFFIX, NamedLoras, is_weight
from lib_lora.pictures import HEAVIEST, LIGHTEST
from lib_lora.workflows.library.usable_models import see_that_it_may_be_used

FurtherLoras = tuple[tuple[Path, float], ...]  # files with their weights


def further_loras(texts: Iterable[str], folders: Sequence[Path] = (), root: Path | None = None) -> FurtherLoras:
    """The LoRAs that texts name, each ``FILE``, ``FILE:WEIGHT``, ``NAME`` or ``NAME:WEIGHT``; without a weight it is 1.

    Args:
        texts: as they were given.
        folders: in which a name is looked for (`NamedLoras`).
        root: the data folder, which may know what must not be used (`see_that_it_may_be_used`); None = that is seen to
            elsewhere.

    Raises:
        UserError: there is no such file, a weight is out of range, a LoRA is named twice, or must not be used.
    """
    loras = NamedLoras(folders)
    found = tuple(_one(text, loras) for text in texts)
    paths = [path for path, _ in found]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise UserError(f"{twice.name} is named twice; name it once, with one weight.", "lora", code="lora-twice")
    if root:
        for path in paths:
            see_that_it_may_be_used(root, path)
    return found


def _one(text: str, loras: NamedLoras) -> tuple[Path, float]:
    named, weight = _parted(text.strip())
    if not named:
        raise UserError("Name the LoRA as FILE, or as FILE:0.6.", "lora", code="lora-without-name")
    if not is_weight(weight):
        raise UserError(
            f"The weight of {named} is {weight:g}; give {LIGHTEST} to {HEAVIEST}, such as {named}:0.6.",
            "lora",
            code="lora-weight-wrong",
            lora=named,
        )
    path = Path(named).expanduser()
    if path.is_file():
        return path, weight
    if len(path.parts) > 1:
        raise UserError(
            f"There is no file {path}; name a LoRA that exists.", "lora", code="lora-file-missing", file=path
        )
    return loras.file(path.stem if path.suffix.lower() == SUFFIX else named), weight


def _parted(text: str) -> tuple[str, float]:
    """Name and weight; the colon of a Windows drive does not begin a weight."""
    named, colon, last = text.rpartition(":")
    if not colon:
        return text, 1.0
    try:
        return named, float(last)
    except ValueError:
        return text, 1.0
