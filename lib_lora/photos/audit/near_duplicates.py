"""Finds photos that show one picture, or one moment, more than once, and which of them to keep.

Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from lib_lora.captions.photo_facts import SMALL_FACE, AuditedPhoto, PhotoFacts
from lib_lora.faces.picture_descriptors import hamming, hellinger

SAVED_AGAIN_BITS = 5  # of the 64 of two perceptual hashes: one picture, saved again; asked only where there is no face
COPY_COSINE = 0.97  # of two faces: one picture, cropped or saved again (`faces.robust_mean.NEAR_COPY`)
# Both: one picture, made grey or toned, which changes what a face is like. Within 2 bits different photos of one person
# have a cosine of up to 0.931 (of 8,280 pairs, in most of which one is grey or small); of one hash: 0.85.
SAME_BITS, SAME_COSINE = 0, 0.9
TONED_BITS, TONED_COSINE = 2, 0.935
BURST_BITS, BURST_COSINE, BURST_BACKDROP = 20, 0.95, 0.35  # all three: taken in the same moment
_FAR_BITS = 24  # faces as alike as copies in pictures that differ in more bits are not called copies
# How many times as much is clearly more: of colour, of pixels, of a face's sharpness, of what is visible around it.
_COLOUR, _PIXELS, _SHARP, _VIEW = 2.0, 1.19, 1.5, 1.03
_CROPPED = 1.15  # the last, whatever their sizes are: the box of a face is not the same in a reduced copy
_ENLARGED = 2.0  # times the pixels of a face; of two that differ more, the smaller is rather a reduced copy
_GREY = 1.0  # spread of colours below which a photo has none


@dataclass(frozen=True)
class Repeated:
    """A photo that need not be kept.

    Attributes:
        of: place of the better one.
        copy: one picture, and not only one moment.
        likeness: cosine of the two faces; None where there is none, or where a third photo links the two.
    """

    of: int
    copy: bool
    likeness: float | None = field(default=None, compare=False)


def repeated(
    photos: Sequence[AuditedPhoto],
    cosines: npt.NDArray[np.floating],
    faulty: Collection[str] = (),
    marred: Mapping[str, Collection[str]] | None = None,
) -> dict[int, Repeated]:
    """By place, the photos that show what a better one shows.

    A photo goes for a better one that is like it. With it go the worse copies of it, whose faces may be less like that
    one's: of a grey copy, say, where the original goes for a sharper photo of the same moment.

    Args:
        photos: n.
        cosines: n x n, of their faces; NaN where there is none.
        faulty: file names of photos that are proposed to be left out for something else; no other photo goes for one
            of these.
        marred: by file name, the codes of what may have been done to a copy (`findings.MARRED`).
    """
    done_to = marred or {}
    hashed = [place for place in range(len(photos)) if photos[place].facts.hash]
    related: dict[int, dict[int, bool]] = {place: {} for place in hashed}
    for one, other in combinations(hashed, 2):
        again = _again(photos[one], photos[other], float(cosines[one, other]))
        if again is not None:
            related[one][other] = related[other][one] = again

    def beats(one: int, other: int) -> bool:
        a, b = photos[one], photos[other]
        if (a.file in faulty) != (b.file in faulty):
            return b.file in faulty
        return _better(a, b, done_to.get(a.file, ()), done_to.get(b.file, ()), copy=related[one][other])

    left = set(hashed)
    better = {place: {other for other in related[place] if beats(other, place)} for place in hashed}

    def order(place: int) -> tuple[bool, int, int, str]:
        """What nothing is better than comes first; three photos may beat each other in a circle."""
        file = photos[place].file
        return file in faulty, len(better[place] & left), -len(related[place].keys() & left), file

    found: dict[int, Repeated] = {}
    while left:
        best = min(left, key=order)
        left.remove(best)
        gone = {place: copy for place, copy in related[best].items() if place in left}
        for place, copy in gone.items():
            cosine = float(cosines[place, best])
            found[place] = Repeated(best, copy, None if math.isnan(cosine) else cosine)
        while gone:
            left -= gone.keys()
            gone = {
                place: any(found[via].copy for via in vias)
                for place in left
                if _bits(photos[place], photos[best]) <= _FAR_BITS
                and (vias := [via for via in gone if related[place].get(via) and via in better[place]])
            }
            found |= {place: Repeated(best, copy) for place, copy in gone.items()}
    return found


def _better(
    one: AuditedPhoto,
    other: AuditedPhoto,
    mine: Collection[str] = (),
    theirs: Collection[str] = (),
    copy: bool = True,
) -> bool:
    """Whether `one` is nearer to the original, of two photos that show the same; exactly one of two is.

    A photo that something may have been done to (`mine` of `one`, `theirs` of `other`) is not, unless it has clearly
    more pixels: a small copy loses the writing on a sign, say. Nor does writing count where one is a crop that may not
    reach as far as the sign.

    Then the first of these that clearly differs decides: colour (a grey or toned copy has less), of a copy how much is
    to be seen around the face (a crop shows less, even enlarged), pixels, colours for a screen (not for printing),
    sharpness, what is visible again, and then every pixel, and the bytes that are spent on them (a file saved again
    as JPEG has fewer).
    """
    a, b = one.facts, other.facts
    wide = _around(a), _around(b)
    pixels = a.width * a.height, b.width * b.height
    no_matter = {"writing"} if max(wide) > _CROPPED * min(wide) else set()
    marred = bool({*mine} - no_matter), bool({*theirs} - no_matter)
    if marred[0] != marred[1]:
        clean, spoilt = reversed(pixels) if marred[0] else pixels
        if clean * _PIXELS >= spoilt:
            return marred[1]
    sharp = [facts.face.blur if facts.face else facts.sharp for facts in (a, b)]
    for ours, others, clearly in (
        (max(a.colour, _GREY), max(b.colour, _GREY), _COLOUR),
        (*(wide if copy and _of_one_scale(a, b) else (1.0, 1.0)), _CROPPED),
        (*pixels, _PIXELS),
        (not a.inks, not b.inks, 1),
        (*sharp, _SHARP),
        (*wide, _VIEW),
        (*pixels, 1),
        (a.file_bytes, b.file_bytes, 1),
        (*sharp, 1),
    ):
        if max(ours, others) > clearly * min(ours, others):
            return ours > others
    return one.file > other.file


def _around(facts: PhotoFacts) -> float:
    """How many times as large as the face the photo is; 1 where it shows none."""
    return 1 / facts.face.area if facts.face else 1.0


def _of_one_scale(a: PhotoFacts, b: PhotoFacts) -> bool:
    """Whether the photo with more around the face shows the face well enough to be the original of the other."""
    if a.face is None or b.face is None:
        return False
    wider, closer = sorted((a.face, b.face), key=lambda face: face.area)
    return wider.px >= max(SMALL_FACE, closer.px / _ENLARGED)


def _bits(one: AuditedPhoto, other: AuditedPhoto) -> int:
    """How many of the 64 bits of the two perceptual hashes differ."""
    return hamming(int(one.facts.hash, 16), int(other.facts.hash, 16))


def _again(one: AuditedPhoto, other: AuditedPhoto, cosine: float) -> bool | None:
    """Whether two photos show one picture (True) or one moment (False); None: neither."""
    bits = _bits(one, other)
    near = ((COPY_COSINE, _FAR_BITS), (TONED_COSINE, TONED_BITS), (SAME_COSINE, SAME_BITS))
    if any(cosine > least and bits <= most for least, most in near):
        return True
    if one.facts.face is None and other.facts.face is None:
        return True if bits <= SAVED_AGAIN_BITS else None
    alike = bits <= BURST_BITS and cosine > BURST_COSINE
    if not alike or not (one.facts.backdrop and other.facts.backdrop):
        return None
    return False if hellinger(one.facts.backdrop, other.facts.backdrop) < BURST_BACKDROP else None
