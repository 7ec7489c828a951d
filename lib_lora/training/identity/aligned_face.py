"""Aligns a face on a picture in torch, as `faces.align.crop` does, so that gradients go through it."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from lib_lora.faces.align import SIZE
from lib_lora.faces.array_types import Numbers


def aligned(pixels: torch.Tensor, matrix: Numbers) -> torch.Tensor:
    """The aligned face, [1, 3, 112, 112], black where the picture ends.

    As in `faces.align.crop`, a face much larger than the crop is shrunk by averages first.

    Args:
        pixels: [1, 3, H, W] float32, 0..255.
        matrix: 2 x 3, from pixels of the picture to the crop (rotation, one scale, shift).
    """
    height, width = pixels.shape[2:]
    shrink = 1 / math.hypot(matrix[0, 0], matrix[1, 0])
    linear, shift = torch.from_numpy(matrix[:, :2].copy()), torch.from_numpy(matrix[:, 2].copy())
    if shrink >= 2:
        small = (max(1, round(height * 2 / shrink)), max(1, round(width * 2 / shrink)))
        pixels = functional.interpolate(pixels, size=small, mode="area")
        factor = torch.tensor([small[1] / width, small[0] / height], dtype=torch.float64)
        # pixel centres: x = (x_small + 0.5) / factor - 0.5
        shift = linear @ (0.5 / factor - 0.5) + shift
        linear = linear / factor
        height, width = small
    grid = _grid(linear, shift, width, height).to(pixels)
    return functional.grid_sample(pixels, grid, align_corners=True)


def _grid(linear: torch.Tensor, shift: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """For each pixel of the crop its place in the picture as `grid_sample` counts: -1 and 1 are the outermost pixels'
    centres. [1, 112, 112, 2]."""
    steps = torch.arange(SIZE, dtype=torch.float64)
    across = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)
    places = (across - shift) @ torch.linalg.inv(linear).T
    size = torch.tensor([width, height], dtype=torch.float64)
    grid: torch.Tensor = (2 * places / (size - 1).clamp(min=1) - 1)[None]
    return grid
