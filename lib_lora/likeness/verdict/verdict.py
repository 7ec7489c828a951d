"""From facts to one verdict in words, with the one thing to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lib_lora.likeness.verdict.facts import Facts, flat
from lib_lora.likeness.verdict.notes import NOTES
from lib_lora.likeness.verdict.rule_conditions import learned_at
from lib_lora.likeness.verdict.rule_language import DRIFT, NO_VERDICT, Kind, Note, Rule, matching
from lib_lora.likeness.verdict.rules import RULES

HEADLINES: dict[Kind, str] = {
    "consistent": "The face holds",
    "slightly undertrained": "Nearly there: slightly undertrained",
    "undertrained": "Undertrained: the face is not learned yet",
    "overtrained": "Overtrained",
    "over-baked": "Over-baked: trained past the best point",
    "no longer learning": "Not learned, and more training no longer helps",
    "follows no prompt": "Follows no prompt: one pose, whatever is asked for",
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


@dataclass(frozen=True)
class Verdict:
    """What the pictures say, and what to do.

    Attributes:
        kind: see `rules.Kind`.
        rule: name of the rule that decided.
        headline: a few words.
        because: what was seen, one sentence.
        advice: the one thing to do next, one sentence.
        action: the same for a program: "keep", "test_step", "train_more", "set_weight", "add_photos",
            "paint_larger" or "none".
        value: of the action (a step, a number of steps); None where it has none.
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


def judge(facts: Facts, rules: Sequence[Rule] = RULES, notes: Sequence[Note] = NOTES) -> Verdict:
    """The first rule that holds; the last one in `rules` must hold always."""
    rule = matching(facts, rules)[0]
    values = {**flat(facts), **_in_words(facts)}
    value = rule.value(facts) if callable(rule.value) else rule.value
    return Verdict(
        kind=rule.kind,
        rule=rule.name,
        headline=rule.headline or HEADLINES[rule.kind],
        because=_sentence(rule.because, values),
        advice=_sentence(rule.advice, values),
        action=rule.action,
        value=None if value is None else float(value),
        drift=rule.kind in DRIFT or (rule.kind not in NO_VERDICT and _lost(facts)),
        judged=rule.kind not in NO_VERDICT,
        notes=[
            _sentence(note.text, values)
            for note in notes
            if note.name != rule.name and all(condition.holds(facts) for condition in note.when)
        ],
    )


def _lost(facts: Facts) -> bool:
    """The face does not hold, whatever else the verdict is about (an overtrained LoRA can drift too)."""
    kept = facts.identity
    alarm = kept.alarm_from is not None and (kept.as_strangers or 0.0) >= kept.alarm_from
    return alarm or (kept.retention_best is not None and kept.retention_best < learned_at(facts))


def _in_words(facts: Facts) -> dict[str, Any]:
    """What rules say about numbers that would read oddly as they are."""
    best, pictures, training = facts.identity.retention_best, facts.pictures, facts.training
    kept = "" if best is None else f"{min(1.0, max(0.0, best)):.0%} of the identity"
    shown = " that the base model can show" if facts.ceiling.retention is not None else ""
    lost = f", and {pictures.lost} of {pictures.counted} faces are no more like the photos than a stranger's can be"
    asked, angles = facts.prompt, facts.angles
    base = f" (without the LoRA {asked.given_base} of {asked.judgeable_base})" if asked.judgeable_base else ""
    obeyed = f"{asked.given} of {asked.judgeable} heads and mouths do what was asked{base}" if asked.judgeable else ""
    turned = f"{angles.aside_under} of {angles.aside} turned heads" if angles.aside > 1 else "turned heads"
    return {
        "kept_in_words": f"{kept}{shown} is kept",
        "hidden_in_words": f"{'most often ' * (pictures.hidden > 1)}{_HIDDEN.get(pictures.hidden_by or '', '')}",
        "lost_in_words": lost if pictures.lost else "",
        "obeyed_in_words": obeyed or "the surroundings are the same whatever is asked for",
        "turned_in_words": turned,
        "ahead_ok": angles.ahead - angles.ahead_under,
        "it": "it" if training.step is None else f"step {training.step} at weight {training.weight:g}",
        "fallen_points": round(100 * (training.fallen or 0.0)),
        "younger": abs(round(facts.surface.age_change or 0.0)),
    }


def _sentence(template: str, values: dict[str, Any]) -> str:
    text = template.format_map(values)
    return f"{text[0].upper()}{text[1:]}" if text else text
