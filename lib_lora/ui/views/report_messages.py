"""Makes messages, which the page can translate, of what a report says; a report itself holds English sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lib_lora.errors import UserError
from lib_lora.messages.message import Message

if TYPE_CHECKING:
    from lib_lora.likeness.verdict.facts import Facts
    from lib_lora.likeness.verdict.verdict import Verdict

_OF_CEILING = "{kept:.0%} of what this base model can show of the face is kept{range}."
_OF_PHOTOS = "{kept:.0%} of the identity in the photos is kept{range}."
_RANGE = " (most likely between {low:.0f} and {high:.0f})"
LIKENESS = (
    "A likeness is a cosine between faces: 1 is the same picture, photos of one person are near 0.9 to their mean, "
    "strangers near 0.3. One picture scatters by about 0.05, so only the set is judged."
)
MEASURED = {  # facts of a report that are shown as they are: their names, and whether each is a likeness or a share
    "likeness": ("Mean likeness", "likeness"),
    "lowest": ("Lowest likeness", "likeness"),
    "keep": ("Keep line: from here clearly this person", "likeness"),
    "same": ("Stranger line: below it no more alike than a stranger", "likeness"),
    "mutual": ("How alike the pictures are to each other", "likeness"),
    "mutual_photos": ("How alike the photos are to each other", "likeness"),
    "uplift": ("Gain over the same pictures without the LoRA", "likeness"),
    "frontal": ("Mean likeness from the front", "likeness"),
    "turned": ("Mean likeness of turned heads", "likeness"),
    "retention": ("Identity kept, relative to the photos", "share"),
    "turning": ("How far heads turn where the base model turns them", "share"),
    "scene": ("How far the surroundings follow the prompt", "share"),
    "variety_ratio": ("Variety, relative to pictures without the LoRA", "share"),
    "detail_ratio": ("Skin detail, relative to the photos", "share"),
    "contrast_ratio": ("Contrast, relative to the photos", "share"),
}


def templates() -> Iterator[str]:
    """All that this module says, for translators."""
    yield from (_OF_CEILING, _OF_PHOTOS, _RANGE, LIKENESS, *(name for name, _ in MEASURED.values()))


def kept_message(facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """How much of the face is kept, of what the base model can show, or where that was not measured of the photos:
    one percentage, for what is kept of the photos stands among the numbers. None where neither was measured.

    Args:
        facts: as the report holds them.
    """
    kept, ceiling = facts.get("retention"), facts.get("ceiling_retention")
    best = kept if ceiling is None else facts.get("retention_best")
    if best is None or kept is None:
        return None
    scale = best / kept if kept else 1.0
    ends = [facts.get(f"retention_{end}") for end in ("low", "high")]
    low, high = (None if end is None else 100 * end * scale for end in ends)
    between = "" if low is None or high is None else Message(_RANGE, {"low": low, "high": high})
    said = Message(_OF_PHOTOS if ceiling is None else _OF_CEILING, {"kept": best, "range": between})
    return said.for_programs()


def measured(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The facts of a report that are shown as they are, with their names and kinds; only those that were measured.

    Args:
        facts: as the report holds them.
    """
    return [
        {"name": name, "kind": kind, "value": facts[key]}
        for key, (name, kind) in MEASURED.items()
        if facts.get(key) is not None
    ]


def verdict_of(values: Mapping[str, Any]) -> Verdict:
    """A report's verdict, as it stands there: its words may be those of another version.

    Raises:
        KeyError: it lacks something.
    """
    from dataclasses import fields

    from lib_lora.likeness.verdict.verdict import Verdict

    return Verdict(**{one.name: values[one.name] for one in fields(Verdict)})


def facts_of(values: Mapping[str, Any]) -> Facts | None:
    """A report's facts; None where they are of another version."""
    from lib_lora.likeness.verdict.facts import GONE, from_flat

    try:
        return from_flat({name: value for name, value in values.items() if name not in GONE})
    except UserError:
        return None


def verdict_messages(verdict: Verdict, facts: Facts | None) -> dict[str, Any]:
    """The messages of a report's verdict by name (`headline`, `because`, `advice`, `notes`); empty where today's rules
    word it otherwise than those by which it was written.

    Args:
        verdict: as the report holds it.
        facts: of the report, see `facts_of`.
    """
    from lib_lora.likeness.verdict.verdict import messages

    said = None if facts is None else messages(verdict, facts)
    if said is None:
        return {}
    whole = {"headline": said.headline, "because": said.because, "advice": said.advice}
    return {
        **{name: one.for_programs() for name, one in whole.items()},
        "notes": [one.for_programs() for one in said.notes],
    }


def missed_message(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a thing that was asked for and not always given, as a report holds it
    (`likeness.verdict.prompt_adherence.Missed`); None where it is worded otherwise today."""
    from lib_lora.likeness.verdict import prompt_adherence
    from lib_lora.typed_settings import from_dict

    try:
        missed = from_dict(prompt_adherence.Missed, dict(values))
        said = prompt_adherence.message(missed)
    except (UserError, StopIteration):
        return None
    return said.for_programs() if str(said) == missed.text else None


def number_messages(facts: Facts | None) -> list[dict[str, Any]]:
    """The four numbers of a report (`likeness.report.four_numbers.QualityNumber`) as plain values, their words as
    messages; empty where its facts are of another version.

    Args:
        facts: of the report, see `facts_of`.
    """
    from lib_lora.likeness.report.four_numbers import four_numbers

    return [] if facts is None else [one.for_programs() for one in four_numbers(facts)]
