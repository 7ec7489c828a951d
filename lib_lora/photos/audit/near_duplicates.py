"""Photos that show one picture, or one moment, more than once; which of them to keep. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from lib_lora.captions.photo_facts import AuditedPhoto
from lib_lora.faces.colour_histograms import hellinger

COPY_BITS = 5  # of the 64 of two perceptual hashes: one picture, saved again; asked only where there is no face
COPY_COSINE = 0.97  # of two faces: one picture, cropped or saved again (`likeness.measure.robust_mean.NEAR_COPY`)
# Both: one picture, made grey or toned, which changes what a face is like. Within 2 bits different photos of one person
# have a cosine of up to 0.931 (3 of 1,656 pairs); none have the same hash.
SAME_BITS, SAME_COSINE = 0, 0.9
BURST_BITS, BURST_COSINE, BURST_BACKDROP = 20, 0.95, 0.35  # all three: taken in the same moment
_FAR_BITS = 24  # faces as alike as copies in pictures that differ in more bits are not called copies
# How many times as much is clearly more: of colour, of pixels, of a face's sharpness, of what is to be seen around it.
_COLOUR, _PIXELS, _SHARP, _VIEW = 2.0, 1.19, 1.5, 1.03
_GREY = 1.0  # spread of colours below which a photo has none


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
    photos: Sequence[AuditedPhoto],
    cosines: npt.NDArray[np.floating],
    faulty: Collection[str] = (),
    marred: Collection[str] = (),
) -> dict[int, Repeated]:
    """By place, the photos that show what a better one shows.

    Args:
        photos: n.
        cosines: n x n, of their faces; NaN where there is none.
        faulty: file names of photos that are proposed to be left out for something else; no other photo goes for one
            of these.
    """
    hashed = [place for place in range(len(photos)) if photos[place].facts.hash]
    related: dict[int, dict[int, bool]] = {place: {} for place in hashed}
    for one, other in combinations(hashed, 2):
        again = _again(photos[one], photos[other], float(cosines[one, other]))
        if again is not None:
            related[one][other] = related[other][one] = again

    def order(place: int) -> tuple[bool, bool, int, str]:
        file = photos[place].file
        won = sum(_better(photos[place], photos[other]) for other in related[place])
        return file not in faulty, file not in marred, 2 * won - len(related[place]), file

    stays: list[int] = []
    found: dict[int, Repeated] = {}
    for place in sorted(hashed, key=order, reverse=True):
        better = next((other for other in stays if other in related[place]), None)
        if better is None:
            stays.append(place)
            continue
        cosine = float(cosines[place, better])
        found[place] = Repeated(better, related[place][better], None if math.isnan(cosine) else cosine)
    return found


def _better(one: AuditedPhoto, other: AuditedPhoto) -> bool:
    """Whether `one` is nearer to the original, of two photos that show the same; exactly one of two is.

    The first of these that clearly differs decides: colour (a grey or toned copy has less), pixels, colours for a
    screen (not for printing), sharpness, how much is to be seen around the face (a crop shows less), and then every
    pixel, and the bytes that are spent on them (a file saved again as JPEG has fewer).
    """
    a, b = one.facts, other.facts
    wide = [1 / facts.face.area if facts.face else 1.0 for facts in (a, b)]
    sharp = [facts.face.blur if facts.face else facts.sharp for facts in (a, b)]
    for mine, theirs, clearly in (
        (max(a.colour, _GREY), max(b.colour, _GREY), _COLOUR),
        (a.width * a.height, b.width * b.height, _PIXELS),
        (not a.inks, not b.inks, 1),
        (*sharp, _SHARP),
        (*wide, _VIEW),
        (a.width * a.height, b.width * b.height, 1),
        (a.file_bytes, b.file_bytes, 1),
        (*sharp, 1),
    ):
        if max(mine, theirs) > clearly * min(mine, theirs):
            return mine > theirs
    return one.file > other.file


def _again(one: AuditedPhoto, other: AuditedPhoto, cosine: float) -> bool | None:
    """Whether two photos show one picture (True) or one moment (False); None: neither."""
    bits = (int(one.facts.hash, 16) ^ int(other.facts.hash, 16)).bit_count()
    if (cosine > COPY_COSINE and bits <= _FAR_BITS) or (cosine > SAME_COSINE and bits <= SAME_BITS):
        return True
    if one.facts.face is None and other.facts.face is None:
        return True if bits <= COPY_BITS else None
    alike = bits <= BURST_BITS and cosine > BURST_COSINE
    if not alike or not (one.facts.backdrop and other.facts.backdrop):
        return None
    return False if hellinger(one.facts.backdrop, other.facts.backdrop) < BURST_BACKDROP else None
