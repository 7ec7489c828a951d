"""Makes the four numbers of a LoRA from the verdict's facts: identity, only when asked, obedience, variety.

All are shares in which more is better. The tones follow the limits of the verdict's rules, which know from where
identity is good, but of the others only from where they are too little. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lib_lora.likeness.measure.calibration import LEAST_FACES
from lib_lora.likeness.verdict.facts import Facts
from lib_lora.likeness.verdict.metrics import LEAST_GAIN, LEAST_LEAK
from lib_lora.likeness.verdict.rule_conditions import DISOBEYS, FOLLOWED, LEAKED, LEARNED, UNTRIGGERED, WEAK
from lib_lora.likeness.verdict.rule_language import NO_VERDICT, Condition, matching
from lib_lora.likeness.verdict.rules import RULES
from lib_lora.messages.message import Message
from lib_lora.messages.tone import Tone

NumberCode = Literal["identity", "only_when_asked", "obedience", "variety"]
LABELS: dict[NumberCode, str] = {
    "identity": "Identity",
    "only_when_asked": "Only when asked",
    "obedience": "Obedience",
    "variety": "Variety",
}
_OF_CEILING = (
    "How much of the person's face the pictures keep, of what this base model can show: 0% is a stranger, 100% the "
    "character's photos after the base model's VAE."
)
_OF_PHOTOS = "How much of the person's face the pictures keep: 0% is a stranger, 100% the character's photos."
_ASKED = (
    "How little the person shows in pictures without the trigger word: 100% means not at all, 0% (everything "
    "leaks) as much as with it."
)
_LEAKING = (
    "How little the person shows in pictures without the trigger word: 100% means not at all, 0% (everything "
    "leaks) as much as with it; the leak is {leak:.0%}, and {seen} of {of} such pictures show the person."
)
_FOLLOWS = (
    "How well heads, mouths and surroundings follow the prompt, relative to the base model's pictures: 100% means "
    "as well as there, 0% as if nothing had been asked for."
)
_DIFFERS = "How much the pictures differ from each other: 100% means as much as the base model's, or more."
_DIFFERS_FROM = (
    "How much the pictures differ from each other: 100% means as much as the base model's, or more; under {limit:.0%} "
    "they are all alike."
)
MEANINGS: dict[NumberCode, str] = {  # whatever was measured
    "identity": _OF_CEILING,
    "only_when_asked": _ASKED,
    "obedience": _FOLLOWS,
    "variety": _DIFFERS,
}
_NO_LINES = "no lines could be drawn"
_FEW_FACES = "only {counted} faces can be measured; {least} are needed"
_NO_BASE = "no pictures without the LoRA"
_FEW_PAIRS = "fewer than {least} pictures can be compared with those of the same prompts without the LoRA"
_FEW_COMPARED = "fewer than {least} pictures can be compared with those without the LoRA"
_FEW_ASKED = "fewer than {least} heads and mouths that were asked for something can be judged"
_BASE_IDLE = "the base model itself does too little of what was asked"
_NO_LEAK_CELLS = "no pictures without the trigger word"
_FEW_LEAK_CELLS = "only {count} pictures without the trigger word; {least} are needed"
_NO_GAIN = "with the LoRA the face is hardly more like the photos than without it"
_LEAK_UNJUDGED = "fewer than {least} pictures without the trigger word can be judged, or the LoRA gains too little"
_UNSAID = "this report does not say"
_REASONS = (
    *(_NO_LINES, _FEW_FACES, _NO_BASE, _FEW_PAIRS, _FEW_COMPARED, _FEW_ASKED, _BASE_IDLE),
    *(_NO_LEAK_CELLS, _FEW_LEAK_CELLS, _NO_GAIN, _LEAK_UNJUDGED, _UNSAID),
)


@dataclass(frozen=True)
class QualityNumber:
    """One of the four numbers.

    Attributes:
        code: which.
        label: a word or two.
        value: 0..1, more is better; None where it could not be measured.
        tone: what the verdict's rules say of it; "none" where they say nothing, where there is no verdict, and where
            it could not be measured.
        meaning: one sentence.
        why_not: why it could not be measured, the rest of a sentence; None where it was.
    """

    code: NumberCode
    label: Message
    value: float | None
    tone: Tone
    meaning: Message
    why_not: Message | None

    def for_programs(self) -> dict[str, Any]:
        """The number as plain values, its words as `Message.for_programs` gives them."""
        return {
            "code": self.code,
            "label": self.label.for_programs(),
            "value": self.value,
            "tone": self.tone,
            "meaning": self.meaning.for_programs(),
            "why_not": self.why_not.for_programs() if self.why_not else None,
        }


def four_numbers(facts: Facts) -> list[QualityNumber]:
    """The four numbers, always in the order of `LABELS`."""
    base, variety = facts.base, facts.variety
    judged = matching(facts, RULES)[0].kind not in NO_VERDICT

    def number(code: NumberCode, value: float | None, tone: Tone, meaning: Message, why_not: Message) -> QualityNumber:
        known = value is not None
        return QualityNumber(
            code=code,
            label=Message(LABELS[code]),
            value=None if value is None else min(1.0, max(0.0, value)),
            tone=tone if known and judged else "none",
            meaning=meaning,
            why_not=None if known else why_not,
        )

    # 1 - leak: in four bars side by side, one in which longer is worse would be misread.
    asked = None if base.leak_share is None else 1.0 - base.leak_share
    leaking = Message(_LEAKING, {"leak": base.leak_share, "seen": base.leak, "of": base.leak_cells})
    limit = Message(_DIFFERS) if variety.limit is None else Message(_DIFFERS_FROM, {"limit": variety.limit})
    return [
        number(
            "identity",
            facts.identity.retention_best,
            _identity_tone(facts),
            Message(_OF_PHOTOS if facts.ceiling.retention is None else _OF_CEILING),
            _why_no_identity(facts),
        ),
        number(
            "only_when_asked",
            asked,
            _leak_tone(facts),
            Message(_ASKED) if base.leak_share is None or base.leak is None else leaking,
            _why_no_leak(facts),
        ),
        number("obedience", facts.prompt.followed, _obedience_tone(facts), Message(_FOLLOWS), _why_unfollowed(facts)),
        number("variety", variety.ratio, _variety_tone(facts), limit, _why_no_variety(facts)),
    ]


def templates() -> Iterator[str]:
    """The templates of all messages that the numbers have."""
    yield from LABELS.values()
    yield from (_OF_CEILING, _OF_PHOTOS, _ASKED, _LEAKING, _FOLLOWS, _DIFFERS, _DIFFERS_FROM, *_REASONS)


def _all(conditions: Iterable[Condition], facts: Facts) -> bool:
    return all(one.holds(facts) for one in conditions)


def _identity_tone(facts: Facts) -> Tone:
    """As the verdicts consistent, undertrained and slightly undertrained."""
    if _all(LEARNED, facts):
        return "good"
    return "bad" if _all(WEAK, facts) else "warn"


def _leak_tone(facts: Facts) -> Tone:
    """A warning where a rule or a note speaks of it."""
    return "warn" if (facts.base.leak or 0) >= LEAKED or (facts.base.leak_share or 0.0) >= UNTRIGGERED else "none"


def _obedience_tone(facts: Facts) -> Tone:
    """Bad where the verdict is about it; a warning where the prompt alone has next to no effect."""
    if DISOBEYS.holds(facts):
        return "bad"
    followed = facts.prompt.followed
    return "warn" if followed is not None and followed < FOLLOWED else "none"


def _variety_tone(facts: Facts) -> Tone:
    """A warning where the pictures are all alike."""
    ratio, limit = facts.variety.ratio, facts.variety.limit
    return "warn" if ratio is not None and limit is not None and ratio < limit else "none"


def _why_no_identity(facts: Facts) -> Message:
    """`metrics._identity` gives none without lines, and of fewer faces than `LEAST_FACES`."""
    counted = facts.pictures.counted
    if facts.refusal or (facts.lines.keep is None and counted >= LEAST_FACES):
        return Message(_NO_LINES)
    return (
        Message(_FEW_FACES, {"counted": counted, "least": LEAST_FACES}) if counted < LEAST_FACES else Message(_UNSAID)
    )


def _why_no_leak(facts: Facts) -> Message:
    """`metrics._leak_share` needs lines whose zero is the base model's, faces on both sides, and a gain."""
    base, counted = facts.base, facts.pictures.counted
    if facts.lines.keep is None:
        return Message(_NO_LINES)
    if base.leak is None or not base.leak_cells:
        return Message(_NO_LEAK_CELLS)
    if base.leak_cells < LEAST_LEAK:
        return Message(_FEW_LEAK_CELLS, {"count": base.leak_cells, "least": LEAST_LEAK})
    if counted < LEAST_LEAK:
        return Message(_FEW_FACES, {"counted": counted, "least": LEAST_LEAK})
    if not _has_base(facts):
        return Message(_NO_BASE)
    if base.uplift is None:
        return Message(_FEW_COMPARED, {"least": LEAST_FACES})
    return Message(_NO_GAIN) if base.uplift < LEAST_GAIN else Message(_LEAK_UNJUDGED, {"least": LEAST_LEAK})


def _why_unfollowed(facts: Facts) -> Message:
    """`prompt_adherence.followed` needs two of three findings on pairs of pictures."""
    asked = facts.prompt
    if not _has_base(facts):
        return Message(_NO_BASE)
    if asked.scene is None:
        few = facts.base.uplift_pairs < LEAST_FACES
        return Message(_FEW_PAIRS, {"least": LEAST_FACES}) if few else Message(_UNSAID)
    if asked.judgeable < LEAST_FACES or not asked.judgeable_base:
        return Message(_FEW_ASKED, {"least": LEAST_FACES})
    return Message(_BASE_IDLE)


def _why_no_variety(facts: Facts) -> Message:
    """`traits.varied` needs `LEAST_FACES` pictures with the LoRA and as many without."""
    if not _has_base(facts):
        return Message(_NO_BASE)
    few = facts.base.uplift is None
    return Message(_FEW_COMPARED, {"least": LEAST_FACES}) if few else Message(_UNSAID)


def _has_base(facts: Facts) -> bool:
    """Whether there are pictures without the LoRA."""
    return facts.base.no_face_share is not None
