"""Makes buttons of what a verdict advises. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Button = dict[str, Any]
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
            return [_button(f"Test at {larger} pixels", "test", {**here, "side": larger})]
        case "train_more" if step is not None and value is not None:
            more = int(value)
            return [_button(f"Train {more:,} more steps", "train_more", {"run": run, "steps": step + more})]
        case "test_step" if value is not None:
            return [_button(f"Test step {int(value):,}", "test", {**here, "step": int(value)})]
        case "set_weight" if value is not None and step is not None:
            there = {**here, "weight": float(value)}
            return [
                _button(f"Test weight {value:g}", "test", there),
                _button(f"Use weight {value:g}", "use", there),
            ]
    return []


def _button(label: str, do: str, arguments: dict[str, Any]) -> Button:
    return {"label": label, "do": do, "arguments": arguments, "main": False}
