"""Paints in the stand-in webui what a webui would paint: the small base model with the LoRAs of the prompt."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from lib_lora.grid.diffusers_painter import DiffusersPainter

ROOT = Path(__file__).resolve().parents[3]


@lru_cache(maxsize=1)
def _painter() -> DiffusersPainter:
    sys.path.append(str(ROOT))
    import torch

    from lib_lora.grid.diffusers_painter import DiffusersPainter
    from lib_lora.models.families.identify import identify

    base = Path(os.environ["SAMEFACE_TEST_BASE"])
    return DiffusersPainter(identify(base), torch.device("cpu"), torch.float32, 1)


def mini_face(
    prompt: str,
    negative: str,
    seed: int,
    loras: list[tuple[str, float]],
    size: tuple[int, int],
    steps: int,
    cfg: float,
) -> Image.Image:
    """One picture; `loras` as the stand-in has them, of which the newest loaded file is merged in."""
    painter = _painter()
    import networks  # the stand-in's

    from lib_lora.pictures import Cell

    file = Path(networks.loaded_networks[-1].filename) if loras else None
    weight = loras[-1][1] if loras else 1.0
    cell = Cell(prompt, negative, seed, file if weight else None, weight, *size, steps, cfg)
    [picture] = painter.paint([cell])
    return picture
