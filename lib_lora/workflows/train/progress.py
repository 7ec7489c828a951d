"""Shows a running job's progress: a bar in a terminal, and a line now and then in a file or pipe."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

from lib_lora.files import size

# Pace and time left are the job's own numbers, the same as in the events; tqdm would show its own beside them.
_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} {unit}{postfix}"
PAUSE = 10.0  # seconds between two lines where no bar can be drawn


def print_warning(kind: str, **fields: object) -> None:
    """Print a painter's warnings, the only events of it that a terminal shows, on standard error."""
    if kind == "warning":
        print(fields.get("text", ""), file=sys.stderr)


class ThrottledLines:
    """Lines on standard error, at most one in `PAUSE` seconds, and the last.

    Args:
        at_once: the first comes at once, too; otherwise what takes less than `PAUSE` says nothing.
    """

    def __init__(self, at_once: bool = True) -> None:
        self._said = -math.inf if at_once else time.monotonic()
        self._spoke = at_once

    def __call__(self, done: int, total: int, line: str) -> None:
        """Say `line`, which is about `done` of `total`, if it is time."""
        now = time.monotonic()
        if now - self._said >= PAUSE or (done >= total and self._spoke):
            self._said, self._spoke = now, True
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


class ChangingLines:
    """Lines: each that says something new, and of one that only counts on, not all, those on standard error.

    What stands before a colon tells whether a line is about the same as the one before.

    Args:
        say: what says something new; None = standard error too.
    """

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self._lines, self._said, self._say = ThrottledLines(), "", say

    def __call__(self, text: str) -> None:
        """Say it."""
        same = text.partition(":")[0] == self._said.partition(":")[0]
        self._said = text
        if same:
            self._lines(0, 1, text)
        elif self._say:
            self._say(text)
        else:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


class Terminal:
    """Shows events. Give it to a job beside the event log."""

    def __init__(self, out: TextIO | None = None) -> None:
        """`out`: where lines go; None = standard output. The bar is on standard error, or the lines in its place."""
        self.out = out
        self.bar: tqdm[Any] | None = None
        self.lines = None if sys.stderr.isatty() else ThrottledLines()

    def __call__(self, kind: str, **fields: Any) -> None:
        """Show one event."""
        show = getattr(self, f"_{kind}", None)
        if show:
            show(fields)

    def _say(self, text: str) -> None:
        tqdm.write(text, file=self.out or sys.stdout)

    def _close(self) -> None:
        if self.bar:
            self.bar.close()
            self.bar = None

    def _data(self, event: dict[str, Any]) -> None:
        self._say(event["report"])

    def _warning(self, event: dict[str, Any]) -> None:
        self._say(f"Note: {event['text']}")

    def _state(self, event: dict[str, Any]) -> None:
        said = {
            "preparing": "Preparing ({family}, {precision} on {device}) ...",
            "resumed": "Continuing after step {step}.",
        }.get(event["state"])
        if said:
            self._say(said.format(**event))
        if event["state"] in ("stopped", "trained"):
            self._close()

    def _likeness(self, event: dict[str, Any]) -> None:
        from lib_lora.likeness.report.four_numbers import LABELS

        known = [(label, event.get(code)) for code, label in LABELS.items()]
        shares = [f"{label.lower()} {100 * share:.0f}" for label, share in known if share is not None]
        text = f"in percent: {', '.join(shares)}" if shares else f"likeness cannot be measured: {event['why']}"
        self._say(f"Step {event['step']}, {text}.")

    def _error(self, event: dict[str, Any]) -> None:
        self._close()

    def _step(self, event: dict[str, Any]) -> None:
        step, total = event["step"], event["total"]
        about = (
            f"loss {event['loss_average']:.4f}, {event['seconds_per_step']:.2f} s/step, "
            f"{_duration(event['seconds_left'])} left, peak {size(event['peak_memory'])}"
        )
        if self.lines:
            self.lines(step, total, f"step {step:,} of {total:,}, {about}")
            return
        if self.bar is None:
            self.bar = tqdm(total=total, initial=step - 1, unit="steps", dynamic_ncols=True, bar_format=_FORMAT)
        self.bar.set_postfix_str(about, refresh=False)
        self.bar.update(step - self.bar.n)

    def _painting(self, event: dict[str, Any]) -> None:
        done, total = event["done"], event["total"]
        if self.lines:
            if done:
                self.lines(done, total, f"picture {done} of {total}")
            return
        if self.bar is None:
            if "text" in event and done >= total:
                return  # a search with nothing (more) to paint
            self.bar = tqdm(total=total, unit="picture", dynamic_ncols=True)
        self.bar.total = total  # of a search it is better known the further it is
        self.bar.update(done - self.bar.n)
        if done >= total:
            self._close()


def counted(what: str) -> Callable[[int, int], None]:
    """A line on the terminal that counts up, and is gone at the end; elsewhere a line now and then."""
    if not sys.stderr.isatty():
        paced = ThrottledLines(at_once=False)
        return lambda done, total: paced(done, total, f"{what}: {done} of {total}")

    def count(done: int, total: int) -> None:
        line = f"{what}: {done} of {total}"
        sys.stderr.write(f"\r{line}" if done < total else "\r" + " " * len(line) + "\r")
        sys.stderr.flush()

    return count


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def both(*sinks: Callable[..., None]) -> Callable[..., None]:
    """One event sink that passes every event to each of `sinks`."""

    def emit(kind: str, **fields: Any) -> None:
        for sink in sinks:
            sink(kind, **fields)

    return emit
