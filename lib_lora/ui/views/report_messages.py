"""Makes messages, which the page can translate, of what a report says; a report itself holds English sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib_lora.errors import UserError


def verdict_messages(verdict: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The messages of a report's verdict by name (`headline`, `because`, `advice`, `notes`); empty where today's rules
    word it otherwise than those by which it was written.

    Args:
        verdict, facts: as the report holds them.
    """
    from lib_lora.likeness.verdict.verdict import messages

    said = messages(verdict, facts)
    if said is None:
        return {}
    whole = {"headline": said.headline, "because": said.because, "advice": said.advice}
    return {
        **{name: one.for_programs() for name, one in whole.items()},
        "notes": [one.for_programs() for one in said.notes],
    }


def missed_message(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The message of a thing that was asked for and not always given (`likeness.verdict.prompt_adherence.Missed`);
    None where it is worded otherwise today."""
    from lib_lora.likeness.verdict import prompt_adherence
    from lib_lora.typed_settings import from_dict

    try:
        said = prompt_adherence.message(from_dict(prompt_adherence.Missed, dict(values)))
    except (UserError, StopIteration):
        return None
    return said.for_programs() if str(said) == values["text"] else None


def number_messages(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The four numbers of a report (`likeness.report.four_numbers.QualityNumber`) as plain values, their words as
    messages; empty where its facts are of another version.

    Args:
        facts: as the report holds them.
    """
    from lib_lora.likeness.report.four_numbers import four_numbers
    from lib_lora.likeness.verdict.facts import GONE, from_flat

    try:
        known = from_flat({name: value for name, value in facts.items() if name not in GONE})
    except UserError:
        return []
    return [one.for_programs() for one in four_numbers(known)]
