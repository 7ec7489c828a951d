"""Runs the default face engine, in which YuNet finds faces and SFace describes them.

The five points come from several sizes of the picture (`detection`), the crop from the picture at full resolution
(`align`). The embedding is averaged with that of the mirrored crop, which cancels left-right differences. SFace takes
RGB, 0..255, no mean and no scale; fed BGR it gives a plausible but different embedding. Needs only OpenCV and numpy,
and no network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from PIL import Image

from lib_lora.faces import align
from lib_lora.faces.array_types import Array, Box, Pixels
from lib_lora.faces.engines import model_pack
from lib_lora.faces.engines.detection import find
from lib_lora.faces.engines.yunet import YuNet
from lib_lora.faces.eye_colour import eye_colour
from lib_lora.faces.face import Face
from lib_lora.faces.unjudgeable import hidden

MODELS = Path(__file__).parent.parent / "models"
RECOGNISER = MODELS / "sface_2021dec.npz"
DEFAULT_ENGINE = "yunet-sface"  # begins the id of this engine, whatever its procedure
PROCEDURE = 2  # raise it whenever the same picture may give another embedding; 2: tilted heads


class SFaceEngine:
    """YuNet + SFace. Safe to share: each thread loads its own networks when it first needs them (0.3 s, 100 MB)."""

    def __init__(self, models: Path = MODELS) -> None:
        self._detector_file = models / "yunet_2023mar.npz"
        self._recogniser_file = models / RECOGNISER.name
        hashes = [model_pack.digest(path)[:16] for path in (self._detector_file, self._recogniser_file)]
        self._id = f"{DEFAULT_ENGINE}-{PROCEDURE}:" + ":".join(hashes)
        self._own = threading.local()

    @property
    def id(self) -> str:
        return self._id

    @property
    def licence(self) -> str:
        return "YuNet: MIT; SFace: Apache-2.0; both permit commercial use"

    def faces(self, image: Image.Image) -> list[Face]:
        """All faces of an upright picture (`character.photo_files.open_photo` gives one), the largest first."""
        pixels = _pixels(image)
        found = find(self._detector(), pixels)
        faces = [face for row in found if (face := describe(pixels, row, self.embed)) is not None]
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])

    def boxes(self, image: Image.Image) -> list[Box]:
        """Where the faces of a picture are, surest first, some beyond its edge; half the time of `faces`."""
        found = find(self._detector(), _pixels(image))
        return [(left, top, width, height) for left, top, width, height in found[:, :4].tolist()]

    def embed(self, aligned: Pixels) -> Array:
        """Unit embedding (128) of an aligned 112 x 112 RGB crop: itself plus its mirror image, normalised."""
        both = np.stack([aligned, aligned[:, ::-1]])
        blob = np.ascontiguousarray(both.transpose(0, 3, 1, 2), dtype=np.float32)
        recogniser = self._recogniser()
        recogniser.setInput(blob)
        total = np.asarray(recogniser.forward(), np.float64).reshape(2, -1).sum(0)
        return np.asarray(total / np.linalg.norm(total), np.float32)

    def _detector(self) -> YuNet:
        if not hasattr(self._own, "detector"):
            self._own.detector = YuNet(model_pack.rebuild(self._detector_file))
        return cast(YuNet, self._own.detector)

    def _recogniser(self) -> cv2.dnn.Net:
        if not hasattr(self._own, "recogniser"):
            model = np.frombuffer(model_pack.rebuild(self._recogniser_file), np.uint8)
            self._own.recogniser = cv2.dnn.readNetFromONNX(model)
        return cast(cv2.dnn.Net, self._own.recogniser)


def _pixels(image: Image.Image) -> Pixels:
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"), np.uint8)


def describe(pixels: Pixels, row: Array, embed: Callable[[Pixels], Array]) -> Face | None:
    """The face that a detector found; None where its five points lie in one place.

    Args:
        pixels: the upright RGB picture at full resolution.
        row: 15 numbers in its pixels, as `YuNet.detect` gives them.
        embed: the unit embedding of an aligned 112 x 112 RGB crop.
    """
    points = row[4:14].reshape(5, 2)
    try:
        aligned = align.crop(pixels, points)
        shown = align.share_inside(points, pixels.shape[1], pixels.shape[0])
    except ValueError:  # no face that could be described
        return None
    box = (float(row[0]), float(row[1]), float(row[2]), float(row[3]))
    return Face(
        box=box,
        points=points.copy(),
        score=min(1.0, float(row[14])),
        embedding=embed(aligned),
        blur=align.blur(aligned),
        shown=shown,
        crop=aligned,
        eyes=eye_colour(pixels, points),
        hidden=hidden(aligned, pixels, box),
    )
