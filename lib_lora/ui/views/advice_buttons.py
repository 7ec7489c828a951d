"""Makes buttons of what a verdict advises.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from lib_lora.likeness.verdict.verdict import Verdict, weight_to_test
from lib_lora.messages.message import Message

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


@dataclass(frozen=True)
class TestedPoint:
    """What a test grid was painted with.

    Attributes:
        run: identifier.
        step, weight: of the LoRA; the step is None where the file is of no step.
        side: pixels of a side of the pictures; 0 = not known.
        last: the run's last step when that was judged; None = not known, as of earlier versions.
    """

    run: str
    step: int | None
    weight: float = 1.0
    side: int = 0
    last: int | None = None


@dataclass(frozen=True)
class ButtonArguments:
    """What a button sends; None is not sent.

    Attributes:
        run: identifier.
        step, weight, side: of what is tested or used.
        steps: until which a run is trained.
        settings: over those of the run that is trained again.
    """

    run: str | None = None
    step: int | None = None
    weight: float | None = None
    side: int | None = None
    steps: int | None = None
    settings: Mapping[str, float] | None = None

    def for_programs(self) -> dict[str, Any]:
        """The arguments by name, as the page sends them."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class AdviceButton:
    """A button below a verdict.

    Attributes:
        label: what stands on it.
        do: what the page does ("use", "test", "train_more", "train_again", "choose" or "add_photos").
        arguments: that it does so with.
        main: the one thing that the verdict advises.
    """

    label: Message
    do: str
    arguments: ButtonArguments = field(default_factory=ButtonArguments)
    main: bool = False

    def for_programs(self) -> dict[str, Any]:
        """The button as plain values, for the page."""
        return {
            "label": str(self.label),
            "message": replace(self.label, code=self.do).for_programs(),
            "do": self.do,
            "arguments": self.arguments.for_programs(),
            "main": self.main,
        }


def buttons(at: TestedPoint, verdict: Verdict, saved: Sequence[int]) -> list[AdviceButton]:
    """What can be done after a verdict; the one that it advises is first, and `main`.

    Args:
        at: what was tested.
        verdict: of the report.
        saved: steps of the run's checkpoints.
    """
    advised = _advised(at, verdict, saved)
    found = [replace(one, main=not place) for place, one in enumerate(advised)]
    if at.step is not None and not any(one.do == "use" for one in found):
        found.append(AdviceButton(Message("Use this step"), "use", _here(at)))
    if len(saved) > 1:
        found.append(AdviceButton(Message("Find the best step and weight"), "choose", ButtonArguments(at.run)))
    return found


def _here(at: TestedPoint) -> ButtonArguments:
    return ButtonArguments(at.run, at.step, at.weight)


def _test_of(at: TestedPoint, step: int) -> ButtonArguments:
    return ButtonArguments(at.run, step, weight_to_test(step, at.step, at.weight))


def _advised(at: TestedPoint, verdict: Verdict, saved: Sequence[int]) -> list[AdviceButton]:
    if verdict.action == "add_photos":
        return [AdviceButton(Message("Add photos"), "add_photos")]
    if (step := verdict.named_step) is not None:
        there, named = replace(_here(at), step=step), {"step": step}
        if verdict.action == "test_step":
            return [AdviceButton(Message("Test step {step:,}", named), "test", _test_of(at, step))]
        return [AdviceButton(Message("Use step {step:,}", named), "use", there)] if step in saved else []
    return [] if at.step is None else _advised_for_step(at, at.step, verdict, saved)


def _advised_for_step(at: TestedPoint, step: int, verdict: Verdict, saved: Sequence[int]) -> list[AdviceButton]:
    here, value = _here(at), verdict.value
    match verdict.action:
        case "keep":
            again = [] if value is None else [_preserving(at, value)]
            return [AdviceButton(Message("Use this LoRA"), "use", here), *again]
        case "paint_larger" if 0 < at.side < _LARGEST:
            side = min(_LARGEST, -(-at.side * 3 // 2 // 64) * 64)
            return [AdviceButton(Message("Test at {side} pixels", {"side": side}), "test", replace(here, side=side))]
        case "train_more" if value is not None:
            steps, last = (at.last or step) + int(value), max(saved, default=0)
            if last >= steps:  # that was done; now it is to be tested
                label = Message("Test step {step:,}", {"step": last})
                return [AdviceButton(label, "test", _test_of(at, last))]
            label = Message("Train {more:,} more steps", {"more": int(value)})
            return [AdviceButton(label, "train_more", ButtonArguments(at.run, steps=steps))]
        case "train_again" if value is not None:
            return [_preserving(at, value)]
        case "set_weight" if value is not None:
            weight = {"weight": float(value)}
            there = replace(here, weight=float(value))
            return [
                AdviceButton(Message("Test weight {weight:g}", weight), "test", there),
                AdviceButton(Message("Use weight {weight:g}", weight), "use", there),
            ]
    return []


def _preserving(at: TestedPoint, weight: float) -> AdviceButton:
    """Lays out a training that preserves the base's outputs; the form offers to write captions where they are plain."""
    label = Message("Train again with output preservation")
    return AdviceButton(label, "train_again", ButtonArguments(at.run, settings={"preservation_weight": float(weight)}))
