"""Tells the planned saved steps of a run from those that exist only because the training was interrupted."""

from __future__ import annotations

from collections.abc import Sequence

from lib_lora.runs.events import read_events
from lib_lora.training.plan.run_file import Run


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
