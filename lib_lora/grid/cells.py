"""Defines painters, and the cells of a character's test grid: the same with and without the LoRA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from PIL import Image

from lib_lora.character.caption_files import without_character
from lib_lora.character.store import Character
from lib_lora.grid.prompts import LEAK, PROMPTS
from lib_lora.pictures import NEGATIVE, Cell


class Painter(Protocol):
    """Anything that paints cells: diffusers here, a webui, another machine."""

    def paint(self, cells: Sequence[Cell], each: Callable[[int, Image.Image], None] | None = None) -> list[Image.Image]:
        """The pictures of `cells`, in their order; `each` gets the number and the picture of a cell once it is done."""
        ...

    def reconstruct(self, image: Image.Image) -> Image.Image | None:
        """An RGB picture (sides multiples of 8) through the base model's VAE and back; None where it is not at hand."""
        ...


_TALL = 1.5  # a whole body needs height, or its face is too small to judge
_TALL_FROM = 512  # pixels; smaller models know only their own size


def test_cells(
    character: Character,
    side: int,
    steps: int = 20,
    first_seed: int = 1000,
    sampler: str = "Euler",
    count: int = len(PROMPTS),
    cfg: float = 7.0,
) -> list[Cell]:
    """The cells of the test grid, without a LoRA yet: `count` prompts, each with its own seed.

    Args:
        character: fills the prompts.
        side: pixels, of a square picture; those of a whole body are higher where the model can paint that.
        steps, sampler: of sampling.
        first_seed: the first cell's; fresh seeds confirm what was chosen on others.
        count: of cells; beyond the prompts they begin again with other seeds.
        cfg: guidance scale.
    """
    who = ", ".join([character.called, *character.traits])
    return [
        Cell(
            prompt=prompt.text.format(who=who),
            negative=NEGATIVE,
            seed=(first_seed + n) % 2**32,
            width=side,
            height=round(side * _TALL / 8) * 8 if prompt.framing == "full" and side >= _TALL_FROM else side,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            name=prompt.name,
            framing=prompt.framing,
            angle=prompt.angle,
            attributes=prompt.attributes,
        )
        for n, prompt in ((n, PROMPTS[n % len(PROMPTS)]) for n in range(count))
    ]


def with_lora(
    cells: Sequence[Cell], lora: Path, weight: float = 1.0, more: Sequence[tuple[Path, float]] = ()
) -> list[Cell]:
    """The same cells painted with a LoRA, and with further ones beside it: files with their weights."""
    return [replace(cell, lora=lora, weight=weight, more=tuple(more)) for cell in cells]


def base_cells(cells: Sequence[Cell], character: Character) -> list[Cell]:
    """The same cells for the base model alone: it knows no trigger, so it is asked for the class word."""
    return [
        replace(cell, prompt=without_character(cell.prompt, character), lora=None, weight=1.0, more=())
        for cell in cells
    ]


def leak_cells(cells: Sequence[Cell], character: Character) -> list[Cell]:
    """The prompts `LEAK`, painted as the first cells are, with the LoRA but without the trigger: who appears there has
    leaked into the class word."""
    return [
        replace(
            cell,
            prompt=asked.text.format(who=character.class_word),
            height=cell.width,
            name=asked.name,
            framing=asked.framing,
            angle=asked.angle,
            attributes=asked.attributes,
        )
        for asked, cell in zip(LEAK, cells, strict=False)
    ]
