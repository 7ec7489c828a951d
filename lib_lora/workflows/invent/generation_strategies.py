"""Chooses the strategy by which the next picture of a face is painted, by the results so far.

Knows how often a way was tried and kept; does not know who paints. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lib_lora.workflows.invent.coverage_plan import rate

Kind = Literal["seed", "own", "turn", "img2img", "text"]


@dataclass(frozen=True)
class Strategy:
    """A way to a further picture of a face.

    Attributes:
        kind: "seed": from the noise of a picture that is there, with another prompt. "own": over a picture that is
            there, with the noise that it was painted from. "turn": over one whose head was turned to a side, with the
            noise that the turned picture would be painted from; its own would turn the head back.
            "img2img": over a picture that is there, with other noise. "text": from the prompt alone.
        amount: 0..1; of "seed" how far the noise is turned to another, else the denoising strength.
    """

    kind: Kind
    amount: float = 0.0

    @property
    def name(self) -> str:
        """The name for people, and for the file of what was painted."""
        return self.kind if self.kind == "text" else f"{self.kind} {self.amount:g}"

    @property
    def over(self) -> bool:
        """Whether it paints over a picture."""
        return self.kind in ("own", "turn", "img2img")

    @property
    def of_noise(self) -> bool:
        """Whether it needs the noise that the picture was painted from."""
        return self.kind in ("seed", "own")

    @property
    def new(self) -> float:
        """About how much of a picture is new, 0..1: the more, the more a kept one is worth."""
        return {"seed": 0.9, "turn": 0.8, "text": 1.0}.get(self.kind, self.amount)


# Measured with bench/photos/invent.py on the small base model (docs/inventing.md).
STRATEGIES = (
    *(Strategy("turn", amount) for amount in (0.2, 0.3, 0.5)),
    *(Strategy("own", amount) for amount in (0.6, 0.7, 0.8, 0.9)),
)
# A picture that was not painted here has no noise of its own.
FOREIGN_STRATEGIES = (Strategy("img2img", 0.2), Strategy("img2img", 0.3), Strategy("img2img", 0.4), Strategy("text"))
VARIED = 0.1  # noise of "own" is turned so far, or the same wish would give the same picture again
_MOST_VARIED = 0.4  # as far as it is turned where near copies come all the same
_FURTHER, _BACK = 1.1, 0.8  # what a near copy, and another face, multiply it by
_FAR = 0.2  # what a picture that is only just the same face is worth as a start, against the picked one
_UNFIT = 0.6  # what a picture that looks elsewhere is worth as a start, against one that looks where the wish wants it


def next_strategy(tried: Sequence[tuple[str, bool]], strategies: Sequence[Strategy]) -> Strategy:
    """The way that lags most behind its share.

    The share of a way goes with the square of what a picture by it is expected to bring (how often such pictures were
    kept x how much of one is new): the best way is taken most, and all are tried now and then.

    Args:
        tried: name of the way, and whether it was kept, of each picture so far.
        strategies: to choose from, at least one.
    """
    count = {strategy.name: sum(name == strategy.name for name, _ in tried) for strategy in strategies}
    kept = {strategy.name: sum(name == strategy.name and good for name, good in tried) for strategy in strategies}
    worth = {
        strategy.name: (rate(kept[strategy.name], count[strategy.name]) * strategy.new) ** 2 for strategy in strategies
    }
    total = sum(worth.values())
    following = sum(count.values()) + 1
    return max(strategies, key=lambda strategy: following * worth[strategy.name] / total - count[strategy.name])


def next_variation(copies: Sequence[bool | None]) -> float:
    """How far the noise of "own" is turned next, 0..1: further after each near copy, less far after each other face.

    Of some faces this base gives the same picture again and again.

    Args:
        copies: of each picture by "own" so far, whether it was a near copy (True) or another face (False); None where
            it was neither.
    """
    varied = VARIED
    for copy in copies:
        if copy is not None:
            varied = min(max(varied * (_FURTHER if copy else _BACK), VARIED), _MOST_VARIED)
    return varied


def next_start(tried: Sequence[tuple[str, bool]], fits: Mapping[str, bool], near: Mapping[str, float]) -> str:
    """The picture that the next one goes out from: that by which most succeeded, if it fits the wish and is near.

    What resembles the picked face only just leads further away from it, and fails; so the picked picture itself is
    taken most, as long as it does not lead to copies alone.

    Args:
        tried: the start, and whether it was kept, of each picture so far.
        fits: the pictures to choose from, at least one, and whether each looks where the wish wants it.
        near: how near each is to the picked picture, 0 (only just the same face) .. 1 (it itself).
    """
    count = {one: sum(start == one for start, _ in tried) for one in fits}
    kept = {one: sum(start == one and good for start, good in tried) for one in fits}
    worth = {
        one: rate(kept[one], count[one]) * (1 if fits[one] else _UNFIT) * (_FAR + (1 - _FAR) * near[one])
        for one in fits
    }
    return max(fits, key=lambda one: (worth[one], -count[one]))
