"""Says whether a LoRA file from anywhere can be painted with beside a character's. Loads no torch."""

from __future__ import annotations

from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.lora import key_names
from lib_lora.lora.file import describe
from lib_lora.models.families.registry import family_named


def check_fits(path: Path, family: str) -> None:
    """See that a LoRA can be painted with on models of a family: its header, its keys and its numbers.

    Args:
        path: of the file, which is not trusted.
        family: name of the model family.

    Raises:
        UserError: one sentence that says what the file is instead, or what is wrong with it.
    """
    layers, metadata = describe.looked_at(path)
    found = describe.family(layers, metadata)
    if found == family or (found is None and any(key_names.locate(family, name) for name in layers)):
        return
    kind = f"for {family_named(found).label}" if found else "for another kind of model"
    raise UserError(
        f"{path.name} is a LoRA {kind}, and this character's is for {family_named(family).label} (its first layer is "
        f"{next(iter(layers))!r}); take one for {family_named(family).label}.",
        code="further-lora-of-other-family",
        file=path.name,
        family=found or "",
    )
