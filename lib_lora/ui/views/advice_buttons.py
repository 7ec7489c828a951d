"""Makes buttons of what a verdict advises. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib_lora.messages.message import Message

Button = dict[str, Any]
LABELS = (
    *("Use this step", "Find the best step and weight", "Use this LoRA", "Add photos", "Test at {side} pixels"),
    *(
        "Train again with output preservation",
        "Train {more:,} more steps",
        "Test step {step:,}",
        "Test weight {weight:g}",
        "Use weight {weight:g}",
    ),
)  # the templates of the buttons' labels
_LARGEST = 1536  # pixels; beyond that no base model paints one whole person


def buttons(
    run: str, verdict: Mapping[str, Any], facts: Mapping[str, Any], saved: Sequence[int], side: int = 0
) -> list[Button]:
    """What can be done after a verdict; the one that it advises is first, and `main`.

    Args:
        run: identifier.
        verdict, facts: of the report (`likeness.verdict.verdict.Verdict`, `likeness.verdict.facts.Facts`).
        saved: steps of the run's checkpoints.
        side: pixels of a side of the pictures; 0 = not known.
    """
    step, weight = facts.get("step"), float(facts.get("weight") or 1.0)
    here = {"run": run, "step": step, "weight": weight}
    found = _advised(run, verdict, here, side)
    for one in found[:1]:
        one["main"] = True
    if step is not None and not any(one["do"] == "use" for one in found):
        found.append(_button("Use this step", "use", here))
    if len(saved) > 1:
        found.append(_button("Find the best step and weight", "choose", {"run": run}))
    return found


def _advised(run: str, verdict: Mapping[str, Any], here: dict[str, Any], side: int) -> list[Button]:
    step, value = here["step"], verdict.get("value")
    match verdict.get("action"):
        case "keep":
            return [_button("Use this LoRA", "use", here)] if step is not None else []
        case "add_photos":
            return [_button("Add photos", "add_photos", {})]
        case "paint_larger" if step is not None and 0 < side < _LARGEST:
            larger = min(_LARGEST, -(-side * 3 // 2 // 64) * 64)
            return [_button("Test at {side} pixels", "test", {**here, "side": larger})]
        case "train_more" if step is not None and value is not None:
            more = int(value)
            return [_button("Train {more:,} more steps", "train_more", {"run": run, "steps": step + more}, more=more)]
        case "train_again" if step is not None and value is not None:
            settings = {"preservation_weight": float(value)}
            return [_button("Train again with output preservation", "train_again", {"run": run, "settings": settings})]
        case "test_step" if value is not None:
            return [_button("Test step {step:,}", "test", {**here, "step": int(value)})]
        case "set_weight" if value is not None and step is not None:
            there = {**here, "weight": float(value)}
            return [
                _button("Test weight {weight:g}", "test", there),
                _button("Use weight {weight:g}", "use", there),
            ]
    return []


def _button(label: str, do: str, arguments: dict[str, Any], **values: Any) -> Button:
    said = Message(label, {**arguments, **values}, do)
    return {"label": str(said), "message": said.for_programs(), "do": do, "arguments": arguments, "main": False}
