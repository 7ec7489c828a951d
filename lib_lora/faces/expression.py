"""Classifies the mouth in an aligned crop: an open smile, a slight one with closed lips, or none.

A linear model on the shapes (histograms of oriented gradients; Dalal and Triggs 2005) and colours around the mouth.
``tools/expression.py`` makes its weights, and docs/references.md has how often it is right. Knows no identity.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from lib_lora.errors import UserError
from lib_lora.faces.array_types import Array, Pixels
from lib_lora.files import explained

Expression = Literal["", "smiling", "slight smile", "serious"]

FILE = Path(__file__).parent / "models" / "expression.npz"
KINDS: tuple[Expression, ...] = ("smiling", "slight smile", "serious")  # in the order of the model's outputs
SURE = {"smiling": 0.5, "slight smile": 0.6, "serious": 0.7}  # probability from which each is said
LEAST_PX = 64  # of a face's longer side
MOST_YAW = 0.5  # of `faces.face.yaw_proxy`; beyond it a corner of the mouth is hidden
LEAST_SHOWN = 0.85  # of the crop; less may have lost the mouth
_ROWS, _COLUMNS = slice(64, 112), slice(24, 88)  # of the crop: from beneath the nose to the chin
_CELL, _BINS = 8, 9  # pixels; directions of an edge
_STRONGEST = 0.2  # share of a block's edges that one direction may have
_COARSE = (16, 12)  # width and height at which brightness and redness are seen


def expression(crop: Pixels, px: float, yaw: float, shown: float) -> Expression:
    """The word that clearly holds; empty where none does, and where the face is small, turned or cut off.

    Args:
        crop: the aligned face, 112 x 112 x 3 RGB.
        px, yaw, shown: of the face (`faces.face.Face`).
    """
    if px < LEAST_PX or abs(yaw) >= MOST_YAW or shown < LEAST_SHOWN:
        return ""
    shares = probabilities(crop)
    kind = KINDS[int(shares.argmax())]
    return kind if shares.max() >= SURE[kind] else ""


def probabilities(crop: Pixels) -> Array:
    """How likely each of `KINDS` is for an aligned RGB crop, 112 x 112 x 3; three shares that add up to 1."""
    weights, offsets = _load(FILE)
    scores = features(crop) @ weights + offsets
    shares = np.exp(scores - scores.max())
    return np.asarray(shares / shares.sum(), np.float32)


def features(crop: Pixels) -> Array:
    """What the model sees of a crop: 1,260 numbers of edges, 192 of brightness and 192 of redness."""
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB)[_ROWS, _COLUMNS].astype(np.float32)
    light, red = lab[..., 0], lab[..., 1]
    light = (light - light.mean()) / (light.std() + 8) * 40
    red = red - np.median(red)
    coarse = [
        cv2.resize(channel, _COARSE, interpolation=cv2.INTER_AREA).ravel() / scale
        for channel, scale in ((light, 20), (red, 6))
    ]
    return np.concatenate([oriented_edges(light), *coarse], dtype=np.float32)


def oriented_edges(light: Array) -> Array:
    """Histograms of the edges' directions in cells of 8 x 8, normalised over blocks of 2 x 2 cells (Dalal and Triggs).

    Args:
        light: brightness, rows x columns, both multiples of 8.
    """
    across, down = np.zeros_like(light), np.zeros_like(light)
    across[:, 1:-1] = light[:, 2:] - light[:, :-2]
    down[1:-1] = light[2:] - light[:-2]
    strength = np.hypot(across, down).ravel()
    turn = np.mod(np.arctan2(down, across), np.pi).ravel() / np.pi * _BINS
    lower = np.floor(turn).astype(np.int64)
    rows, columns = light.shape[0] // _CELL, light.shape[1] // _CELL
    y, x = np.indices(light.shape)
    cell = ((y // _CELL) * columns + x // _CELL).ravel() * _BINS
    many = rows * columns * _BINS
    near = np.bincount(cell + lower % _BINS, strength * (1 - (turn - lower)), many)
    far = np.bincount(cell + (lower + 1) % _BINS, strength * (turn - lower), many)
    cells = (near + far).reshape(rows, columns, _BINS)
    blocks = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=-1)
    length = np.sqrt((blocks**2).sum(-1, keepdims=True) + 0.01 * blocks.shape[-1])
    return np.asarray(np.minimum(blocks / length, _STRONGEST).ravel() * 4, np.float32)


@cache
def _load(path: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weights (features x kinds) and offsets (kinds), once a process."""
    with explained(path, "read"), open(path, "rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as archive:
                return archive["weights"].astype(np.float32), archive["offsets"].astype(np.float32)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"{path.name} is damaged; install SameFace again ({path}).", code="face-model-damaged", file=path
            ) from error
