"""Reports made by hand, without a face engine: one that has everything, one without lines, and hostile names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lib_lora.likeness.measure.calibration import BASE, COHORT, Calibration, Lines, Scores
from lib_lora.likeness.measure.face_measure import ImageScore
from lib_lora.likeness.measure.refusals import recognised_refusal
from lib_lora.likeness.report.report import ReferencePhoto, Report, Role, Row, Share, Subject, Tested, TrainingCost
from lib_lora.likeness.verdict.facts import Asked, Facts, Status, from_flat
from lib_lora.likeness.verdict.verdict import Verdict

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}</style></title>-->"
CONTROL = "a\x1b[31mb\x07c\x9bd\u202ee\udcfff\rg\nh"

VERDICT = Verdict(
    kind="consistent",
    rule="consistent",
    headline="The face holds",
    because="91% of the identity is kept.",
    advice="Keep it.",
    action="keep",
    value=None,
    drift=False,
    judged=True,
    notes=["The eyes have another colour."],
)
CALIBRATION = Calibration(
    photos=Scores("photos", 12, 0.90, 0.03, 0.89, 0.04, 0.95),
    ceiling=Scores("ceiling", 12, 0.82, 0.03, 0.81, 0.04, 0.88),
    impostors=[
        Scores(BASE, 8, 0.40, 0.08, 0.41, 0.09, 0.60, 8.0),
        Scores(COHORT, 40, 0.35, 0.09, 0.36, 0.09, 0.58, 8.0),
    ],
    lines=Lines(0.40, BASE, 0.76, 0.64),
)


def facts_by_name(**values: Any) -> Facts:
    """Facts by the names that a report keeps them by; all others as they are where nothing was measured."""
    return from_flat(values)


FACTS = facts_by_name(
    keep=0.76, same=0.64, photos=12, pictures=6, read=5, faces=4, counted=3, no_face=1, retention=0.8,
    retention_low=0.7, retention_high=0.9, retention_best=0.95, ceiling_retention=0.84, ok=1, drifting=1, lost=1,
    copies=1, leak=1, leak_cells=2, step=800, uplift_pairs=3,
)  # fmt: skip


def row(
    role: Role, path: str, status: Status, likeness: float | None = None, reason: str = "", copy: bool = False
) -> Row:
    """One picture; its nearest photo is near.jpg, the one it repeats whole.jpg."""
    near = None if likeness is None else "near.jpg"
    score = ImageScore(
        image=path.rpartition("/")[2], likeness=likeness, reason=reason, faces=int(likeness is not None), nearest=near,
        nearest_likeness=None if near is None else 0.71, nearest_copy="whole.jpg" if copy else None,
        copy_bits=3 if copy else None,
    )  # fmt: skip
    return Row(role, path, status, copy, Asked(prompt=f"prompt of {path[-2:]}"), score)


COST = TrainingCost(800, 185.0, 3 << 30, 4_100_000)
WITH = [
    row("lora", "cells/01", "ok", 0.93, copy=True),
    row("lora", "cells/02", "drift", 0.70),
    row("lora", "cells/03", "lost", 0.30),
    row("lora", "cells/04", "suspect", 0.51, "the face is only 31 pixels"),
    row("lora", "cells/05", "no face", None, "no face found"),
    row("lora", "cells/06", "unreadable", None, "cells/06 is no picture."),
]
WITHOUT = [row("base", f"plain/0{number}", "lost", 0.2 + number / 100) for number in range(1, 7)]
LEAK = [row("leak", "leak/01", "ok", 0.80), row("leak", "leak/02", "lost", 0.21)]


def full() -> Report:
    """Everything is there."""
    return Report(
        verdict=VERDICT,
        facts=FACTS,
        calibration=CALIBRATION,
        subject=Subject("Mara", "mara-000800.safetensors", "base.safetensors", "003", cost=COST),
        engine="toy-engine:1234",
        licence="toy licence, commercial use permitted",
        made="2026-11-25T09:00:00+00:00",
        photos=[
            ReferencePhoto("beach.jpg", 0.91, True),
            ReferencePhoto("odd.jpg", 0.80, True, "two faces"),
            ReferencePhoto("aunt.jpg", 0.2, False, "looks unlike the others"),
        ],
        pictures=[*WITH, *WITHOUT, *LEAK],
        shares=[Share("clearly this person", 1, 3, 0.06, 0.79)],
        tested=[Tested(400, 1.0, 0.6), Tested(800, 1.0, 0.8), Tested(400, 0.8, 0.5), Tested(800, 0.8, 0.7)],
    )


def refused() -> Report:
    """No line could be drawn, and next to nothing is known."""
    reason = "only 2 photos show a face"
    verdict = replace(
        VERDICT, kind="not measurable", headline="No verdict", because="Only 2 photos show a face.", judged=False,
        advice="Add photos.", notes=[],
    )  # fmt: skip
    return Report(
        verdict=verdict,
        facts=from_flat({"refusal": reason, "pictures": 1, "read": 1}),
        calibration=Calibration(None, None, [], None, recognised_refusal(reason)),
        subject=Subject("Mara"),
        engine="toy",
        licence="toy",
        made="2026-11-25T09:00:00+00:00",
        pictures=[row("lora", "x.png", "unjudged", 0.5)],
    )


def empty() -> Report:
    """Not even a picture."""
    return replace(refused(), pictures=[])


def named(name: str) -> Report:
    """Everything that comes from outside is called `name`."""
    report = full()

    def renamed(item: Row) -> Row:
        score = replace(item.score, image=name, nearest=name, nearest_copy=name, reason=item.score.reason and name)
        return replace(item, path=f"{item.path}{name}", asked=Asked(prompt=name), score=score)

    calibration = replace(CALIBRATION, impostors=[replace(item, name=name) for item in CALIBRATION.impostors])
    return replace(
        report,
        verdict=replace(VERDICT, because=name, advice=name, headline=name, notes=[name]),
        calibration=replace(calibration, lines=replace(CALIBRATION.lines or Lines(0, "", 0, 0), zero_of=name)),
        subject=Subject(name, name, name, name),
        engine=name,
        licence=name,
        made=name,
        photos=[ReferencePhoto(name, 0.9, True, name), ReferencePhoto(name, 0.2, False, name)],
        pictures=[renamed(item) for item in report.pictures],
        shares=[replace(report.shares[0], name=name)],
        small_print=[name],
    )
