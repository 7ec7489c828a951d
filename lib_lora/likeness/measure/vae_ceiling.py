"""Measures how much of a face the base model's VAE preserves at the size at which faces are painted.

No LoRA can keep more: a small VAE at 128 pixels keeps an SFace cosine of 0.64 of a photo, and Stable Diffusion 1's
loses small faces. So the photos themselves are passed through it, at the painted face sizes, and compared with the
other photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from lib_lora.character.photo_files import open_photo
from lib_lora.faces.array_text import unpacked
from lib_lora.faces.array_types import Numbers
from lib_lora.faces.face import FaceEngine, Quality
from lib_lora.likeness.measure.template import Template, choose_face

Reconstruct = Callable[[Image.Image], "Image.Image | None"]
_AROUND = 2.2  # times the face's longer side: what the VAE sees of the picture
_MULTIPLE = 8  # pixels that a latent stands for


@dataclass(frozen=True)
class Ceiling:
    """One photo after the VAE.

    Attributes:
        photo: its file name.
        likeness: cosine to the mean of the *other* photos as they are; None where the face was lost.
        face: what is left of it.
    """

    photo: str
    likeness: float | None
    face: Quality | None


def ceiling_of(
    engine: FaceEngine,
    template: Template,
    photos: Sequence[Path],
    painted: Sequence[float],
    reconstruct: Reconstruct,
) -> list[Ceiling]:
    """Pass the template's photos through a VAE.

    Args:
        engine: the template's.
        template: of the character.
        photos: picture files; those that the template uses are taken.
        painted: face sizes in pixels as they were painted, at least one; the photos' faces are made that size,
            smallest with smallest, but never larger than they are.
        reconstruct: encodes and decodes an RGB picture whose sides are multiples of 8; None where there is no VAE.

    Returns:
        One for each photo; empty where there is no VAE.
    """
    files = {path.name: path for path in photos}
    used = [item for item in template.used if item.file in files and item.face and item.embedding]
    used.sort(key=lambda item: item.face.px if item.face else 0.0)
    sizes = np.quantile(np.asarray(painted, np.float64), (np.arange(len(used)) + 0.5) / max(1, len(used)))
    others = _others(template)
    found = []
    for item, size in zip(used, sizes, strict=True):
        face, _ = choose_face(engine.faces(photo := open_photo(files[item.file])))
        if face is None:
            continue
        rebuilt = reconstruct(_around(photo, face.box, min(float(size), face.px)))
        if rebuilt is None:
            return []
        found.append(_compared(engine, item.file, rebuilt, others[item.file]))
    return found


def scores_of(ceiling: Sequence[Ceiling]) -> Numbers:
    """The likenesses of photos whose face can still be measured."""
    return np.array([item.likeness for item in ceiling if item.likeness is not None], np.float64)


def faces_of(ceiling: Sequence[Ceiling]) -> list[Quality]:
    """What is left of the faces."""
    return [item.face for item in ceiling if item.face is not None]


def lost_of(ceiling: Sequence[Ceiling]) -> float | None:
    """The share of the photos whose face cannot be judged any more; None if there are no photos."""
    return sum(item.likeness is None for item in ceiling) / len(ceiling) if ceiling else None


def _others(template: Template) -> dict[str, Numbers]:
    """For each used photo the unit mean of the other ones."""
    used = [item for item in template.used if item.embedding]
    weighted = [item.weight * unpacked(item.embedding or "").astype(np.float64) for item in used]
    total = np.sum(weighted, 0)
    means = {item.file: total - own for item, own in zip(used, weighted, strict=True)}
    return {name: mean / max(1e-9, float(np.linalg.norm(mean))) for name, mean in means.items()}


def _compared(engine: FaceEngine, name: str, rebuilt: Image.Image, others: Numbers) -> Ceiling:
    found = engine.faces(rebuilt)
    if not found:
        return Ceiling(name, None, None)
    likenesses = [float(others @ one.embedding) for one in found]
    best = int(np.argmax(likenesses))
    quality = found[best].quality
    return Ceiling(name, None if quality.doubt else likenesses[best], quality)


def _around(photo: Image.Image, box: tuple[float, float, float, float], size: float) -> Image.Image:
    """The part of a photo round a face, with the face `size` pixels large; sides are multiples of 8."""
    left, top, width, height = box
    half = _AROUND * max(width, height) / 2
    middle = (left + width / 2, top + height / 2)
    edges = (
        max(0.0, middle[0] - half),
        max(0.0, middle[1] - half),
        min(float(photo.width), middle[0] + half),
        min(float(photo.height), middle[1] + half),
    )
    scale = size / max(width, height)
    sides = [max(1, round((edges[axis + 2] - edges[axis]) * scale / _MULTIPLE)) * _MULTIPLE for axis in (0, 1)]
    return photo.resize((sides[0], sides[1]), Image.Resampling.LANCZOS, box=edges)
