"""Computes facts from measured pictures, and leaves out what cannot be measured.

Pure functions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lib_lora.faces.array_text import unpacked
from lib_lora.faces.unjudgeable import COVERS, STYLES
from lib_lora.likeness.measure import intervals
from lib_lora.likeness.measure.calibration import BASE, LEAST_FACES, Calibration, distance
from lib_lora.likeness.measure.face_measure import Measured
from lib_lora.likeness.measure.template import Template
from lib_lora.likeness.verdict import prompt_adherence, traits
from lib_lora.likeness.verdict.facts import (
    NO_FACE,
    BaseComparison,
    CeilingFacts,
    Facts,
    IdentityFacts,
    LineFacts,
    PictureFacts,
    ReferenceFacts,
    Training,
    TrainingFacts,
    statuses,
)
from lib_lora.likeness.verdict.picture_set import PictureSet, likenesses, mean_pair, mutual, paired_cosine, pairs, share
from lib_lora.likeness.verdict.rule_conditions import FALLEN, KEPT, RISING
from lib_lora.likeness.verdict.traits import TURNED

LEAST_GAIN = 0.1  # of likeness; a share of less is noise
LEAST_LEAK = 3  # faces with the trigger and without it, for the leak as a share
# Of the proposed steps; a later checkpoint with fewer helped six of eight people, training on all (docs/likeness.md).
WORTH_A_TEST = 0.25


def facts_of(shown: PictureSet, template: Template, calibration: Calibration) -> Facts:
    """Everything that the pictures show.

    Raises:
        ValueError: sets that belong together differ in length.
    """
    if len(shown.asked) != len(shown.pictures) or (shown.base is not None and len(shown.base) != len(shown.pictures)):
        raise ValueError("pictures, what they were asked to show and those without the LoRA are not equally many")
    identity = _identity(shown, template, calibration)
    lines = calibration.lines
    return Facts(
        refusal=calibration.refusal,
        lines=LineFacts(lines.keep, lines.same) if lines else LineFacts(),
        photos=_photos(template, calibration),
        ceiling=_ceiling(calibration, shown.ceiling_lost),
        pictures=_seen(shown, calibration),
        identity=identity,
        base=_base(shown, template, calibration),
        copies=traits.copies(shown, template),
        variety=traits.varied(shown),
        angles=traits.angles(shown, template, calibration),
        attribute=traits.attributes(shown, calibration),
        prompt=prompt_adherence.followed(shown),
        surface=traits.surface(shown, template),
        training=training_facts(shown.training, identity.retention, identity.retention_best),
    )


def _photos(template: Template, calibration: Calibration) -> ReferenceFacts:
    used = [item for item in template.used if item.face is not None]
    yaws = [item.face.yaw for item in used if item.face is not None]
    separations = [item.separation for item in calibration.impostors if item.separation is not None]
    vectors = [unpacked(item.embedding) for item in used if item.embedding]
    return ReferenceFacts(
        count=len(used),
        outliers=sum(item.outlier for item in template.references),
        left=sum(yaw < -TURNED for yaw in yaws),
        right=sum(yaw > TURNED for yaw in yaws),
        separation=min(separations, default=None),
        mutual=mean_pair(vectors),
        yaw_spread=float(np.std(yaws)) if len(yaws) >= LEAST_FACES else None,
    )


def _ceiling(calibration: Calibration, lost: float | None) -> CeilingFacts:
    top = calibration.ceiling
    return CeilingFacts(
        retention=calibration.retention(top.median) if top and calibration.lines else None,
        separation=min((distance(top, item) for item in calibration.impostors), default=None) if top else None,
        lost=lost,
    )


def _seen(shown: PictureSet, calibration: Calibration) -> PictureFacts:
    scores = [item.score for item in shown.pictures]
    named = statuses(scores, calibration)
    faults = [score.face.fault if score.face else "" for score in scores]
    read = len(scores) - named.count("unreadable")
    small, blurred = faults.count("small"), faults.count("blurred")
    unsure = faults.count("unsure") + faults.count("cut")
    hidden = Counter(fault for fault in faults if fault in (*COVERS, *STYLES))
    several = sum(score.faces > 1 for score in scores)
    full = [asked.framing == "full" for asked in shown.asked]
    return PictureFacts(
        count=len(scores),
        read=read,
        faces=sum(score.faces > 0 for score in scores),
        counted=sum(score.counts for score in scores),
        no_face=named.count("no face"),
        no_face_share=share(named.count("no face"), read),
        no_face_more=named.count("no face") / read - (_without_face(shown.without or ()) or 0.0) if read else None,
        small=small,
        small_share=share(small, read),
        small_full=sum(fault == "small" and whole for fault, whole in zip(faults, full, strict=True)),
        blurred=blurred,
        blurred_share=share(blurred, read),
        unsure=unsure,
        unsure_share=share(unsure, read),
        hidden=hidden.total(),
        hidden_share=share(hidden.total(), read),
        hidden_by=max(hidden, key=lambda kind: hidden[kind], default=None),
        several=several,
        several_share=share(several, read),
        ok=named.count("ok"),
        drifting=named.count("drift"),
        lost=named.count("lost"),
        sampling_steps=shown.sampling_steps,
    )


def _without_face(pictures: Sequence[Measured]) -> float | None:
    """The share of pictures without a face; None if there are no pictures."""
    return share(sum(item.score.reason == NO_FACE for item in pictures), len(pictures))


def _blurred(pictures: Sequence[Measured]) -> float | None:
    """The share of pictures whose face is too blurred to measure; None if there are no pictures."""
    return share(
        sum(item.score.face is not None and item.score.face.fault == "blurred" for item in pictures), len(pictures)
    )


def _identity(shown: PictureSet, template: Template, calibration: Calibration) -> IdentityFacts:
    values = likenesses(shown.pictures)
    if not len(values):
        return IdentityFacts()
    facts = IdentityFacts(
        likeness=float(values.mean()),
        likeness_p10=float(np.percentile(values, 10)),
        lowest=float(values.min()),
    )
    if len(values) < LEAST_FACES or calibration.lines is None:
        return facts
    prompts = [
        asked.prompt or str(number)
        for number, (asked, item) in enumerate(zip(shown.asked, shown.pictures, strict=True))
        if item.score.counts
    ]
    low, high = intervals.bootstrap(lambda rows: values[rows].mean(1), len(values), prompts)
    mean = float(values.mean())
    under_keep = int((values < calibration.lines.keep).sum())
    own = calibration.least_mean(len(values)) if under_keep else calibration.lines.keep
    as_strangers = float(calibration.lines.as_strangers(values).sum())
    alarm_from = intervals.alarm_from(len(values), *calibration.own_as_strangers())
    return replace(
        facts,
        own_retention=calibration.retention_of_best(own) if as_strangers < alarm_from else None,
        retention=calibration.retention(mean),
        retention_low=calibration.retention(low),
        retention_high=calibration.retention(high),
        retention_best=calibration.retention_of_best(mean),
        lost_share=float((values < calibration.lines.same).mean()),
        under_keep=under_keep,
        as_strangers=as_strangers,
        alarm_from=alarm_from,
        lower_p=intervals.lower_p(values, template.loo),
        mutual=mutual(shown.pictures),
    )


def _base(shown: PictureSet, template: Template, calibration: Calibration) -> BaseComparison:
    facts = BaseComparison()
    if shown.without is not None:
        gains = pairs(shown.pictures, shown.base) if shown.base is not None else likenesses(())
        between = mutual(shown.without)
        photos = mean_pair([unpacked(item.embedding) for item in template.used if item.embedding])
        facts = BaseComparison(
            mutual=between,
            mutual_like=max(between + 0.2, 0.75 * photos) if between is not None and photos is not None else None,
            no_face_share=_without_face(shown.without),
            blurred_share=_blurred(shown.without),
            alike=paired_cosine(shown.pictures, shown.base) if shown.base is not None else None,
            uplift_pairs=len(gains),
            uplift=float(gains.mean()) if len(gains) >= LEAST_FACES else _unpaired_uplift(shown),
            uplift_p=intervals.paired_p(gains) if len(gains) >= LEAST_FACES else None,
        )
    if shown.leak is not None and calibration.lines:
        found = [item.score.likeness for item in shown.leak if item.score.likeness is not None and item.score.counts]
        leak = sum(value >= calibration.lines.same for value in found)
        facts = replace(facts, leak=leak, leak_cells=len(shown.leak), leak_share=_leak_share(shown, calibration))
    if shown.adherence is not None and len(shown.adherence[0]):
        with_lora, without = (np.asarray(side, np.float64) for side in shown.adherence)
        facts = replace(facts, adherence=float((with_lora - without).mean()))
    return facts


def _unpaired_uplift(shown: PictureSet) -> float | None:
    """Mean likeness minus that of pictures without the LoRA of other prompts; None where there are too few."""
    ours, others = likenesses(shown.pictures), likenesses(shown.unpaired)
    return float(ours.mean() - others.mean()) if min(len(ours), len(others)) >= LEAST_FACES else None


def _leak_share(shown: PictureSet, calibration: Calibration) -> float | None:
    """Mean gain over the base model's median likeness without the trigger, as a share of that with it.

    None where the zero is not the base model's, fewer than three pictures without the trigger can be judged, or the
    LoRA gains next to nothing.
    """
    lines = calibration.lines
    without = likenesses(shown.leak or ())
    with_it = likenesses(shown.pictures)
    if lines is None or lines.zero_of != BASE or min(len(without), len(with_it)) < LEAST_LEAK:
        return None
    gain = float(with_it.mean()) - lines.zero
    return (float(without.mean()) - lines.zero) / gain if gain >= LEAST_GAIN else None


def training_facts(run: Training, now: float | None = None, best: float | None = None) -> TrainingFacts:
    """Of retention against the photos (`now`) and against the ceiling; None where they were not measured."""
    lower, much_lower = (round(min(run.weight * factor, 1.0), 2) for factor in (0.8, 0.6))
    facts = TrainingFacts(
        step=run.step,
        weight=run.weight,
        saved_weight=run.saved_weight,
        whole_weight=round(1 / run.saved_weight, 2),
        lower=lower,
        much_lower=much_lower,
        class_photos=run.class_photos,
        preserved=run.preserved,
        hears_text=run.hears_text,
        named=run.named,
        judge_trained=run.judge_trained,
        higher_tested=run.higher_tested,
        beside=run.beside,
    )
    if run.step is None:
        return facts
    earlier, later, last = run.neighbours[0], later_step(run, now), max(run.step, run.last or 0)
    facts = replace(
        facts,
        last=last,
        as_many=steps_to_train(run, last, 1.0),
        unfinished=max(0.0, 1 - last / run.proposed) if run.proposed else None,
        earlier=earlier,
        later=later,
        later_sends_back=later in run.sent_back,
        earlier_sends_back=earlier in run.sent_back,
    )
    before = [(step, kept) for step, kept in run.tested if step < run.step]
    usable = [(step, kept) for step, kept in before if step not in run.sent_back]
    midway, usable_step = _earlier_steps(run, usable, now)
    facts = replace(facts, midway=midway, usable_step=usable_step)
    if now is None or best is None:
        return facts
    after = None if later is None else dict(run.tested).get(later)
    gain = None if after is None else after - now
    facts = replace(facts, more=steps_to_train(run, last, share_to_train(best)), later_gain=gain)
    if before:
        best_kept, best_step = max((kept, -step) for step, kept in usable or before)
        facts = replace(facts, best_step=-best_step, fallen=best_kept - now, risen=now - max(before)[1])
    return replace(facts, gained=_gained(run, now))


def _earlier_steps(
    run: Training, usable: Sequence[tuple[int, float]], now: float | None
) -> tuple[int | None, int | None]:
    """`TrainingFacts.midway` and `usable_step`; `usable` are step and retention of the tests that do not send back."""
    if not usable:
        return run.midway(), None
    step, kept = max(usable, key=lambda one: (one[1], -one[0]))
    between = run.midway(after=step)
    better = now is None or kept - now >= RISING
    best_left = between is None and now is not None and kept >= now / 2
    return between, step if better or best_left else None


def _gained(run: Training, now: float) -> float | None:
    """See `TrainingFacts.gained`."""
    step = run.step or 0
    kept = dict(run.tested) | {step: now}
    after = [value for at, value in kept.items() if at > run.restarted] if step <= run.restarted else [now]
    return max(after) - kept[run.restarted] if after and run.restarted and run.restarted in kept else None


def later_step(run: Training, now: float | None) -> int | None:
    """See `TrainingFacts.later`; `now` is the retention of the step tested, None where it was not measured."""
    if run.step is None:
        return None
    step = run.step
    later = sorted(one for one in run.saved if one > step)
    if now is None:
        return min(later, default=None)
    tested = {one: kept for one, kept in run.tested if one in later}
    kept, best = max(((kept, one) for one, kept in tested.items() if one not in run.sent_back), default=(now, step))
    if kept - now >= RISING:
        return best
    worse = [one for one in later if one in run.sent_back or tested.get(one, now) - now <= -FALLEN]
    end = min(worse, default=None)
    untested = [one for one in later if one not in tested and one >= run.proposed * WORTH_A_TEST]
    before = [one for one in untested if end is None or one < end]
    if before:
        return min(before, key=lambda one: abs(one - 2 * step))
    return end or max(tested, default=None)


def steps_to_train(run: Training, last: int, share: float) -> int:
    """A share of the steps so far, or what is left of those that are proposed for its photos if that is more; in tens,
    rounded up, at least 10."""
    return max(10, math.ceil(max(last * share, run.proposed - last) / 10) * 10)


def share_to_train(kept: float) -> float:
    """What share of the steps so far to train on, so that the identity kept reaches `KEPT` if it rises as it did.

    It rises fast first and slowly later, so this is rather too little; as many again at least (half as many were
    followed in vain: docs/likeness.md), three times as many at most. A run that is shorter than what is proposed for
    its photos is told to go that far (`steps_to_train`).
    """
    return min(3.0, max(1.0, KEPT / max(kept, 1e-6) - 1))
