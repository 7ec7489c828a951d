"""The training pictures as arrays: pixels, five points and the boxes that a detector found.

Knows the layout of the material (a tar of JPEGs and one JSON line a picture) and how a picture is mirrored
or cut. Knows nothing about captions, models or training.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lib_lora.files import atomic_file

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]

SIDE = 128  # pixels; what the model paints
HELD_OUT = 64  # the last pictures of the set; no part of the model sees them in training
_MIRROR = [1, 0, 2, 4, 3]  # right eye <-> left eye, right <-> left corner of the mouth


@dataclass(frozen=True)
class Faces:
    """`pixels` N x S x S x 3 uint8 RGB; `points` N x 5 x 2 (right eye, left eye, nose, right and left mouth
    corner) and `boxes` N x 4 (x, y, width, height) as fractions of the side; `scores` N, 0..1."""

    pixels: Pixels
    points: Points
    boxes: Points
    scores: Points

    def __len__(self) -> int:
        return len(self.pixels)


def load(folder: Path, cache: Path) -> Faces:
    """All pictures of `folder` (``faces.tar``, ``faces.jsonl``), decoded once into `cache` and mapped from there."""
    lines = [json.loads(line) for line in (folder / "faces.jsonl").read_text(encoding="utf-8").splitlines()]
    target = cache / "pixels.npy"
    if not target.exists():
        with atomic_file(target) as stream:
            np.save(stream, _decode(folder / "faces.tar", [int(line["i"]) for line in lines]))
    rows = np.array([line["det"] for line in lines], np.float32)
    return Faces(
        pixels=np.load(target, mmap_mode="r"),
        points=rows[:, 4:14].reshape(-1, 5, 2),
        boxes=rows[:, :4],
        scores=np.array([line["score"] for line in lines], np.float32),
    )


def _decode(path: Path, order: list[int]) -> Pixels:
    found: dict[int, Pixels] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if stream is None or not member.name.endswith(".jpg"):
                continue
            bgr = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)
            if bgr is None:
                raise ValueError(f"{member.name} in {path} is not a picture")
            found[int(Path(member.name).stem)] = np.asarray(bgr[:, :, ::-1], np.uint8)
    return np.stack([found[number] for number in order])


def mirrored_points(points: Points) -> Points:
    """The five points (... x 5 x 2, fractions) of the mirrored picture, again in the order right, left."""
    result: Points = points[..., _MIRROR, :].copy()
    result[..., 0] = 1 - result[..., 0]
    return result


def resized(pixels: Pixels, side: int = SIDE) -> Pixels:
    """A square picture at `side` pixels, by area averages."""
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def cut(
    pixels: Pixels, points: Points, mirror: bool, corner: tuple[int, int], size: int, side: int = SIDE
) -> tuple[Pixels, Points]:
    """A square part of a picture at `side` pixels, and the five points in fractions of that part.

    Args:
        pixels: S x S x 3.
        points: 5 x 2, fractions of the whole picture.
        mirror: mirror the picture first.
        corner: left and top of the part, in pixels.
        size: of the part, in pixels.
    """
    whole = pixels.shape[0]
    if mirror:
        pixels, points = pixels[:, ::-1], mirrored_points(points)
    left, top = corner
    part = np.ascontiguousarray(pixels[top : top + size, left : left + size])
    moved = (points * whole - np.array([left, top], np.float32)) / size
    return resized(part, side), np.asarray(moved, np.float32)
