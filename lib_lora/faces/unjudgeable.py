"""Detects what hides a face's identity: covered eyes, a covered lower half, a style that is not a photo's.

Linear models on plain features: of the aligned crop for what covers (shapes, brightness and colour round the eyes and
below the nose), of the picture's own pixels for the style (how neighbouring pixels differ, and whether the edges of
8 x 8 blocks show). ``tools/unjudgeable.py`` makes their weights, docs/likeness.md has how often they are right. Knows
no identity.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from lib_lora.errors import UserError
from lib_lora.faces.array_types import Array, Box, Numbers, Pixels
from lib_lora.faces.expression import oriented_edges
from lib_lora.files import explained

Hidden = Literal["", "eyes covered", "lower half covered", "heavily compressed", "posterised", "painted"]

FILE = Path(__file__).parent / "models" / "unjudgeable.npz"
COVERS: tuple[Hidden, ...] = ("eyes covered", "lower half covered")  # in the order of the models' outputs
STYLES: tuple[Hidden, ...] = ("heavily compressed", "posterised", "painted")
SURE = {
    "eyes covered": 0.8,
    "lower half covered": 0.6,
    "heavily compressed": 0.7,
    "posterised": 0.7,
    "painted": 0.985,  # skin like plastic reaches 0.98
}  # probability from which each is said
LEAST_PX = 40  # of a face's longer side; a smaller one says too little about who it is, or what hides it
_REGIONS = ((slice(32, 72), slice(16, 96)), (slice(64, 112), slice(24, 88)))  # of the crop: eyes, and nose tip to chin
_COARSE = (16, 8)  # width and height at which brightness and colour are seen
_LARGEST = 400  # pixels of a face whose pixels are compared; larger ones are reduced by whole steps
_WASHED_PX = 200  # to which a larger face is reduced before brush strokes and washes are looked for
_WASHED_LEAST = 100  # the smallest in that model's training data; smaller faces in photos are as smooth as washes
_STEPS = (0.5, 1.5, 2.5, 4.5, 8.5, 16.5, 32.5)  # grey levels that divide the differences of neighbours
_BLOCK = 8  # pixels of a JPEG's block


def hidden(crop: Pixels, pixels: Pixels, box: Box) -> Hidden:
    """The one thing that most surely hides the face; empty where nothing does.

    Args:
        crop: the aligned face, 112 x 112 x 3 RGB.
        pixels: the whole RGB picture.
        box: of the face in it: left, top, width, height.
    """
    if max(box[2:]) < LEAST_PX:
        return ""
    found = {**dict(zip(COVERS, covered(crop), strict=True)), **dict(zip(STYLES, styled(pixels, box), strict=True))}
    most = max(found, key=lambda kind: found[kind] - SURE[kind])
    return most if found[most] >= SURE[most] else ""


def covered(crop: Pixels) -> Numbers:
    """How likely each of `COVERS` is for an aligned RGB crop, 0..1."""
    model = _load(FILE)
    scores = [float(cover_features(crop, place) @ model[f"cover_{place}"]) for place in range(len(COVERS))]
    return _logistic(np.array(scores) + model["cover_offsets"])


def styled(pixels: Pixels, box: Box) -> Numbers:
    """How likely each of `STYLES` is for the face in `box` of an RGB picture, 0..1.

    Painted is what either of two models says: one knows daubs and pencils, the other brush strokes and washes, which
    look more like smooth skin than like those. The second is used only for faces of at least 100 pixels.
    """
    model, seen = _load(FILE), style_features(pixels, box)
    known = (seen - model["style_mean"]) / model["style_deviation"] @ model["styles"] + model["style_offsets"]
    if max(box[2:]) >= _WASHED_LEAST:
        small = (wash_features(pixels, box) - model["washed_mean"]) / model["washed_deviation"]
        washed = small @ model["washed"] + model["washed_offset"][0]
        place = STYLES.index("painted")
        known[place] = max(known[place], washed)
    return _logistic(known)


def cover_features(crop: Pixels, place: int) -> Array:
    """What the model of `COVERS[place]` sees of a crop: edges, and brightness and colour beside those of the face."""
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(np.float32)
    usual = np.median(lab[24:104, 20:92].reshape(-1, 3), axis=0)
    part = lab[_REGIONS[place]]
    light = part[..., 0]
    edges = oriented_edges((light - light.mean()) / (light.std() + 8) * 40)
    coarse = [
        cv2.resize(part[..., channel] - usual[channel], _COARSE, interpolation=cv2.INTER_AREA).ravel() / scale
        for channel, scale in enumerate((40, 12, 12))
    ]
    return np.concatenate([edges, *coarse], dtype=np.float32)


def style_features(pixels: Pixels, box: Box) -> Array:
    """What the model of `STYLES` sees of a face: at three sizes the shares of neighbours that differ by so much in
    brightness and in colour, how much more they differ at the edges of 8 x 8 blocks, and how many levels there are."""
    face = _face(pixels, box)
    lab = cv2.cvtColor(face, cv2.COLOR_RGB2LAB)
    found: list[float] = []
    for size in (1, 2, 4):
        across, down = (max(4, length // size) for length in (lab.shape[1], lab.shape[0]))
        small = np.asarray(cv2.resize(lab, (across, down), interpolation=cv2.INTER_AREA), np.uint8)
        found += [float(value) for channel in (0, 1) for value in np.sqrt(_shares_of_steps(small[..., channel]))]
    grey = lab[..., 0].astype(np.float32)
    found += [_blocks(grey, axis) for axis in (0, 1)]
    levels = [np.count_nonzero(_counted(face[..., channel])) for channel in range(3)]
    found += [float(np.log(np.mean(levels)))]
    return np.array(found, np.float32)


def wash_features(pixels: Pixels, box: Box) -> Array:
    """What the model of brush strokes and washes sees: the same of the face at one size, since smooth skin in a large
    picture would look like a wash in a small one."""
    face = _face(pixels, box)
    across = _WASHED_PX / max(face.shape[:2])
    if across < 1:
        size = (max(_BLOCK, round(face.shape[1] * across)), max(_BLOCK, round(face.shape[0] * across)))
        face = np.asarray(cv2.resize(face, size, interpolation=cv2.INTER_AREA), np.uint8)
    return style_features(face, (0.0, 0.0, float(face.shape[1]), float(face.shape[0])))


def _shares_of_steps(levels: Pixels) -> Numbers:
    """Shares of the neighbours, side by side or one below the other, that differ by less than each of `_STEPS`, and by
    more; each without those before it."""
    above, beside = cv2.absdiff(levels[1:], levels[:-1]), cv2.absdiff(levels[:, 1:], levels[:, :-1])
    counts = _counted(np.asarray(above, np.uint8)) + _counted(np.asarray(beside, np.uint8))
    below = np.cumsum(counts)[[math.floor(limit) for limit in (*_STEPS, 255.0)]]
    return np.asarray(np.diff(below, prepend=0) / below[-1], np.float64)


def _counted(levels: Pixels) -> npt.NDArray[np.int64]:
    """How many times each of the 256 levels is there. numpy's histogram and its unique take several times as long."""
    counts = cv2.calcHist([np.ascontiguousarray(levels)], [0], None, [256], [0, 256])
    return np.asarray(counts, np.int64).ravel()


def _face(pixels: Pixels, box: Box) -> Pixels:
    """The part of the picture in the box, reduced by whole steps where it is large; at least 8 x 8."""
    left, top, width, height = box
    rows = slice(max(0, round(top)), max(0, round(top)) + max(8, round(height)))
    columns = slice(max(0, round(left)), max(0, round(left)) + max(8, round(width)))
    part = pixels[rows, columns]
    if min(part.shape[:2]) < _BLOCK:
        part = np.asarray(cv2.resize(pixels, (_BLOCK, _BLOCK)), np.uint8)
    step = max(part.shape[:2]) // _LARGEST
    if step > 1:
        size = (part.shape[1] // step, part.shape[0] // step)
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    return part


def _blocks(grey: Array, axis: int) -> float:
    """Logarithm of how much more neighbours differ at every eighth edge than at the others, for the eighth where they
    differ most; the part of a picture may begin anywhere in a block."""
    steps = np.abs(np.diff(grey, axis=axis)).mean(1 - axis)
    if len(steps) < 2 * _BLOCK:
        return 0.0
    means = np.array([steps[start::_BLOCK].mean() for start in range(_BLOCK)])
    first = int(means.argmax())
    others = np.delete(means, first).mean()
    return float(np.log((means[first] + 0.25) / (others + 0.25)))


def _logistic(scores: npt.NDArray[np.floating]) -> Numbers:
    return np.asarray(1 / (1 + np.exp(-np.clip(scores, -30, 30))), np.float64)


@cache
def _load(path: Path) -> dict[str, Array]:
    """The weights, once a process."""
    names = ("cover_0", "cover_1", "cover_offsets", "styles", "style_offsets", "style_mean", "style_deviation",
             "washed", "washed_offset", "washed_mean", "washed_deviation")  # fmt: skip
    with explained(path, "read"), open(path, "rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as archive:
                return {name: archive[name].astype(np.float32) for name in names}
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(
                f"{path.name} is damaged; install SameFace again ({path}).", code="face-model-damaged", file=path
            ) from error
