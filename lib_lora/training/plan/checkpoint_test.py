"""Says at which checkpoints of a training a few pictures are painted to be measured, and who measures them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lib_lora.pictures import Cell

MOST = 5  # checkpoints of a run that are measured: enough to see where a curve flattens
LORA_PICTURES = 6  # of each measured checkpoint, and as many of the base model once
LEAK_PICTURES = 3  # the least that the share of the leak is measured from

Reconstruct = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class EarlyStop:
    """More training is of no use.

    Attributes:
        why: in one sentence.
        best_step: of the measured checkpoints, the one to use.
    """

    why: str
    best_step: int


@dataclass(frozen=True)
class CheckpointTest:
    """Pictures that a training paints to be measured while it goes on.

    Attributes:
        cells: "base" are painted without the adapters, once; "lora" and "leak" at each of `measured_steps`. Of a cell
            only prompt, negative prompt and seed count; the rest is as with sample pictures.
        judge: gets the step, the files by role, and the base model's VAE (an RGB picture, there and back); says where
            more training is of no use. What it raises ends the measuring, not the training.
        check: raises where nothing can be measured, so that nothing is painted.
        known: steps that were measured before.
    """

    cells: Mapping[str, Sequence[Cell]]
    judge: Callable[[int, Mapping[str, Sequence[Path]], Reconstruct], EarlyStop | None]
    check: Callable[[], object]
    known: Collection[int] = ()

    def words(self) -> list[str]:
        """All texts that painting will ask the text encoders for."""
        return [text for cells in self.cells.values() for cell in cells for text in (cell.prompt, cell.negative)]


def measured_steps(total: int, interval: int) -> frozenset[int]:
    """The checkpoints of a run that are measured: the last one, and of the others so many that there are `MOST`, at
    equal distances.

    Args:
        total: optimizer steps of the run.
        interval: steps between two checkpoints.
    """
    count = (total - 1) // interval + 1
    if count <= MOST:
        return frozenset((*range(interval, total, interval), total))
    places = (round((number + 1) * count / MOST) for number in range(MOST))
    return frozenset(min(place * interval, total) for place in places)
