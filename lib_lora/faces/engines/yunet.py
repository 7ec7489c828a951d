"""Runs YuNet, the face detector, through OpenCV's dnn from a model in memory.

``cv2.FaceDetectorYN`` takes no buffer in every version from 4.8 to 5, and its file name may not hold characters
outside the system's code page on Windows; its decoding is therefore repeated here, and a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lib_lora.faces.array_types import Array, Pixels

_STRIDES = (8, 16, 32)
_OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in _STRIDES]
_MULTIPLE = 32
_SMALLEST = 64  # OpenCV 4 fed a side of 32 reads memory that it never wrote, and finds faces of 1e30 pixels in it


class YuNet:
    """Finds faces of about 10 to 300 pixels. Not for use by two threads at once."""

    def __init__(self, model: bytes, least_score: float = 0.6, overlap: float = 0.3) -> None:
        """`least_score`: weaker detections are dropped; `overlap`: boxes above this IoU are one face."""
        self._net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
        self._least, self._overlap = least_score, overlap

    def detect(self, pixels: Pixels) -> Array:
        """Faces of an RGB picture (height x width x 3), best first.

        Returns:
            n x 15: left, top, width, height, five points (x, y), score; in pixels.
        """
        height, width = pixels.shape[:2]
        below, beside = (max(_SMALLEST, length + -length % _MULTIPLE) - length for length in (height, width))
        padded = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        self._net.setInput(cv2.dnn.blobFromImage(padded, swapRB=True))
        found = decode(
            [np.asarray(map_, np.float32) for map_ in self._net.forward(_OUTPUTS)], padded.shape[1], self._least
        )
        if len(found) < 2:
            return found
        boxes = found[:, :4].astype(np.int32).tolist()  # whole numbers, as FaceDetectorYN compares them
        kept = cv2.dnn.NMSBoxes(boxes, found[:, 14].tolist(), self._least, self._overlap)
        return np.asarray(found[np.asarray(kept, np.int64).reshape(-1)], np.float32)


def decode(outputs: Sequence[Array], width: int, least_score: float) -> Array:
    """YuNet's twelve output maps as rows of 15 numbers (see `YuNet.detect`), in the order of the maps.

    A cell (column, row) of stride s says: score = sqrt(class x object), centre = (cell + box[0:2]) s,
    size = exp(box[2:4]) s, point = (cell + point) s.

    Args:
        outputs: in the order cls, obj, bbox, kps, each for strides 8, 16, 32.
        width: of the network's input, a multiple of 32.
    """
    rows, likely = [], 0.99 * least_score**2
    for index, stride in enumerate(_STRIDES):
        kind, thing = (outputs[index + group].reshape(-1) for group in (0, 3))
        # of numbers up to 1 each is at least their product; nearly all cells are left out by this alone
        (cells,) = np.nonzero((kind > likely) & (thing > likely))
        score = np.sqrt(np.clip(kind[cells], 0, 1) * np.clip(thing[cells], 0, 1))
        cells, score = cells[score >= least_score], score[score >= least_score]
        columns = width // stride
        place = np.stack([cells % columns, cells // columns], 1).astype(np.float32)
        box = outputs[index + 6].reshape(-1, 4)[cells]
        points = outputs[index + 9].reshape(-1, 5, 2)[cells]
        size = np.exp(box[:, 2:]) * stride
        corner = (place + box[:, :2]) * stride - size / 2
        points = (points + place[:, None]) * stride
        rows.append(np.concatenate([corner, size, points.reshape(-1, 10), score[:, None]], 1))
    return np.concatenate(rows).astype(np.float32)
