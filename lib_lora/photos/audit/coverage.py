"""Measures how varied a set of photos is (framing, angles, background, clothes, light), and what is missing.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import pstdev
from typing import get_args

from lib_lora.captions.photo_facts import AuditedPhoto, FaceFacts
from lib_lora.captions.slots import Angle, Framing, angle, framing
from lib_lora.character.photo_counts import BEST_COUNT, FEW_BELOW, LEAST_TO_TRAIN
from lib_lora.faces.picture_descriptors import largest_group
from lib_lora.photos.audit.findings import Code, Finding

VARIED_FROM = 8  # photos from which variety can be told
ALIKE = 0.4  # share of the photos that may have one background, or one set of clothes
SAME_BACKDROP, SAME_CLOTHES = 0.35, 0.3  # Hellinger distance of the histograms; nearer ones are the same
LIGHT_SPREAD, WARMTH_SPREAD, SIDE_SPREAD = 12.0, 3.0, 0.06  # standard deviations; a session has less of all
MISSING: dict[Angle, str] = {
    "profile from the left": "profile from the left",
    "from the left": "three-quarter view from the left",
    "ahead": "view from the front",
    "from the right": "three-quarter view from the right",
    "profile from the right": "profile from the right",
}
SHORT: dict[Angle, str] = {  # as a table's heads
    "profile from the left": "profile left",
    "from the left": "left",
    "ahead": "ahead",
    "from the right": "right",
    "profile from the right": "profile right",
}


@dataclass(frozen=True)
class Coverage:
    """How many photos show what.

    Attributes:
        table: by framing, the number of photos for each angle.
        missing: what no photo shows, in words.
    """

    table: dict[Framing, dict[Angle, int]]
    missing: list[str]

    @property
    def angles(self) -> dict[Angle, int]:
        """Photos of each angle, whatever the framing."""
        return {one: sum(row[one] for row in self.table.values()) for one in get_args(Angle)}


def coverage(photos: Sequence[AuditedPhoto]) -> Coverage:
    """The small map of a set: framing against angle. Photos without a face are not on it."""
    table: dict[Framing, dict[Angle, int]] = {row: dict.fromkeys(get_args(Angle), 0) for row in get_args(Framing)}
    for face in _faces(photos):
        table[framing(face)][angle(face)] += 1
    shown = Coverage(table, [])
    missing = [_lack(words) for one, words in MISSING.items() if not shown.angles[one]]
    missing += [_lack(row) for row, counts in table.items() if not any(counts.values())]
    return Coverage(table, missing)


def all_missing() -> list[str]:
    """Everything that `Coverage.missing` can name."""
    return [_lack(words) for words in (*MISSING.values(), *get_args(Framing))]


def _lack(words: str) -> str:
    return f"no {words}"


def of_set(photos: Sequence[AuditedPhoto]) -> list[Finding]:
    """What is wrong with a set of photos (those that will be trained on); empty where all is well."""
    found = list(_count(len(photos)))
    if len(photos) >= VARIED_FROM:
        found += [*_views(photos), *_alike(photos), *_one_light(photos)]
    return found


def of_people(people: Sequence[Sequence[str]]) -> list[Finding]:
    """One finding where a set shows more than one person.

    Args:
        people: file names of each one's photos.
    """
    if len(people) < 2:
        return []
    each = [{"photos": len(files), "like": files[0]} for files in people]
    return [Finding("", "several-people", "drop", len(people), 1, {"people": each})]


def _count(count: int) -> Iterator[Finding]:
    if count < LEAST_TO_TRAIN:
        yield Finding("", "too-few-photos", "drop", count, LEAST_TO_TRAIN)
    elif count < FEW_BELOW:
        yield Finding("", "few-photos", "look", count, FEW_BELOW)
    elif count > BEST_COUNT[1]:
        yield Finding("", "many-photos", "look", count, BEST_COUNT[1])


def _views(photos: Sequence[AuditedPhoto]) -> Iterator[Finding]:
    missing = coverage(photos).missing
    if missing:
        yield Finding("", "missing-views", "look", len(missing), 0, {"photos": len(photos), "missing": missing})


def _alike(photos: Sequence[AuditedPhoto]) -> Iterator[Finding]:
    kinds: list[tuple[Code, Callable[[AuditedPhoto], list[float]], float]] = [
        ("one-background", lambda photo: photo.facts.backdrop, SAME_BACKDROP),
        ("one-outfit", lambda photo: photo.facts.clothes, SAME_CLOTHES),
    ]
    for code, histogram, limit in kinds:
        shown = [histogram(photo) for photo in photos if histogram(photo)]
        if len(shown) < VARIED_FROM:
            continue
        share = largest_group(shown, limit) / len(shown)
        if share > ALIKE:
            yield Finding("", code, "look", share, ALIKE)


def _one_light(photos: Sequence[AuditedPhoto]) -> Iterator[Finding]:
    faces = _faces(photos)
    if len(faces) < VARIED_FROM:
        return
    light = pstdev(face.light for face in faces)
    warmth, side = pstdev(face.warmth for face in faces), pstdev(face.side for face in faces)
    if light < LIGHT_SPREAD and warmth < WARMTH_SPREAD and side < SIDE_SPREAD:
        yield Finding("", "one-light", "look", light, LIGHT_SPREAD)


def _faces(photos: Sequence[AuditedPhoto]) -> list[FaceFacts]:
    return [photo.facts.face for photo in photos if photo.facts.face is not None]
