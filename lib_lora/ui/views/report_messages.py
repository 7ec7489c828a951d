"""Makes messages, which the page can translate, of what a report says; a report itself holds English sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lib_lora.errors import UserError

if TYPE_CHECKING:
    from lib_lora.likeness.verdict.facts import Facts
    from lib_lora.likeness.verdict.verdict import Verdict


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
