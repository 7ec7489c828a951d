"""Puts together the audit of a character's photos: what was found, what is proposed, and what the user decided.

Nothing is left out by itself: a photo stays in until the user says that it goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from lib_lora.captions.photo_facts import AuditedPhoto
from lib_lora.photos.audit import coverage, findings
from lib_lora.photos.audit.coverage import Coverage
from lib_lora.photos.audit.findings import Finding
from lib_lora.photos.audit.identity_clusters import LEAST

PhotoDecision = Literal["keep", "drop"]


@dataclass(frozen=True)
class Audited:
    """One photo.

    Attributes:
        photo: with all that is known of it.
        findings: what speaks against it.
        decision: the user's; None where there is none yet.
    """

    photo: AuditedPhoto
    findings: list[Finding]
    decision: PhotoDecision | None = None

    @property
    def used(self) -> bool:
        """Whether it will be trained on."""
        return self.decision != "drop"

    @property
    def proposed(self) -> bool:
        """Whether it is proposed to leave it out, and the user has not said anything to that."""
        return self.decision is None and any(finding.advice == "drop" for finding in self.findings)


@dataclass(frozen=True)
class Audit:
    """All photos of a character.

    Attributes:
        photos: by name.
        findings: about the set of those that would be left if every proposal were accepted.
        coverage: of the same photos.
        resolution: for which it was made, in pixels.
        people: file names of the photos of each person that the set shows, most photos first; more than one are a
            finding.
    """

    photos: list[Audited]
    findings: list[Finding]
    coverage: Coverage
    resolution: int
    people: list[list[str]] = field(default_factory=list)

    @property
    def proposed(self) -> list[Audited]:
        """Photos that are proposed to be left out."""
        return [item for item in self.photos if item.proposed]

    @property
    def dropped(self) -> list[Audited]:
        """Photos that the user has left out."""
        return [item for item in self.photos if not item.used]

    @property
    def stopped(self) -> bool:
        """There are too few photos to go on with."""
        return any(finding.advice == "drop" for finding in self.findings)


def audit(
    photos: Sequence[AuditedPhoto],
    decisions: Mapping[str, PhotoDecision],
    resolution: int,
    people: Sequence[Sequence[str]] = (),
) -> Audit:
    """Look through a set of photos.

    Args:
        photos: all of a character's.
        decisions: the user's, by SHA-256.
        resolution: pixels of a side of what will be trained.
        people: file names of the photos of each person that the set shows, most photos first.
    """
    blurs = [photo.facts.face.blur for photo in photos if photo.facts.face is not None]
    usual = median(blurs) if blurs else None
    audited = [
        Audited(photo, findings.of_photo(photo, resolution, usual), decisions.get(photo.sha256)) for photo in photos
    ]
    left = [item.photo for item in audited if item.used and not item.proposed and not item.photo.comparison.same_as]
    names = {photo.file for photo in left}
    shown = [there for group in people if len(there := [file for file in group if file in names]) >= LEAST]
    return Audit(
        audited, [*coverage.of_people(shown), *coverage.of_set(left)], coverage.coverage(left), resolution, shown
    )
