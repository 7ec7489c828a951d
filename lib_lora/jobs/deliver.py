"""The finished LoRA into a folder of the user's, with the files that a webui shows beside it."""

from __future__ import annotations

from pathlib import Path

import torch

from lib_lora.character.store import consent_of
from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.lora import sidecars
from lib_lora.lora.file import read, write
from lib_lora.training.run import Run


def deliver(run: Run, lora: Path, out: Path) -> Path:
    """Copy a checkpoint into `out`, and write its ``.json``.

    A file of that name with other tensors is never replaced: the copy gets a number, and says so of itself
    (webui caches go by the name). Delivered twice, it is there once.

    Raises:
        UserError: the checkpoint cannot be read, or the folder cannot be written.
    """
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    content = read(lora)
    target, number = out / lora.name, 1
    while target.exists() and not _same(target, content.tensors):
        number += 1
        target = out / f"{lora.stem}-{number}.safetensors"
    if not target.exists():
        dtypes = {tensor.dtype for key, tensor in content.tensors.items() if key.endswith("lora_up.weight")}
        write(target, content.tensors, content.metadata, dtype=dtypes.pop())
    _beside(run, target)
    return target


def add_preview(run: Run, lora: Path, picture: Path) -> None:
    """Put a painted picture beside a delivered LoRA, for the webui's card.

    Raises:
        UserError: the picture cannot be read, or the folder cannot be written.
    """
    _beside(run, lora, picture)


def _beside(run: Run, lora: Path, preview: Path | None = None) -> None:
    """The ``.json`` (and the picture). Every text is given each time: one that is left out would be emptied."""
    character, base = run.file.character, run.file.base
    consent = consent_of(character)
    own = sum(not photo.prior for photo in run.file.photos)
    sidecars.write(
        lora,
        trigger=f"{character.trigger} {character.class_word}",
        weight=0,
        family=base.family,
        notes=f"SameFace run {run.file.id}, {own} photos, base {Path(base.path).name}; "
        f"consent: {consent.kind} ({consent.date})",
        preview=preview,
    )


def _same(path: Path, tensors: dict[str, torch.Tensor]) -> bool:
    """Whether the file holds exactly these tensors; what it says of itself is not asked."""
    try:
        there = read(path).tensors
    except UserError:
        return False
    return there.keys() == tensors.keys() and all(_equal(there[key], tensors[key]) for key in tensors)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)
