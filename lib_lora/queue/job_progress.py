"""Computes a job's progress from its events alone; tolerates whatever a killed writer left in the file.

Imports nothing heavy.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lib_lora.runs.events import events_after

_MOST_WARNINGS = 20
_FRESH = ("starting", "waiting for the GPU")  # an attempt begins; what the one before said no longer holds
PHASES = {
    "waiting for the GPU": "Waiting until the webui has painted its picture",
    "starting": "Starting",
    "preparing": "Loading the base model and the photos",
    "training": "Training",
    "trained": "Training is done",
    "stopped": "Stopped; everything is saved",
    "paused": "Paused; everything is saved",
    "interrupted": "Interrupted",
    "finished": "Finished",
    "painting": "Painting",
    "working": "Working",
}
# what is said of a job that still runs after its last event
_ENDING = {"stopped": "Stopping; everything is saved", "paused": "Pausing; everything is saved"}
_COUNTED = ("training", "painting", "working")  # phases whose `done` is a share of the whole job's work
_SLOW = 5  # times its best pace: then something is wrong


@dataclass(frozen=True)
class JobProgress:
    """What can be shown of a job.

    Attributes:
        phase: "" before the first event; what its state events say ("waiting for the GPU", "starting", "preparing",
            "training", "trained", "stopped", "paused", "failed", "finished"), or "painting" or "working".
        done, total: of steps, pictures or photos; total 0 = not known.
        seconds_left: of this phase; None = not known.
        loss: its running average.
        memory: most bytes used so far.
        text: one line.
        warnings: the last ones, each once.
        rate: seconds for a step, picture or photo.
        since: when this phase was first counted, and how much was done then.
        best: the least seconds for a step of the training so far.
        rented: of a machine that is rented for it: since when, USD an hour, and USD that it may cost at most.
    """

    phase: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    loss: float | None = None
    memory: int | None = None
    text: str = ""
    warnings: list[str] = field(default_factory=list)
    rate: float | None = None
    since: tuple[float, int] | None = None
    best: float | None = None
    rented: tuple[float, float, float] | None = None

    @property
    def name(self) -> str:
        """What a running job does, in a few words."""
        if self.phase == "working" and self.text:
            return self.text
        return _ENDING.get(self.phase) or PHASES.get(self.phase) or self.text or PHASES["starting"]

    @property
    def is_counted(self) -> bool:
        """Whether `done` of `total` says how far the job is."""
        return self.total > 0 and self.phase in _COUNTED

    @property
    def is_slow(self) -> bool:
        """Whether a training has become much slower than it was at its best."""
        return self.phase == "training" and bool(self.best) and (self.rate or 0.0) >= _SLOW * (self.best or 0.0)


def names() -> Iterator[str]:
    """All that `JobProgress.name` can say but what a worker says itself."""
    yield from (*PHASES.values(), *_ENDING.values())


def fold(progress: JobProgress, event: dict[str, Any]) -> JobProgress:
    """Where the job stands after one more event. An unknown one changes nothing."""
    kind, text = event.get("kind"), event.get("text")
    text = text if isinstance(text, str) else ""
    if kind == "state":
        return _entered(progress, event)
    if kind == "step":
        return _stepped(progress, event)
    if kind == "production":
        return _counted(progress, event, "painting", "{done} of {total} pictures")
    if kind == "painting":
        return _counted(progress, event, "painting", text or "Painted {done} of {total} pictures")
    if kind == "progress":
        return _counted(progress, event, "working", text or "{done} of {total}")
    if kind == "warning" and text:
        others = [one for one in progress.warnings if one != text]
        return replace(progress, warnings=[*others, text][-_MOST_WARNINGS:])
    if kind == "error" and text:
        return replace(progress, text=text, seconds_left=None)
    if kind == "choice" and text:
        return replace(progress, text=text)
    if kind == "cost":
        since, hourly, cap = (_number(event.get(name)) for name in ("since", "hourly", "cap"))
        return replace(progress, rented=(since, hourly, cap) if since and hourly and cap else None)
    if kind == "delivered" and isinstance(event.get("file"), str):
        return replace(progress, text=f"Put into {event['file']}")
    return progress


def _entered(progress: JobProgress, event: dict[str, Any]) -> JobProgress:
    phase, text = event.get("state"), event.get("text")
    if not isinstance(phase, str):
        return progress
    text = text if isinstance(text, str) and text else PHASES.get(phase, progress.text)
    if phase in _FRESH:
        best = None if phase == "starting" else progress.best  # a new attempt may be on another machine
        return JobProgress(phase=phase, text=text, rented=progress.rented, best=best)
    step, total = _whole(event.get("step")), _whole(event.get("total"))
    done = progress.done if step is None else step
    if phase == "resumed":
        return replace(progress, phase="preparing", done=done, text=f"Continuing after step {done:,}")
    return replace(
        progress,
        phase=phase,
        done=done,
        total=progress.total if total is None else total,
        text=text,
        seconds_left=None,
        rate=progress.rate if phase in ("stopped", "paused", "trained") else None,
        since=None,
    )


def _stepped(progress: JobProgress, event: dict[str, Any]) -> JobProgress:
    done, total = _whole(event.get("step")), _whole(event.get("total"))
    done = progress.done if done is None else done
    total = progress.total if total is None else total
    loss = _number(event.get("loss_average"))
    memory = _whole(event.get("peak_memory"))
    rate = _number(event.get("seconds_per_step"))
    paces = [pace for pace in (progress.best, rate) if pace is not None and pace > 0]
    return replace(
        progress,
        phase="training",
        done=done,
        total=total,
        seconds_left=_number(event.get("seconds_left")),
        loss=progress.loss if loss is None else loss,
        memory=progress.memory if memory is None else memory,
        text=f"Step {done:,} of {total:,}",
        rate=rate,
        best=min(paces, default=None),
    )


def _counted(progress: JobProgress, event: dict[str, Any], phase: str, text: str) -> JobProgress:
    """Progress without a pace of its own: the pace is that since this phase was first counted."""
    done, total, at = _whole(event.get("done")), _whole(event.get("total")), _number(event.get("t"))
    done = progress.done if done is None else done
    total = progress.total if total is None else total
    expected = _whole(event.get("expected"))  # how much will have been done where it may end before `total`
    last = total if expected is None else min(total, expected)
    since = progress.since if progress.phase == phase else None
    if since is None or done < since[1]:
        since = None if at is None else (at, done)
    rate = (at - since[0]) / (done - since[1]) if since and at is not None and done > since[1] else None
    return replace(
        progress,
        phase=phase,
        done=done,
        total=total,
        text=text.replace("{done}", f"{done:,}").replace("{total}", f"{total:,}"),
        rate=rate,
        seconds_left=None if rate is None else max(rate * (last - done), 0.0),
        since=since,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number with hundreds of digits
        return None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else max(int(number), 0)


class Follower:
    """Follows a job's events; each `read` reads only what is new. May be shared by threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._progress = JobProgress()
        self._lock = threading.Lock()

    def read(self) -> JobProgress:
        """Where the job stands now."""
        with self._lock:
            while True:
                events, offset = events_after(self.path, self._offset)
                if offset < self._offset:  # another file is there now
                    self._offset, self._progress = 0, JobProgress()
                    continue
                for event in events:
                    self._progress = fold(self._progress, event)
                if offset == self._offset:
                    return self._progress
                self._offset = offset
