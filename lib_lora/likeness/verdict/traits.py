"""Computes what a set of pictures shows besides identity: copies, variety, angles, attributes, skin.

Each function gives a part of `facts.Facts`; what cannot be measured stays out. Pure functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from lib_lora.faces.array_text import unpacked
from lib_lora.faces.array_types import Numbers
from lib_lora.faces.face import Quality
from lib_lora.faces.picture_descriptors import hamming
from lib_lora.likeness.measure.calibration import LEAST_FACES, Calibration
from lib_lora.likeness.measure.face_measure import ImageScore, Measured
from lib_lora.likeness.measure.image_similarity import COPY_BITS, COPY_SSIM, variety
from lib_lora.likeness.measure.intervals import alarm_from
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.verdict.facts import AngleFacts, AttributeFacts, CopyFacts, SurfaceFacts, VarietyFacts
from lib_lora.likeness.verdict.picture_set import PictureSet, share

TURNED = 0.35  # of `faces.face.yaw_proxy`; a nose tip that far off the middle is a three-quarter view
FRONTAL = 0.20
COPY_COSINE = 0.96  # different pictures of one person were seen up to 0.957, re-compressed or cropped ones from 0.969
COPY_MARGIN = 0.01  # over the highest cosine between two photos
LEAST_DIVERSITY = 0.7  # of the base model's, by CLIP's features
# By hashes and surroundings. Twenty varied portraits of one person have 0.6 to 0.76 of the variety of twenty people,
# so only a set that shows one picture again and again lies under this.
LEAST_VARIETY = 0.45
TEXTURES = ("the photos after the VAE", "the photos")  # what skin is compared with, as `SurfaceFacts.texture_of` says
_LARGE = 112  # pixels; a smaller face is enlarged for the crop, which hides its fine detail


@dataclass(frozen=True)
class CopyLimits:
    """From where on a picture repeats a photo, for one character.

    Attributes:
        cosine: of the faces' embeddings; above it.
        bits: of 64 in which the whole pictures' perceptual hashes differ; from this many downwards. Negative = never.
    """

    cosine: float
    bits: int


def copy_limits(template: Template) -> CopyLimits | None:
    """The limits: beyond what any two different photos of the set have in common; None for fewer than two photos."""
    used = [item for item in template.used if item.embedding and item.hash]
    if len(used) < 2:
        return None
    vectors = np.stack([unpacked(item.embedding or "") for item in used])
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    hashes = [int(item.hash or "0", 16) for item in used]
    apart = min(hamming(one, other) for one, other in combinations(hashes, 2))
    return CopyLimits(max(COPY_COSINE, float(cosines.max()) + COPY_MARGIN), min(2, apart - 6))


def is_copy(score: ImageScore, limits: CopyLimits | None) -> bool:
    """Whether a picture repeats a photo: its face, its whole, or both nearly.

    Portraits of one person on a plain ground have hashes 0 to 6 bits apart and aligned faces of SSIM up to 0.88
    although they are different pictures, so neither alone says it.
    """
    if limits is None or score.nearest_likeness is None:
        return False
    if score.nearest_likeness > limits.cosine:
        return True
    if score.copy_bits is None or score.copy_ssim is None:
        return False
    same = score.nearest == score.nearest_copy and score.copy_ssim > COPY_SSIM
    return score.copy_bits <= (COPY_BITS if same else limits.bits)


def copies(shown: PictureSet, template: Template) -> CopyFacts:
    """Pictures that repeat a photo, and the photo that most pictures lean on."""
    limits = copy_limits(template)
    scores = [item.score for item in shown.pictures if item.hash is not None]
    repeated = [score for score in scores if is_copy(score, limits)]
    copied = Counter(original(score) for score in repeated).most_common(1)
    facts = CopyFacts(len(repeated), share(len(repeated), len(scores)), copied[0][0] if copied else None)
    nearest = Counter(score.nearest for score in scores if score.counts and score.nearest)
    if nearest.total() < LEAST_FACES:
        return facts
    hole, most = nearest.most_common(1)[0]
    return replace(facts, hole=hole, hole_share=most / nearest.total())


def original(score: ImageScore) -> str:
    """The photo that a copy repeats."""
    whole = score.copy_bits is not None and score.copy_bits <= COPY_BITS // 2
    return (score.nearest_copy if whole else score.nearest) or ""


def varied(shown: PictureSet) -> VarietyFacts:
    """How varied the pictures are against those without the LoRA."""
    if shown.diversity is not None and shown.diversity[1] > 0:
        return VarietyFacts(shown.diversity[0] / shown.diversity[1], LEAST_DIVERSITY)
    if shown.without is None:
        return VarietyFacts()
    ours, plain = _variety(shown.pictures), _variety(shown.without)
    return VarietyFacts(ours / plain, LEAST_VARIETY) if ours is not None and plain else VarietyFacts()


def _variety(pictures: Sequence[Measured]) -> float | None:
    known = [
        (item.hash, item.surroundings) for item in pictures if item.hash is not None and item.surroundings is not None
    ]
    return variety([one for one, _ in known], [other for _, other in known]) if len(known) >= LEAST_FACES else None


def angles(shown: PictureSet, template: Template, calibration: Calibration) -> AngleFacts:
    """Whether the face is lost when the head is turned, beyond what the photos lose."""
    known = [(item.score.face.yaw, item.score.likeness) for item in shown.pictures if item.score.counts
             and item.score.face is not None and item.score.likeness is not None]  # fmt: skip
    if len(known) < LEAST_FACES or calibration.photos is None:
        return AngleFacts()
    facts = _with_sides(AngleFacts(yaw_spread=float(np.std([yaw for yaw, _ in known]))), known, calibration)
    frontal = [value for yaw, value in known if abs(yaw) < FRONTAL]
    turned = [value for yaw, value in known if abs(yaw) > TURNED]
    if len(frontal) < 3:
        return facts
    straight = float(np.mean(frontal))
    kept = calibration.retention_of_best(straight) if calibration.lines else None
    facts = replace(facts, frontal=straight, frontal_kept=kept)
    if len(turned) < 3:
        return facts
    photos = [(item.face.yaw, item.likeness) for item in template.used if item.face and item.likeness is not None]
    own_frontal = [value for yaw, value in photos if abs(yaw) < FRONTAL]
    own_turned = [value for yaw, value in photos if abs(yaw) > TURNED]
    own = float(np.mean(own_frontal) - np.mean(own_turned)) if own_frontal and own_turned else 0.0
    drop = straight - float(np.mean(turned)) - max(0.0, own)
    return replace(facts, turned=float(np.mean(turned)), turned_drop=drop / calibration.photos.spread)


def _with_sides(facts: AngleFacts, known: Sequence[tuple[float, float]], calibration: Calibration) -> AngleFacts:
    """With how many of the faces (yaw and likeness) lie under the keep line, turned ones apart."""
    lines = calibration.lines
    if lines is None:
        return facts
    aside = np.array([value for yaw, value in known if abs(yaw) > TURNED], np.float64)
    ahead = np.array([value for yaw, value in known if abs(yaw) <= TURNED], np.float64)
    facts = replace(
        facts,
        ahead=len(ahead),
        ahead_under=int((ahead < lines.keep).sum()),
        aside=len(aside),
        aside_under=int((aside < lines.keep).sum()),
    )
    if len(ahead) < LEAST_FACES:
        return facts
    return replace(
        facts,
        ahead_as_strangers=float(lines.as_strangers(ahead).sum()),
        ahead_alarm_from=alarm_from(len(ahead), *calibration.own_as_strangers()),
    )


def attributes(shown: PictureSet, calibration: Calibration) -> AttributeFacts:
    """The one attribute with which the face is lost while it holds without."""
    known = [(asked.attributes, item.score.likeness) for asked, item in zip(shown.asked, shown.pictures, strict=True)
             if item.score.counts and item.score.likeness is not None]  # fmt: skip
    if calibration.photos is None:
        return AttributeFacts()
    drops = []
    for attribute in sorted({name for names, _ in known for name in names}):
        with_it = [value for names, value in known if attribute in names]
        without = [value for names, value in known if attribute not in names]
        if len(with_it) >= 2 and len(without) >= LEAST_FACES:
            rest = float(np.mean(without))
            drops.append(((rest - max(with_it)) / calibration.photos.spread, attribute, rest))
    shared = _shared(shown, calibration)
    if not drops:
        return AttributeFacts(shared=shared)
    drop, attribute, rest = max(drops)
    kept = calibration.retention_of_best(rest) if calibration.lines else None
    return AttributeFacts(weak=attribute, weak_drop=drop, rest=rest, rest_kept=kept, shared=shared)


def _shared(shown: PictureSet, calibration: Calibration) -> str | None:
    """What at least half of the pictures under the keep line were asked to show, and at least two of them, in words;
    None where nothing is, or a quarter of the others were asked for it too."""
    if calibration.lines is None:
        return None
    low: Counter[str] = Counter()
    high: Counter[str] = Counter()
    lows = highs = 0
    for asked, item in zip(shown.asked, shown.pictures, strict=True):
        if not item.score.counts or item.score.likeness is None:
            continue
        under = item.score.likeness < calibration.lines.keep
        lows, highs = lows + under, highs + (not under)
        (low if under else high).update(words for one in asked.attributes if (words := _in_words(one)))
    found = [
        (count / lows - high[words] / max(1, highs), words)
        for words, count in low.items()
        if count >= 2 and count >= lows / 2 and high[words] <= highs / 4
    ]
    return max(found)[1] if found else None


SIGHTS = {  # by kind of attribute, the templates of `AttributeFacts.shared`
    "expression": "a {value} expression",
    "setting": "the setting {value}",
    "outfit": "other clothes ({value})",
    "light": "{value} light",
}


def _in_words(attribute: str) -> str:
    """ "light: hard" -> "hard light": what a photo can be added of; empty for what is no sight."""
    kind, _, value = attribute.partition(": ")
    return SIGHTS[kind].format(value=value) if kind in SIGHTS else ""


def surface(shown: PictureSet, template: Template) -> SurfaceFacts:
    """Skin and eyes against the photos'."""
    ours = [item.score.face for item in shown.pictures if item.score.counts and item.score.face]
    changes = [item.score.eye_change for item in shown.pictures if item.score.counts and item.score.eye_change]
    photos = [item.face for item in template.used if item.face]
    facts = SurfaceFacts(
        eye_change=float(np.median(changes)) if len(changes) >= LEAST_FACES else None,
        age_change=_age_change(ours, photos),
        sex_changes=_sex_changes(ours, photos),
    )
    others = list(shown.ceiling)
    name = TEXTURES[0]
    if len(others) < LEAST_FACES:
        name, others, ours = TEXTURES[1], [face for face in photos if face.px >= _LARGE], _large(ours)
    ours, others = _with_texture(ours), _with_texture(others)
    if len(ours) < LEAST_FACES or len(others) < LEAST_FACES:
        return facts
    a, b = _texture(ours), _texture(others)
    return replace(
        facts,
        texture_of=name,
        detail_ratio=a[0] / max(b[0], 1e-6),
        contrast_ratio=a[1] / max(b[1], 1e-6),
        colour_ratio=a[2] / max(b[2], 1e-6),
        clipped_more=a[3] - b[3],
        sharp_ratio=a[4] / max(b[4], 1e-6),
    )


def _age_change(ours: Sequence[Quality], photos: Sequence[Quality]) -> float | None:
    """Years; only some engines guess ages."""
    ages = [[face.age for face in faces if face.age is not None] for faces in (ours, photos)]
    return float(np.median(ages[0]) - np.median(ages[1])) if min(map(len, ages)) >= LEAST_FACES else None


def _sex_changes(ours: Sequence[Quality], photos: Sequence[Quality]) -> float | None:
    """The share of faces that are taken for another sex than most photos; only some engines guess it."""
    sexes = [[face.sex for face in faces if face.sex is not None] for faces in (ours, photos)]
    if min(map(len, sexes)) < LEAST_FACES:
        return None
    usual = Counter(sexes[1]).most_common(1)[0][0]
    return sum(sex != usual for sex in sexes[0]) / len(sexes[0])


def _large(faces: Sequence[Quality]) -> list[Quality]:
    return [face for face in faces if face.px >= _LARGE]


def _with_texture(faces: Sequence[Quality]) -> list[Quality]:
    return [face for face in faces if face.texture is not None]


def _texture(faces: Sequence[Quality]) -> Numbers:
    """Median detail, contrast, colour, clipped share, and sharpness of the whole face."""
    rows = [(t.detail, t.contrast, t.colour, t.clipped, face.blur) for face in faces if (t := face.texture) is not None]
    return np.asarray(np.median(np.array(rows, np.float64), 0), np.float64)
