"""Reads a run's course from its events, each line once: loss, likeness, samples, warnings, interruptions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from lib_lora.runs.events import events_after, read_events
from lib_lora.training.plan.run_file import Run
from lib_lora.workspace.file_cache import Mark, kept, mark

_POINTS = 400  # of a curve
_KEPT = 4000  # of which those are taken; then every second one goes
_WARNINGS = 50
_LETTERS = 500  # of a text
_PETABYTE = 1 << 50
_DAY = 86_400.0  # seconds; no step takes longer
LIKENESS = ("identity", "only_when_asked", "obedience", "variety", "faces", "pictures")
_lock = Lock()


@dataclass
class RunHistory:
    """The course of a run so far.

    Attributes:
        offset: bytes of the file that were read.
        step, total: the last step done, and how many there should be.
        state: what the run said of itself last: "training", "stopped", "trained", ...
        loss: step and running average of the loss; `probe` step and loss on fixed noise.
        samples: ``sample`` events.
        likeness: ``likeness`` events, a step each: shares by name, and how many faces they were measured from.
        warnings: their sentences, errors' too, the last ones.
        device: on which it is trained, as its driver calls it; empty = not said.
        paces: steps that were done on each device, and seconds for a step at the end of them.
        steps: that were done, those done again after a crash included; `seconds` of all of them, in older runs by the
            mean of the last ones at each.
        memory: bytes at most, as the steps say; 0 = none said.
    """

    offset: int = 0
    step: int = 0
    total: int = 0
    state: str = ""
    loss: list[tuple[int, float]] = field(default_factory=list)
    probe: list[tuple[int, float]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    likeness: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    device: str = ""
    paces: dict[str, tuple[int, float]] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    memory: int = 0
    every: int = 1  # of the steps that `loss` has

    def take(self, event: dict[str, Any]) -> None:
        """Read one event; one that lacks what its kind has is passed over."""
        match event:
            case {"kind": "step", "step": int() as step, "total": int() as total}:
                self.step, self.total = step, total
                self._loss(step, event.get("loss_average"))
                self._pace(event.get("seconds_per_step"), event.get("seconds"))
                self._memory(event.get("peak_memory"))
            case {"kind": "probe", "step": int() as step, "loss": int() | float() as loss}:
                self._back_to(self.probe, step)
                self.probe.append((step, loss))
            case {"kind": "state", "state": str() as state}:
                self.state = state
                done = event.get("step")
                self.step = done if isinstance(done, int) else self.step
                if state == "preparing":
                    named = event.get("device_name")
                    self.device = named if isinstance(named, str) else ""
            case {"kind": "sample", "step": int(), "file": str()}:
                self.samples.append(event)
            case {"kind": "likeness", "step": int() as step}:
                while self.likeness and self.likeness[-1]["step"] >= step:
                    self.likeness.pop()
                self.likeness.append(_numbers(event))
            case {"kind": "warning" | "error", "text": str() as text}:
                self.warnings = [*(one for one in self.warnings if one != text), text][-_WARNINGS:]

    def _pace(self, pace: Any, own: Any) -> None:
        """Take a step's `pace`, the mean of the last ones, and its `own` seconds, which older runs do not tell."""
        pace, own = (
            float(value) if isinstance(value, (int, float)) and 0 < value < _DAY else 0.0 for value in (pace, own)
        )
        if pace:
            self.paces[self.device] = (self.paces.get(self.device, (0, 0.0))[0] + 1, pace)
        if own or pace:
            self.steps, self.seconds = self.steps + 1, self.seconds + (own or pace)

    def _memory(self, peak: Any) -> None:
        if isinstance(peak, int) and 0 < peak < _PETABYTE:
            self.memory = max(self.memory, peak)

    def _loss(self, step: int, average: Any) -> None:
        if not isinstance(average, (int, float)) or step % self.every:
            return
        self._back_to(self.loss, step)
        if not isinstance(average, float):
            average = float(average) if abs(average) < 1e9 else math.nan  # a whole number may be too large for one
        self.loss.append((step, average))
        if len(self.loss) > _KEPT:
            self.every *= 2
            self.loss = [point for point in self.loss if point[0] % self.every == 0]

    @staticmethod
    def _back_to(points: list[tuple[int, float]], step: int) -> None:
        """A run that was killed goes on from its last state, and does some steps again."""
        while points and points[-1][0] >= step:
            points.pop()

    def curve(self) -> list[tuple[int, float]]:
        """At most 400 points of the loss, first and last among them."""
        return thinned(self.loss, _POINTS)


def _numbers(event: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a ``likeness`` event (what is no number becomes None), and why some are missing."""
    known = {name: event.get(name) for name in ("step", *LIKENESS)}
    plain = {name: value if type(value) in (int, float) else None for name, value in known.items()}
    return {**plain, "why": str(event.get("why") or "")[:_LETTERS]}


def thinned(points: list[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """At most `most` points, evenly taken, first and last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def history_of(events: Path) -> RunHistory:
    """The course of the run whose events lie in a file."""
    history: RunHistory = kept(("history", events), None, RunHistory)
    with _lock:
        now = mark(events)
        if now is None or now[1] < history.offset:  # another file lies there
            history.__init__()  # type: ignore[misc]
        if now is not None and now[1] > history.offset:
            _read_on(history, events, now)
        return history


def _read_on(history: RunHistory, events: Path, now: Mark) -> None:
    while history.offset < now[1]:
        found, offset = events_after(events, history.offset)
        for event in found:
            history.take(event)
        if offset <= history.offset:
            return  # a line that is being written
        history.offset = offset


def without_interrupted(run: Run, saved: Sequence[int]) -> list[int]:
    """The saved steps without those at which a training was stopped, paused or closed, and later went on.

    The run's events tell, those of older versions too. A step that the schedule asked for anyway stays, and so does
    the last one: where a training was stopped for good, that is its end.

    Args:
        run: whose steps they are.
        saved: ascending.
    """
    train, unplanned = run.file.settings, set()
    for event in read_events(run.events):
        step, total = event.get("step"), event.get("total")
        if event["kind"] != "state" or event.get("state") != "stopped":
            continue
        if isinstance(step, int) and isinstance(total, int) and step % train.checkpoint_interval(total):
            unplanned.add(step)
    return [step for step in saved if step not in unplanned or step == saved[-1]]
