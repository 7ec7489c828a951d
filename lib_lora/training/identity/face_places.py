"""Finds where the person's face lies on each photo as it is trained, and the mean of these faces' embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lib_lora.faces.align import SIZE, similarity
from lib_lora.faces.array_types import Array, Numbers
from lib_lora.faces.face import SECOND_FACE, Face, FaceEngine
from lib_lora.faces.robust_mean import robust_mean
from lib_lora.faces.unjudgeable import LEAST_PX
from lib_lora.training.data.buckets import LATENT_PIXELS, Bucket, Placement

MARGIN = 2  # latent cells around the aligned face that are decoded too, since the VAE looks at neighbours
LEAST_SHOWN = 0.6  # of the aligned crop, inside the picture; below that an embedding means little


@dataclass(frozen=True, eq=False)
class FacePlace:
    """Where a face lies on a photo in its bucket.

    Attributes:
        cells: left, top, right, bottom of the part of the latent that is decoded, in latent cells.
        matrix: 2 x 3, from pixels of that part to the aligned crop of 112 x 112 (`faces.align.similarity`).
    """

    cells: tuple[int, int, int, int]
    matrix: Numbers


@dataclass(frozen=True, eq=False)
class FacesFound:
    """The person on the photos of a training.

    Attributes:
        places: by the photo's key; photos without a usable face are missing.
        template: robust mean of the embeddings of these faces, unit length; None where there is none. Biometric data,
            which is never written.
    """

    places: dict[str, FacePlace]
    template: Array | None


def find_faces(photos: Iterable[tuple[str, Placement, Callable[[], Image.Image]]], engine: FaceEngine) -> FacesFound:
    """Look at each photo once.

    Args:
        photos: key, placement, and what opens the upright picture.
        engine: the one by whose recogniser the loss judges.
    """
    places, embeddings = {}, []
    for key, placed, opened in photos:
        face = the_face(engine.faces(opened()))
        place = None if face is None else place_of(face, placed)
        if face is not None and place is not None:
            places[key] = place
            embeddings.append(face.embedding)
    if not embeddings:
        return FacesFound({}, None)
    return FacesFound(places, robust_mean(np.stack(embeddings), np.ones(len(embeddings))).vector)


def the_face(faces: list[Face]) -> Face | None:
    """The person's face among those of a photo, the largest first; None where that is unclear or means little."""
    if not faces or (len(faces) > 1 and faces[1].area >= SECOND_FACE * faces[0].area):
        return None
    return None if faces[0].quality.fault else faces[0]


def place_of(face: Face, placed: Placement) -> FacePlace | None:
    """Where a photo's face lies in its bucket; None where it is too small there, or cut off."""
    factor = np.array(placed.resized) / np.array(placed.photo)
    if max(face.box[2] * factor[0], face.box[3] * factor[1]) < LEAST_PX:
        return None
    # pixel centres: x_resized = (x + 0.5) * factor - 0.5
    points = (face.points.astype(np.float64) + 0.5) * factor - 0.5 - (placed.left, placed.top)
    return placed_points(points, placed.bucket)


def placed_points(points: Numbers, bucket: Bucket) -> FacePlace | None:
    """The place of a face with these five points, in pixels of the bucket; None where too much of it is cut off."""
    matrix = similarity(points.astype(np.float32))
    corners = _turned_back(matrix, np.array([(x, y) for x in (0, SIZE - 1) for y in (0, SIZE - 1)], np.float64))
    inside = np.clip(corners, 0, np.array(bucket) - 1)
    left, top = (math.floor(value / LATENT_PIXELS) - MARGIN for value in inside.min(0))
    right, bottom = (math.floor(value / LATENT_PIXELS) + 1 + MARGIN for value in inside.max(0))
    across, down = (side // LATENT_PIXELS for side in bucket)
    cells = (max(0, left), max(0, top), min(across, right), min(down, bottom))
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), -1).reshape(-1, 2)
    where = _turned_back(matrix, grid.astype(np.float64))
    shown = ((where >= -0.5) & (where <= np.array(bucket) - 0.5)).all(1).mean()
    if shown < LEAST_SHOWN:
        return None
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (np.array(cells[:2]) * LATENT_PIXELS)
    return FacePlace(cells, moved)


def _turned_back(matrix: Numbers, places: Numbers) -> Numbers:
    """Where places of the aligned crop lie in the picture, n x 2."""
    return np.asarray((places - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T, np.float64)
