"""Defines the conditions that several of the verdict's rules share, and their limits.

Limits are proposals from measurements on faces of people who do not exist (docs/likeness.md has the tables).
"""

from __future__ import annotations

from lib_lora.likeness.verdict.facts import Facts
from lib_lora.likeness.verdict.rule_language import (
    Condition,
    above,
    at_least,
    at_most,
    below,
    either,
    every,
    there,
    unless,
)

KEPT = 0.85  # of the identity: the face is learned
HALF = 0.5
LEAST_SAMPLING = 5  # sampling steps; see docs/likeness.md
MANY = 0.5  # share of the pictures from which they are all like that
FEW = 0.2  # share of the pictures up to which one is an exception
NO_FACES = 0.10
COPIED = 0.05
SMOOTH = 0.6  # share of the skin's fine detail
BURNT = 1.35  # times the contrast, and the colour
SAME_FACES = 0.5  # mean cosine to those of the same seeds without the LoRA; a LoRA that has learned little has more
HARDLY_CHANGED = 0.7  # the same; weights up to 0.5 of good LoRAs that kept less than half had 0.78 (docs/likeness.md)
EFFECT = 0.05  # cosine; a smaller gain is no gain
RISING = 0.03  # of the identity, since the tested checkpoint before; less is no longer rising
FALLEN = 0.05  # of the identity, since the best tested checkpoint; further training does not help
FOLLOWED = 0.25  # of what the base model makes of a prompt; see docs/likeness.md
ALIKE = 1.03  # times the photos' mutual likeness: the pictures are more alike than the photos are
STILL = 0.6  # times the photos' spread of the heads' turns
# With class pictures 0.13 to 0.27, varied by 0.45 to 0.54; LoRAs that obey: 0.29, varied by 0.58, or more of one.
HARDLY_FOLLOWED = 0.3
UNVARIED = 0.55  # times the base model's variety
# With class pictures, of twenty pictures: 0.48 at most where prompts change little; where they change more, 0.61 at
# least in the trainings that set the limit, and 0.45 in a later one (docs/likeness.md). Of fewer pictures they overlap.
HALF_FOLLOWED = 0.5
ENOUGH_PROMPTS = 15  # counted pictures
SHARP = 0.7  # times the photos' sharpness: a picture that lacks more is blurred or small, and says nothing of skin
CAST = 1.35  # times the colour or the contrast: a cast or a grade, which hides fine detail
LEAKED = 2  # pictures without the trigger that show the person
UNTRIGGERED = 0.8  # of the gain is there without the trigger, which then has next to no effect
FEW_TURNED = 6  # photos of turned heads; with fewer the first thing to add
UNFINISHED = 0.2  # of the proposed steps
LOW_WEIGHT = 0.75  # under it the weight is the first thing to change; 0.8 is where other advice sends a burnt LoRA
PRESERVED_WEIGHT = 0.85  # mended ten of fourteen LoRAs that ignored prompts (docs/quality.md)
LOWER_PRESERVED_WEIGHT = 0.7  # where that is not enough
NEARLY_KEPT = 0.7  # after a whole training a test at a higher weight is tried before more steps, which cost more
HIGHER_WEIGHT = 1.2  # showed more of the face for 13 of 14 people (docs/likeness.md)
PRESERVATION = 1.0  # the `preservation_weight` that is advised (docs/quality.md)


def learned_at(facts: Facts) -> float:
    """The share of the identity from which it counts as learned: 85 %, or what the person's own pictures may have by
    chance, if that is less.

    Without it, pictures that are all above the keep line of photos that vary much would be called undertrained.
    """
    lowest = facts.identity.own_retention
    return KEPT if lowest is None else min(KEPT, lowest)


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


# At a higher weight than 1 a lower one is the first thing to try.
AS_TRAINED: Condition = at_most(lambda f: f.training.weight, 1.0)
AT_WEIGHT_1: Condition = every(
    at_least(lambda f: f.training.weight, 1.0),
    AS_TRAINED,
    at_least(lambda f: f.training.saved_weight, 1.0),
)
PRESERVED: Condition = every(there(lambda f: f.training.preserved), there(lambda f: f.training.hears_text))
FACES_BREAK: tuple[Condition, ...] = (
    above(lambda f: f.pictures.no_face_more, NO_FACES),
    at_least(lambda f: f.pictures.no_face, 3),
    at_most(lambda f: f.base.no_face_share, NO_FACES),
    AS_TRAINED,
)
# The LoRA's doing, not that of the prompt or of too few sampling steps, which would blur the base model's pictures too.
LORA_BLURS: tuple[Condition, ...] = (
    at_least(lambda f: f.pictures.blurred_share, MANY),
    at_most(lambda f: f.base.blurred_share, FEW),
    AS_TRAINED,
)
# A later checkpoint that is worse, or no better, is no advice: two steps would send back and forth.
LATER_WORSE: Condition = either(
    there(lambda f: f.training.later_sends_back), at_most(lambda f: f.training.later_gain, -FALLEN)
)
LATER: Condition = every(
    there(lambda f: f.training.later),
    unless(there(lambda f: f.training.later_sends_back)),
    unless(below(lambda f: f.training.later_gain, RISING)),
)
TRAINED_ON: Condition = below(lambda f: f.training.gained, RISING)
# A run that was made clearly shorter than what is proposed for its photos, or was stopped, and that loses nothing.
CUT_SHORT: Condition = every(
    at_least(lambda f: f.training.unfinished, UNFINISHED),
    there(lambda f: f.training.more),
    unless(there(lambda f: f.training.class_photos)),
    unless(at_least(lambda f: f.training.fallen, FALLEN)),
    unless(LATER_WORSE),
)
EARLIER: Condition = every(there(lambda f: f.training.earlier), unless(there(lambda f: f.training.earlier_sends_back)))
RUN: Condition = there(lambda f: f.training.step)
# A higher weight shows more of the face, but lowers the effect of the prompts, of which some has to be left.
HIGHER: Condition = every(
    RUN,
    AT_WEIGHT_1,
    at_least(lambda f: f.prompt.followed, HARDLY_FOLLOWED),
    unless(at_least(lambda f: f.training.unfinished, UNFINISHED)),
    unless(there(lambda f: f.training.class_photos)),
    unless(there(lambda f: f.training.preserved)),
    unless(there(lambda f: f.training.higher_tested)),
)
PAINTED: Condition = there(lambda f: f.ceiling.retention)  # only of painted pictures is a VAE's share known
# Undertrained is said of a run whose gain is known; without one, no training can be blamed.
NO_GAIN_IN_A_RUN: Condition = either(unless(RUN), unless(there(lambda f: f.base.uplift)))
# Nearly the base model's own faces: the fault is the prompt's, the weight's or the training's, not another's LoRA.
FACES_HARDLY_CHANGED: Condition = at_least(lambda f: f.base.alike, HARDLY_CHANGED)
NOT_LEARNED: Condition = below(lambda f: f.identity.retention_best, learned_at)
WEAK: tuple[Condition, ...] = (NOT_LEARNED, below(lambda f: f.identity.retention_best, HALF))
LEARNED: tuple[Condition, ...] = (at_least(lambda f: f.identity.retention_best, learned_at),)
UNDER: tuple[Condition, ...] = (
    NOT_LEARNED,
    at_least(lambda f: f.identity.retention_best, HALF),
)
SHARPLY: tuple[Condition, ...] = (at_least(lambda f: f.identity.as_strangers, lambda f: f.identity.alarm_from),)
COLLAPSED: tuple[Condition, ...] = (
    NOT_LEARNED,
    at_least(lambda f: f.base.uplift, EFFECT),
    at_least(lambda f: f.identity.mutual, lambda f: f.identity.likeness),
    below(lambda f: f.angles.yaw_spread, lambda f: f.photos.yaw_spread),
    RUN,
)
# Other faces than the base model's of the same seeds, and not this person's: more steps make them worse.
SPOILED: tuple[Condition, ...] = (
    *WEAK,
    below(lambda f: f.base.uplift, EFFECT),
    below(lambda f: f.base.alike, SAME_FACES),
    RUN,
)
ANOTHER_FACE: tuple[Condition, ...] = (
    *WEAK,
    at_least(lambda f: f.identity.lost_share, MANY),
    there(lambda f: f.base.uplift),
    at_least(lambda f: f.identity.mutual, lambda f: f.base.mutual_like),
)
# What a good LoRA does to faces at a weight that is too high looks like a spoiled training.
TOO_STRONG: tuple[Condition, ...] = (
    above(lambda f: f.training.weight, 1.0),
    RUN,
    either(every(*COLLAPSED), every(*SPOILED), every(*ANOTHER_FACE)),
)
PARTLY: tuple[Condition, ...] = (*SHARPLY, at_least(lambda f: f.identity.retention_best, HALF))
# Faces from the front raise no alarm on their own, and turned ones lie further down than the photos' own do, or half of
# them under the keep line.
TURNED: tuple[Condition, ...] = (
    *PARTLY,
    below(lambda f: f.angles.ahead_as_strangers, lambda f: f.angles.ahead_alarm_from),
    at_least(lambda f: f.angles.aside_under, 1),
    either(
        Condition(
            lambda f: (
                (f.angles.turned_drop or 0.0) > 2.0
                and f.angles.frontal is not None
                and f.lines.keep is not None
                and f.angles.frontal >= f.lines.keep
            )
        ),
        Condition(
            lambda f: f.angles.aside_under >= 2 and 2 * f.angles.aside_under >= f.angles.aside,
        ),
    ),
)
WEAK_SPOT: tuple[Condition, ...] = (
    *PARTLY,
    above(lambda f: f.attribute.weak_drop, 3.0),
    at_least(lambda f: f.attribute.rest, lambda f: f.lines.keep),
)
# Words obeyed, turns of the head and surroundings say that the prompt has no effect, and the pictures vary less than
# the photos that they were learned from, or much less than the base model's.
IGNORED: tuple[Condition, ...] = (
    at_least(lambda f: f.identity.retention_best, HALF),
    either(
        every(
            below(lambda f: f.prompt.followed, FOLLOWED),
            either(
                at_least(lambda f: f.identity.mutual, lambda f: _times(ALIKE, f.photos.mutual)),
                at_most(lambda f: f.angles.yaw_spread, lambda f: _times(STILL, f.photos.yaw_spread)),
            ),
        ),
        every(
            below(lambda f: f.prompt.followed, HARDLY_FOLLOWED),
            at_most(lambda f: f.variety.ratio, UNVARIED),
        ),
    ),
)
LITTLE_FOLLOWED: tuple[Condition, ...] = (
    at_least(lambda f: f.identity.retention_best, HALF),
    there(lambda f: f.training.class_photos),
    below(lambda f: f.prompt.followed, HALF_FOLLOWED),
    at_least(lambda f: f.pictures.counted, ENOUGH_PROMPTS),
)
DISOBEYS: Condition = either(every(*IGNORED), every(*LITTLE_FOLLOWED))
