"""Gives the facts of a set of pictures one verdict in words, with the one thing to do next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lib_lora.likeness.measure import refusals
from lib_lora.likeness.verdict.facts import Facts, flat
from lib_lora.likeness.verdict.notes import NOTES
from lib_lora.likeness.verdict.rule_conditions import ALIKE, UNVARIED, learned_at
from lib_lora.likeness.verdict.rule_language import DRIFT, NO_VERDICT, Kind, Note, Rule, matching
from lib_lora.likeness.verdict.rules import RULES
from lib_lora.likeness.verdict.traits import SIGHTS, TEXTURES
from lib_lora.messages.message import Message, recognised

HEADLINES: dict[Kind, str] = {
    "consistent": "The face holds",
    "slightly undertrained": "Nearly there: slightly undertrained",
    "undertrained": "Undertrained: the face is not learned yet",
    "overtrained": "Overtrained",
    "over-baked": "Over-baked: trained past the best point",
    "no longer learning": "Not learned, and more training no longer helps",
    "follows no prompt": "Ignores prompts: always the same pose",
    "drift": "The face drifts",
    "another face": "One face, but another one",
    "not this person": "Not this person",
    "no face": "No face to be seen",
    "several people": "No verdict: several people in the pictures",
    "too small": "No verdict: the faces are too small",
    "blurred": "No verdict: the faces are blurred",
    "base too coarse": "No verdict: the base model cannot show this face at this size",
    "not measurable": "No verdict",
}


_HIDDEN = {
    "eyes covered": "something covers the eyes",
    "lower half covered": "something covers its lower half",
    "heavily compressed": "heavy compression has spoilt it",
    "posterised": "it has only a few colours",
    "painted": "it is painted or drawn",
}
_KEPT_OF_PHOTOS = "{kept:.0%} of the identity is kept"
_KEPT_OF_CEILING = "{kept:.0%} of the identity that the base model can show is kept"
_KEPT_UNKNOWN = "how much of the identity is kept is not known"
_LOST = ", and {lost} of {counted} faces are no more like the photos than a stranger's can be"
_MOST_OFTEN = "most often {what}"
_OBEYED = "{given} of {judgeable} heads and mouths do what was asked{base}"
_OBEYED_BASE = " (without the LoRA {given} of {judgeable})"
_LESS_THAN_PHOTOS = (
    "the pictures vary less than the photos do (likeness to each other {mutual:.2f}; of the photos {mutual_photos:.2f})"
)
_LESS_THAN_BASE = "the pictures vary only {variety_ratio:.0%} as much as without the LoRA"
_ONE_SCENE = "the surroundings are the same whatever the prompt"
_TURNED, _TURNED_OF = "turned heads", "{under} of {aside} turned heads"
_LOWER_BESIDE = (
    "use a lower weight of {beside}: what the face survives of another LoRA, `combine` and the step Test in the tab say"
)
_IT, _CELL = "it", "step {step} at weight {weight:g}"
_AFTER = " after step {last}"  # where an earlier one was tested
_AT_ONE = " and test the last one at weight 1"  # where the LoRA was used at more
_LATER_AT_ONE = ", at weight 1"
_PARTS = (
    *(_KEPT_OF_PHOTOS, _KEPT_OF_CEILING, _KEPT_UNKNOWN, _LOST, _MOST_OFTEN, _OBEYED, _OBEYED_BASE, _ONE_SCENE),
    *(_TURNED, _TURNED_OF, _IT, _CELL, _AFTER, _AT_ONE, _LATER_AT_ONE, _LESS_THAN_PHOTOS, _LESS_THAN_BASE),
    Message(_LOWER_BESIDE).capitalised().template,
)


@dataclass(frozen=True)
class Verdict:
    """What the pictures say, and what to do.

    Attributes:
        kind: see `rule_language.Kind`.
        rule: name of the rule that decided.
        headline: a few words.
        because: what was seen, one sentence.
        advice: the one thing to do next, one sentence.
        action: the same for a program: "keep", "test_step", "use_step", "train_more", "train_again", "set_weight",
            "add_photos", "paint_larger" or "none".
        value: of the action (a step, a number of steps, of "train_again" the `preservation_weight`, of "keep" that of
            another training against the leak); None where it has none.
        drift: the face does not hold.
        judged: false where nothing can be said about the face.
        notes: what else is worth knowing.
    """

    kind: Kind
    rule: str
    headline: str
    because: str
    advice: str
    action: str
    value: float | None
    drift: bool
    judged: bool
    notes: list[str] = field(default_factory=list)

    @property
    def named_step(self) -> int | None:
        """The checkpoint that is to be tested or used; None where the action names none."""
        names_one = self.action in ("test_step", "use_step")
        return int(self.value) if names_one and self.value is not None else None


def weight_to_test(step: int, tested: int | None, weight: float) -> float:
    """The weight at which a checkpoint is to be tested: a later one at 1 at most, since more training and more weight
    together spoil a LoRA.

    Args:
        step: of the checkpoint.
        tested: the step that was tested, None where the LoRA is of no step; `weight` at which.
    """
    return min(weight, 1.0) if tested is not None and step > tested else weight


def judge(facts: Facts, rules: Sequence[Rule] = RULES, notes: Sequence[Note] = NOTES) -> Verdict:
    """The first rule that holds; the last one in `rules` must hold always."""
    rule = matching(facts, rules)[0]
    said = _said(rule, facts, notes)
    value = rule.value(facts) if callable(rule.value) else rule.value
    action = rule.action
    if _is_beside(rule, facts):
        action, value = "none", None
    return Verdict(
        kind=rule.kind,
        rule=rule.name,
        headline=str(said.headline),
        because=str(said.because),
        advice=str(said.advice),
        action=action,
        value=None if value is None else float(value),
        drift=rule.kind in DRIFT or (rule.kind not in NO_VERDICT and _lost(facts)),
        judged=rule.kind not in NO_VERDICT,
        notes=[*map(str, said.notes)],
    )


@dataclass(frozen=True)
class VerdictMessages:
    """What a verdict says, as a page can translate it; see `Verdict`. The codes are the names of rule and notes."""

    headline: Message
    because: Message
    advice: Message
    notes: list[Message]


def messages(verdict: Verdict, facts: Facts) -> VerdictMessages | None:
    """What the verdict of a report says, made again from its rule and its facts.

    Args:
        verdict, facts: as a report holds them.

    Returns:
        None where the rules and notes of today say something else than those that the report was written by.
    """
    rule = next((rule for rule in RULES if rule.name == verdict.rule), None)
    if rule is None:
        return None
    try:
        said = _said(rule, facts, NOTES)
        english = (str(said.headline), str(said.because), str(said.advice), [*map(str, said.notes)])
    except (TypeError, ValueError):  # facts of another version, of which a sentence lacks one
        return None
    kept = (verdict.headline, verdict.because, verdict.advice, verdict.notes)
    return said if english == kept else None


def _said(rule: Rule, facts: Facts, notes: Sequence[Note]) -> VerdictMessages:
    values = {**flat(facts), **_in_words(facts)}
    return VerdictMessages(
        headline=Message(rule.headline or HEADLINES[rule.kind], code=rule.kind),
        because=Message(rule.because, values, rule.name).capitalised(),
        advice=Message(_LOWER_BESIDE if _is_beside(rule, facts) else rule.advice, values, rule.name).capitalised(),
        notes=[
            Message(note.text, values, note.name).capitalised()
            for note in notes
            if note.name != rule.name
            and rule.kind in (note.kinds or (rule.kind,))
            and all(condition.holds(facts) for condition in note.when)
        ],
    )


def _is_beside(rule: Rule, facts: Facts) -> bool:
    """Whether something is wrong with pictures of two LoRAs, so that the other one's weight is the first to change."""
    return bool(facts.training.beside) and rule.kind not in NO_VERDICT and rule.kind != "consistent"


def templates() -> Iterator[str]:
    """The templates of `VerdictMessages`, and of the parts that they may have."""
    yield from HEADLINES.values()
    for rule in RULES:
        yield from (text for text in (rule.headline, rule.because, rule.advice) if text)
    yield from (note.text for note in NOTES)
    yield from (*_PARTS, *_HIDDEN.values(), *TEXTURES, *SIGHTS.values())
    yield Message(_KEPT_UNKNOWN).capitalised().template
    yield from refusals.templates()


def _lost(facts: Facts) -> bool:
    """The face does not hold, whatever else the verdict is about (an overtrained LoRA can drift too)."""
    kept = facts.identity
    alarm = kept.alarm_from is not None and (kept.as_strangers or 0.0) >= kept.alarm_from
    return alarm or (kept.retention_best is not None and kept.retention_best < learned_at(facts))


def _in_words(facts: Facts) -> dict[str, Any]:
    """What rules say about numbers that would read oddly as they are."""
    pictures, training, surface = facts.pictures, facts.training, facts.surface
    hidden = Message(_HIDDEN[pictures.hidden_by]) if pictures.hidden_by in _HIDDEN else ""
    lost = Message(_LOST, {"lost": pictures.lost, "counted": pictures.counted})
    cell = Message(_CELL, {"step": training.step, "weight": training.weight})
    return {
        "refusal": facts.refusal.message() if facts.refusal else "",
        "remedy": (facts.refusal and facts.refusal.remedy()) or "",
        "shared": recognised(facts.attribute.shared or "", SIGHTS.values()),
        "kept_in_words": _kept(facts),
        "hidden_in_words": Message(_MOST_OFTEN, {"what": hidden}) if pictures.hidden > 1 else hidden,
        "lost_in_words": lost if pictures.lost else "",
        "after_last": Message(_AFTER, {"last": training.last}) if training.last not in (None, training.step) else "",
        "at_one": Message(_AT_ONE) if training.weight > 1 else "",
        "later_at_one": Message(_LATER_AT_ONE) if training.weight > 1 else "",
        "obeyed_in_words": _obeyed(facts),
        "unvaried_in_words": _unvaried(facts),
        "turned_in_words": _turned(facts),
        "ahead_ok": facts.angles.ahead - facts.angles.ahead_under,
        "it": Message(_IT) if training.step is None else cell,
        "fallen_points": round(100 * (training.fallen or 0.0)),
        "younger": abs(round(surface.age_change or 0.0)),
        "texture_of": Message(surface.texture_of) if surface.texture_of in TEXTURES else surface.texture_of,
    }


def _kept(facts: Facts) -> Message:
    best = facts.identity.retention_best
    if best is None:
        return Message(_KEPT_UNKNOWN)
    text = _KEPT_OF_PHOTOS if facts.ceiling.retention is None else _KEPT_OF_CEILING
    return Message(text, {"kept": min(1.0, max(0.0, best))})


def _unvaried(facts: Facts) -> Message | str:
    """Where a prompt has no effect, how it shows in the variety."""
    mutual, photos, ratio = facts.identity.mutual, facts.photos.mutual, facts.variety.ratio
    if mutual is not None and photos is not None and (mutual >= ALIKE * photos or ratio is None or ratio > UNVARIED):
        return Message(_LESS_THAN_PHOTOS, {"mutual": mutual, "mutual_photos": photos})
    return "" if ratio is None else Message(_LESS_THAN_BASE, {"variety_ratio": ratio})


def _obeyed(facts: Facts) -> Message:
    asked = facts.prompt
    if not asked.judgeable:
        return Message(_ONE_SCENE)
    base = Message(_OBEYED_BASE, {"given": asked.given_base, "judgeable": asked.judgeable_base})
    values = {"given": asked.given, "judgeable": asked.judgeable, "base": base if asked.judgeable_base else ""}
    return Message(_OBEYED, values)


def _turned(facts: Facts) -> Message:
    angles = facts.angles
    if angles.aside <= 1:
        return Message(_TURNED)
    return Message(_TURNED_OF, {"under": angles.aside_under, "aside": angles.aside})
