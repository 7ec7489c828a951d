"""Photos that show one picture, or one moment, more than once; which of them to keep. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lib_lora.captions.photo_facts import AuditedPhoto
from lib_lora.faces.colour_histograms import hellinger

COPY_BITS = 5  # of the 64 of two perceptual hashes: one picture, saved again; asked only where there is no face
COPY_COSINE = 0.97  # of two faces: one picture, cropped or saved again (`likeness.measure.robust_mean.NEAR_COPY`)
BURST_BITS, BURST_COSINE, BURST_BACKDROP = 20, 0.95, 0.35  # all three: taken in the same moment
_FAR_BITS = 24  # faces as alike as copies in pictures that differ in more bits are not called copies


@dataclass(frozen=True)
class Repeated:
    """A photo that need not be kept.

    Attributes:
        of: place of the better one.
        copy: one picture, and not only one moment.
        likeness: cosine of the two faces; None where there is none.
    """

    of: int
    copy: bool
    likeness: float | None = field(default=None, compare=False)


def repeated(
    photos: Sequence[AuditedPhoto], cosines: npt.NDArray[np.floating], faulty: Collection[str] = ()
) -> dict[int, Repeated]:
    """By place, the photos that show what a better one shows.

    Args:
        photos: n.
        cosines: n x n, of their faces; NaN where there is none.
        faulty: file names of photos that are proposed to be left out for something else; no other photo goes for one
            of these.
    """
    hashed = [place for place in range(len(photos)) if photos[place].facts.hash]
    order = sorted(hashed, key=lambda place: (photos[place].file not in faulty, _worth(photos[place])))
    stays: list[int] = []
    found: dict[int, Repeated] = {}
    for place in reversed(order):
        for other in stays:
            cosine = float(cosines[place, other])
            again = _again(photos[place], photos[other], cosine)
            if again is not None:
                found[place] = Repeated(other, again, None if math.isnan(cosine) else cosine)
                break
        else:
            stays.append(place)
    return found


def _worth(photo: AuditedPhoto) -> tuple[float, float, str]:
    """More pixels are better, then more sharpness; copies are told apart by name."""
    face = photo.facts.face
    pixels = photo.facts.width * photo.facts.height
    return (round(np.log2(max(1, pixels)) * 4), face.blur if face else photo.facts.sharp, photo.file)


def _again(one: AuditedPhoto, other: AuditedPhoto, cosine: float) -> bool | None:
    """Whether two photos show one picture (True) or one moment (False); None: neither."""
    bits = (int(one.facts.hash, 16) ^ int(other.facts.hash, 16)).bit_count()
    if cosine > COPY_COSINE and bits <= _FAR_BITS:
        return True
    if one.facts.face is None and other.facts.face is None:
        return True if bits <= COPY_BITS else None
    alike = bits <= BURST_BITS and cosine > BURST_COSINE
    if not alike or not (one.facts.backdrop and other.facts.backdrop):
        return None
    return False if hellinger(one.facts.backdrop, other.facts.backdrop) < BURST_BACKDROP else None
