"""What a person sees of a running job in a terminal: one progress bar, and a line for everything else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

# Pace and time left are the job's own numbers, the same as in the events; tqdm would show its own beside them.
_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} {unit}{postfix}"


class Terminal:
    """Shows events. Give it to a job beside the event log."""

    def __init__(self, out: TextIO | None = None) -> None:
        """`out`: where lines go; None = standard output. The bar is on standard error."""
        self.out = out
        self.bar: tqdm[Any] | None = None

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
            "resumed": "Going on after step {step}.",
        }.get(event["state"])
        if said:
            self._say(said.format(**event))
        if event["state"] in ("stopped", "trained"):
            self._close()

    def _error(self, event: dict[str, Any]) -> None:
        self._close()

    def _step(self, event: dict[str, Any]) -> None:
        if self.bar is None:
            self.bar = tqdm(
                total=event["total"], initial=event["step"] - 1, unit="steps", dynamic_ncols=True, bar_format=_FORMAT
            )
        self.bar.set_postfix_str(
            f"loss {event['loss_average']:.4f}, {event['seconds_per_step']:.2f} s/step, "
            f"{_duration(event['seconds_left'])} left, peak {event['peak_memory'] / 2**30:.1f} GB",
            refresh=False,
        )
        self.bar.update(event["step"] - self.bar.n)

    def _painting(self, event: dict[str, Any]) -> None:
        if self.bar is None:
            if "text" in event and event["done"] >= event["total"]:
                return  # a search with nothing (more) to paint
            self.bar = tqdm(total=event["total"], unit="picture", dynamic_ncols=True)
        self.bar.total = event["total"]  # of a search it is better known the further it is
        self.bar.update(event["done"] - self.bar.n)
        if event["done"] >= event["total"]:
            self._close()


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
