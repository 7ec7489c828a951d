"""Tells whether a LoRA file holds vectors of words of its own, and refuses painters that would leave them out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lib_lora.errors import UserError
from lib_lora.lora.bundled import is_bundled
from lib_lora.models.reading.header import read_header
from lib_lora.pictures import Cell


def has_vectors(lora: Path) -> bool:
    """Whether vectors of a word are in a LoRA file; false where it cannot be read, which others say better."""
    try:
        return any(map(is_bundled, read_header(lora)[0]))
    except UserError:
        return False


def refuse_vectors(cells: Iterable[Cell], painter: str) -> None:
    """For a painter that applies the layers of a LoRA alone: its pictures would pass for the LoRA's.

    Args:
        cells: what it is to paint.
        painter: its name, for the sentence.

    Raises:
        UserError: a LoRA of a cell has vectors.
    """
    loras = {path: None for one in cells for path in (one.lora, *(more for more, _ in one.more)) if path}
    for lora in filter(has_vectors, loras):
        raise UserError(
            f"{lora.name} has vectors of the trigger's own, which {painter} does not read from a LoRA; choose A1111 or "
            "SameFace's own painter (this computer) to paint with it.",
            code="painter-without-vectors",
            lora=lora.name,
        )
