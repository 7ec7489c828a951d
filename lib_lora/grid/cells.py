"""One picture to paint, and the test grid of a character: the same cells with and without the LoRA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from PIL import Image

from lib_lora.character.captions import without_character
from lib_lora.character.store import Character


@dataclass(frozen=True)
class Cell:
    """One picture to paint.

    Attributes:
        prompt, negative: texts, without ``<lora:...>``.
        seed: of the initial noise, 0..2^32-1.
        lora: the LoRA file, or None for the base model alone.
        weight: of the LoRA; 1 = as trained.
        width, height: pixels, multiples of 8.
        steps: sampling steps.
        cfg: guidance scale; 1 = none.
        sampler: a name that A1111 uses too.
    """

    prompt: str
    negative: str
    seed: int
    lora: Path | None = None
    weight: float = 1.0
    width: int = 512
    height: int = 512
    steps: int = 20
    cfg: float = 7.0
    sampler: str = "Euler"


class Painter(Protocol):
    """Anything that paints cells: diffusers here, a webui, another machine."""

    def paint(self, cells: Sequence[Cell], progress: Callable[[int], None] | None = None) -> list[Image.Image]:
        """The pictures of `cells`, in their order; `progress` gets the number of cells done."""
        ...


NEGATIVE = "blurry, deformed, extra limbs, lowres"

# Eight that ask for different framing, light, clothes and mood: a face that only holds in one is not learned.
PROMPTS = (
    "close-up portrait photo of {who}, looking at the camera, soft daylight",
    "photo of {who}, smiling, city street in the background",
    "upper body photo of {who} in a black coat, autumn park",
    "studio portrait of {who}, grey background, serious expression",
    "photo of {who}, three-quarter view, indoors, warm light",
    "photo of {who} wearing a white shirt, beach, bright sun",
    "portrait photo of {who}, evening, neon lights",
    "upper body photo of {who} in a red sweater, sitting in a cafe",
)


def test_cells(
    character: Character,
    side: int,
    steps: int = 20,
    first_seed: int = 1000,
    sampler: str = "Euler",
    count: int = len(PROMPTS),
) -> list[Cell]:
    """The cells of the small test grid, without a LoRA yet: `count` prompts, each with its own seed."""
    who = ", ".join([f"{character.trigger} {character.class_word}", *character.traits])
    return [
        Cell(
            prompt=PROMPTS[n % len(PROMPTS)].format(who=who),
            negative=NEGATIVE,
            seed=first_seed + n,
            width=side,
            height=side,
            steps=steps,
            sampler=sampler,
        )
        for n in range(count)
    ]


def with_lora(cells: Sequence[Cell], lora: Path, weight: float = 1.0) -> list[Cell]:
    """The same cells painted with a LoRA."""
    return [replace(cell, lora=lora, weight=weight) for cell in cells]


def base_cells(cells: Sequence[Cell], character: Character) -> list[Cell]:
    """The same cells for the base model alone: it knows no trigger, so it is asked for the class word."""
    return [replace(cell, prompt=without_character(cell.prompt, character), lora=None) for cell in cells]
