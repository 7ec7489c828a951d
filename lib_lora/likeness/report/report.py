"""Defines the report of a set of pictures: what was measured, on how many, how sure it is, and what follows.

Written as JSON by `save`. It holds no embeddings and no pictures; pictures are named by their paths relative to it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lib_lora import files, typed_settings
from lib_lora.errors import UserError
from lib_lora.faces.face import FaceEngine
from lib_lora.likeness.measure import intervals
from lib_lora.likeness.measure.calibration import Calibration
from lib_lora.likeness.measure.face_measure import ImageScore, Measured
from lib_lora.likeness.measure.refusals import LineRefusal, kept_refusal, with_refusal
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.measure.vae_ceiling import Ceiling
from lib_lora.likeness.verdict.facts import GONE, Asked, Facts, PictureFacts, Status, Training, flat, nested, status_of
from lib_lora.likeness.verdict.metrics import facts_of, training_facts
from lib_lora.likeness.verdict.picture_set import PictureSet
from lib_lora.likeness.verdict.prompt_adherence import Missed, missed
from lib_lora.likeness.verdict.traits import copy_limits, is_copy
from lib_lora.likeness.verdict.verdict import Verdict, judge
from lib_lora.workspace.grid_files import REPORT_VERSION

Role = Literal["lora", "base", "leak"]
SMALL_PRINT = (
    "Similarity is not proof of identity: this compares pictures with each other and identifies nobody.",
    "Face recognisers are less exact for some groups of people than for others; the lines are drawn for this "
    "character alone and cannot be used for another.",
    "One picture scatters by about 0.05; only the set is judged.",
)


@dataclass(frozen=True)
class FurtherLora:
    """A LoRA that was used beside the tested one: its file name, and its weight."""

    file: str
    weight: float


@dataclass(frozen=True)
class TrainingCost:
    """What the training of a run has cost so far, whichever of its checkpoints is tested.

    Attributes:
        steps: that were done, those done twice after a crash included.
        seconds: of these steps, without loading, saving and painting on the way; on several devices in turn of all.
        memory: at most, in bytes: a GPU's, or of the whole process on a CPU; of the main process where several train.
            0 = not known.
        bytes: of the tested LoRA's file; 0 = it is not there.
        times: how many times as long a step takes as without output preservation and that of phrases, roughly.
    """

    steps: int
    seconds: float
    memory: int = 0
    bytes: int = 0
    times: float = 1.0


@dataclass(frozen=True)
class Subject:
    """What the pictures are of, and how they were made.

    Attributes:
        character: name.
        lora: file name; empty for pictures that come from nowhere in particular.
        base: file name of the base model.
        run: its identifier.
        more: further LoRAs beside `lora`.
        cost: of the run's training; None where that is not known.
    """

    character: str
    lora: str = ""
    base: str = ""
    run: str = ""
    more: list[FurtherLora] = field(default_factory=list)
    cost: TrainingCost | None = None


@dataclass(frozen=True)
class ReferencePhoto:
    """One photo of the character: its name, leave-one-out likeness, whether it is in the template, and why not."""

    file: str
    likeness: float | None
    used: bool
    remark: str = ""


@dataclass(frozen=True)
class Row:
    """One picture.

    Attributes:
        role: with the LoRA ("lora"; also pictures that come from nowhere in particular), without it ("base"), or with
            it but without the trigger ("leak").
        path: relative to the report's folder, with forward slashes; absolute where it lies elsewhere.
        status: see `facts.status_of`.
        copy: it repeats a photo.
        asked: what it was asked to show.
        score: the numbers.
        adherence: CLIP's text-image cosine; None without CLIP.
    """

    role: Role
    path: str
    status: Status
    copy: bool
    asked: Asked
    score: ImageScore
    adherence: float | None = None


@dataclass(frozen=True)
class Share:
    """A share of the pictures with its 95 % interval (Wilson)."""

    name: str
    hits: int
    of: int
    low: float
    high: float


@dataclass(frozen=True)
class Tested:
    """Retention of one checkpoint at one weight, as measured on a grid."""

    step: int
    weight: float
    retention: float


@dataclass(frozen=True)
class Report:
    """Everything, ready to be kept and shown.

    Attributes:
        verdict, facts, calibration: see there.
        subject: what was tested.
        engine: id of the face engine; `licence` of its models.
        ruler: digest of the engine and of the photos; likenesses measured with two rulers cannot be compared.
        made: ISO 8601 date and time in UTC.
        photos, pictures: one row each.
        shares: how many are ok, lost, ...
        tested: retention by step and weight in this run, this report's own included.
        clip: the CLIP model that measured adherence and variety; empty where there is none on the machine.
        small_print: what the numbers are not.
        missed: what pictures were asked to show and do not.
        ceiling: the photos after the base model's VAE; empty where that was not measured.
        version: of this layout.
    """

    verdict: Verdict
    facts: Facts
    calibration: Calibration
    subject: Subject
    engine: str
    licence: str
    made: str
    photos: list[ReferencePhoto] = field(default_factory=list)
    pictures: list[Row] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)
    clip: str = ""
    ruler: str = ""
    small_print: list[str] = field(default_factory=lambda: list(SMALL_PRINT))
    missed: list[Missed] = field(default_factory=list)
    ceiling: list[Ceiling] = field(default_factory=list)
    version: int = REPORT_VERSION

    def of(self, role: Role) -> list[Row]:
        """The pictures of one role."""
        return [row for row in self.pictures if row.role == role]


@dataclass(frozen=True)
class Paths:
    """Where the pictures of a `PictureSet` lie, each list in the same order, as they should be named in the report."""

    pictures: Sequence[str]
    base: Sequence[str] = ()
    leak: Sequence[str] = ()


@dataclass(frozen=True)
class Basis:
    """What the judgement of pictures rests on.

    Attributes:
        template, calibration: of the character.
        licence: of the face engine's models.
        ruler, ceiling: see `Report`.
    """

    template: Template
    calibration: Calibration
    licence: str
    ruler: str = ""
    ceiling: Sequence[Ceiling] = ()


def make(shown: PictureSet, paths: Paths, basis: Basis, subject: Subject, tested: Sequence[Tested] = ()) -> Report:
    """The report of measured pictures.

    Args:
        shown: the pictures and what they are compared with.
        paths: their names.
        basis: what they are judged by.
        subject: what was tested.
        tested: earlier grids of the same run.
    """
    template, calibration = basis.template, basis.calibration
    facts = facts_of(shown, template, calibration)
    limits = copy_limits(template)
    with_clip, without_clip = shown.adherence or ([], [])

    def rows(
        role: Role, names: Sequence[str], pictures: Sequence[Measured], asked: Sequence[Asked], clip: Sequence[float]
    ) -> list[Row]:
        return [
            Row(
                role=role,
                path=name,
                status=status_of(item.score, calibration),
                copy=role != "base" and is_copy(item.score, limits),
                asked=what,
                score=item.score,
                adherence=clip[number] if clip else None,
            )
            for number, (name, item, what) in enumerate(zip(names, pictures, asked, strict=True))
        ]

    leak = shown.leak or []
    ours = rows("lora", paths.pictures, shown.pictures, shown.asked, with_clip)
    base = rows("base", paths.base, shown.base, shown.asked, without_clip) if shown.base and paths.base else []
    if facts.identity.retention is not None and facts.training.step is not None:
        here = (facts.training.step, facts.training.weight)
        tested = [one for one in tested if (one.step, one.weight) != here] + [Tested(*here, facts.identity.retention)]
    return Report(
        verdict=judge(facts),
        facts=facts,
        calibration=calibration,
        subject=subject,
        engine=template.engine,
        licence=basis.licence,
        made=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        photos=[ReferencePhoto(item.file, item.likeness, item.used, item.remark) for item in template.references],
        pictures=[*ours, *base, *rows("leak", paths.leak, leak, [Asked()] * len(leak), [])],
        shares=_shares(facts),
        clip=shown.clip,
        ruler=basis.ruler,
        tested=sorted(tested, key=lambda one: (one.weight, one.step)),
        missed=missed(*([(row.path, row.asked, row.score) for row in part] for part in (ours, base))),
        ceiling=list(basis.ceiling),
    )


SHARES = (  # names of `Report.shares`
    *("clearly this person", "drifting", "no more like the photos than a stranger"),
    *("without a face", "repeating a photo"),
)


def _shares(facts: Facts) -> list[Share]:
    pictures = facts.pictures
    judged = pictures.counted if facts.lines.keep is not None else 0
    counts = [
        (pictures.ok, judged),
        (pictures.drifting, judged),
        (pictures.lost, judged),
        (pictures.no_face, pictures.read),
        (facts.copies.count, pictures.read),
    ]
    found = [
        (name, hits, of, intervals.wilson(hits, of)) for name, (hits, of) in zip(SHARES, counts, strict=True) if of
    ]
    return [Share(name, hits, of, share.low, share.high) for name, hits, of, share in found]


def save(report: Report, path: Path) -> None:
    """Write the report as JSON, atomically."""
    files.write_json(path, values_of(report))


def values_of(report: Report) -> dict[str, Any]:
    """A report as plain values, with all facts side by side."""
    values = typed_settings.to_dict(report)
    calibration = {**values["calibration"], **kept_refusal(report.calibration.refusal)}
    return {**values, "calibration": calibration, "facts": flat(report.facts)}


def load(path: Path) -> Report:
    """Read a report that `save` wrote.

    Raises:
        UserError: missing, damaged, or of another version.
    """
    values = files.read_json(path)
    if not isinstance(values, dict) or values.get("version") != REPORT_VERSION:
        raise UserError(
            f"{path} is not a report of this version of SameFace; test the LoRA again.",
            code="report-of-other-version",
            file=path,
        )
    return from_values(values, str(path))


def from_values(values: dict[str, Any], where: str = "the report") -> Report:
    """A report from what `values_of` gave, in this version or an earlier one.

    Raises:
        UserError: a value is unknown, missing or of the wrong type.
    """
    facts = values.get("facts")
    if isinstance(values.get("calibration"), dict):
        values = {**values, "calibration": with_refusal(values["calibration"])}
    if isinstance(facts, dict):
        values = {**values, "facts": nested({name: value for name, value in facts.items() if name not in GONE})}
    return typed_settings.from_dict(Report, values, where)


def refused(
    refusal: LineRefusal,
    paths: Paths,
    asked: Sequence[Asked],
    subject: Subject,
    engine: FaceEngine,
    ruler: str = "",
    training: Training | None = None,
) -> Report:
    """The report of pictures that cannot be compared with anything, because no photo shows a face.

    Args:
        refusal: why.
        paths, asked: of the pictures.
        subject: what was tested.
        engine: that looked at the photos.
        ruler: see `Report`.
        training: where in a run they come from; None = from none.
    """
    pictures = PictureFacts(count=len(paths.pictures))
    facts = Facts(refusal=refusal, pictures=pictures, training=training_facts(training or Training()))

    def rows(role: Role, names: Sequence[str]) -> list[Row]:
        return [
            Row(role, name, "unjudged", False, asked[number] if role != "leak" else Asked(),
                ImageScore(name.rpartition("/")[2], None, "not compared", 0))
            for number, name in enumerate(names)
        ]  # fmt: skip

    return Report(
        verdict=judge(facts),
        facts=facts,
        calibration=Calibration(None, None, [], None, refusal),
        subject=subject,
        engine=engine.id,
        licence=engine.licence,
        made=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        pictures=[*rows("lora", paths.pictures), *rows("base", paths.base), *rows("leak", paths.leak)],
        ruler=ruler,
    )
