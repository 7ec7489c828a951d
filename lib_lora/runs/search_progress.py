"""Counts pictures over all test grids of a search, as one progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class SearchProgress:
    """Takes the events of each grid, which counts its own pictures, and emits them counted over all grids.

    Give it to what paints in place of `emit`. All that is not a count is passed on as it is.

    Args:
        emit: gets the events.
        planned: pictures that each round will probably have to paint, in their order.
    """

    def __init__(self, emit: Callable[..., None], planned: Sequence[int]) -> None:
        self._emit = emit
        self._before = 0  # painted in the rounds that are over
        self._now = 0  # in this one
        self._wanted = 0  # by this one
        self._there: int | None = None  # pictures that this one found; None = it has not counted yet
        self._ahead = list(planned)
        self._number, self._of, self._text = 0, len(self._ahead), ""

    def replan(self, planned: Sequence[int]) -> None:
        """The rounds that are still to come are these; none = all is painted."""
        self._before, self._now, self._wanted = self._before + self._now, 0, 0
        self._ahead = list(planned)
        self._of = self._number + len(self._ahead)
        if self._number:
            self._say(self._text)

    def begin(self, text: str, unplanned: int | None = None) -> None:
        """The next round begins; `text` says what is tried in it.

        `unplanned`: pictures of a round that comes between those that were planned; None = it is the next of those.
        """
        self._before, self._now, self._there = self._before + self._now, 0, None
        self._wanted = unplanned if unplanned is not None else self._ahead.pop(0) if self._ahead else 0
        self._number += 1
        self._of = self._number + len(self._ahead)
        self._text = f"Round {self._number} of {self._of}: {text}"
        self._say(self._text)

    def __call__(self, kind: str, **fields: Any) -> None:
        """An event of the round."""
        if kind == "painting":
            done, total = int(fields["done"]), int(fields["total"])
            if self._there is None:
                self._there = done
            self._now, self._wanted = done - self._there, total - self._there
            self._say(self._text)
        elif kind == "progress":
            said = str(fields.get("text") or "")
            self._say(f"{self._text}, {said[:1].lower()}{said[1:]}" if said else self._text)
        else:
            self._emit(kind, **fields)

    def _say(self, text: str) -> None:
        done = self._before + self._now
        total = self._before + max(self._wanted, self._now) + sum(self._ahead)
        self._emit("painting", done=done, total=total, text=text)
