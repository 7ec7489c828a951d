"""The finished LoRA into a folder of the user's, with the files that a webui shows beside it."""

from __future__ import annotations

from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.files import explained
from lib_lora.lora import sidecars
from lib_lora.lora.reading import read
from lib_lora.lora.writing import write
from lib_lora.training.run import Run


def deliver(run: Run, lora: Path, out: Path) -> Path:
    """Copy a checkpoint into `out`, and write its ``.json``.

    A file of that name with other tensors is never replaced: the copy gets a number, and says so of itself
    (webui caches go by the name).

    Raises:
        UserError: the folder cannot be written.
    """
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    content = read(lora)
    target, number = out / lora.name, 1
    while target.exists() and not _same(target, content.metadata):
        number += 1
        target = out / f"{lora.stem}-{number}.safetensors"
    if not target.exists():
        dtypes = {tensor.dtype for key, tensor in content.tensors.items() if key.endswith("lora_up.weight")}
        write(target, content.tensors, content.metadata, dtype=dtypes.pop())
    character = run.file.character
    sidecars.write(
        target,
        trigger=f"{character.trigger} {character.class_word}",
        weight=0,
        family=run.file.base.family,
        notes=f"SameFace run {run.file.id}, {len(run.file.photos)} photos, base {Path(run.file.base.path).name}; "
        f"consent: {character.consent.kind} ({character.consent.date})",
    )
    return target


def add_preview(run: Run, lora: Path, picture: Path) -> None:
    """Put a painted picture beside a delivered LoRA, for the webui's card."""
    character = run.file.character
    trigger = f"{character.trigger} {character.class_word}"
    sidecars.write(lora, trigger=trigger, weight=0, family=run.file.base.family, preview=picture)


def _same(path: Path, metadata: dict[str, str]) -> bool:
    """Whether the file holds the same tensors, by its hash."""
    try:
        return read(path).metadata.get("sshs_model_hash") == metadata.get("sshs_model_hash")
    except UserError:
        return False
