"""Says how far a fleet is, and what has come of each job: states, verdicts, and the effect of a study's settings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lib_lora.errors import UserError
from lib_lora.queue.queue import Job, Queue
from lib_lora.runs.records import run_records
from lib_lora.runs.records.run_records import GridRecord
from lib_lora.workflows.fleet import fleet_jobs, fleet_store
from lib_lora.workflows.fleet.fleet_plan import SEED, Fleet, FleetRow
from lib_lora.workflows.listing import table
from lib_lora.workspace.workspace import Workspace

State = Literal["waiting", "running", "testing", "paused", "stopped", "interrupted", "failed", "finished", "gone"]
ENDED = ("paused", "stopped", "interrupted", "failed", "finished", "gone")


@dataclass(frozen=True)
class RowProgress:
    """How one job of a fleet stands.

    Attributes:
        row: which.
        state: of the job; "testing" = it is trained, and its test grid is not judged yet; "gone" = somebody took it off
            the list before it had made anything.
        seconds: that it took; None = it has not finished.
        error: why it failed.
        grid: the test of its run that keeps most of the face; None = none is judged.
        chosen: what a search has chosen: step, weight, certainty and sentence; or what a production came to: its
            number, and how many pictures were kept, wanted and painted.
    """

    row: FleetRow
    state: State
    seconds: float | None = None
    error: str = ""
    grid: GridRecord | None = None
    chosen: Mapping[str, Any] | None = None


def fleet_progress(root: Path, fleet: Fleet) -> tuple[Fleet, list[RowProgress]]:
    """How each job stands, in the order of the rows; and the fleet as it is now, with the runs that are known, kept."""
    queue = Queue(root)
    jobs = {job.id: job for job in (*queue.open(), *queue.ended())}  # in this order none is missed that ends meanwhile
    there = queue.open()  # last: the test of a training is in line before that has ended
    fleet = _with_runs(fleet_store.load(root, fleet.id), jobs)
    with suppress(UserError), fleet_store.changing(root, patience=0.0):  # else another look notes them
        stored = fleet_store.load(root, fleet.id)
        if (noted := _with_runs(stored, jobs)) != stored:
            fleet_store.save(root, noted)
    return fleet, [_row_progress(root, row, jobs.get(row.job), there) for row in fleet.rows]


def _with_runs(fleet: Fleet, jobs: Mapping[int, Job]) -> Fleet:
    rows = [replace(row, run=job.run) if (job := jobs.get(row.job)) and job.run else row for row in fleet.rows]
    return replace(fleet, rows=rows)


def _row_progress(root: Path, row: FleetRow, job: Job | None, there: list[Job]) -> RowProgress:
    grid = _best_grid(root, row) if row.run else None
    if job is None:
        state: State = "waiting" if not row.job else "finished" if row.run else "gone"
        return RowProgress(row, state, grid=grid)
    if job.state != "finished":
        return RowProgress(row, job.state, error=job.error, grid=grid)
    seconds = job.ended - job.started if job.ended and job.started else None
    if row.train is None:
        return RowProgress(row, "finished", seconds, grid=grid, chosen=job.result)
    tested = not row.train.then_test or not fleet_jobs.tests_of(there, row.character, row.run)
    return RowProgress(row, "finished" if tested else "testing", seconds, grid=grid)


def _best_grid(root: Path, row: FleetRow) -> GridRecord | None:
    folder = Workspace(root).character(row.character).run(row.run).path
    try:
        record = run_records.run(folder)
    except UserError:
        return None
    return run_records.best([(record, run_records.grids(folder))])


def sentence(fleet: Fleet, found: Sequence[RowProgress]) -> str:
    """How far a fleet is, on one line."""
    counts = {state: sum(one.state == state for one in found) for state in (*ENDED, "waiting", "running", "testing")}
    rest = ", ".join(f"{counts[state]} {state}" for state in counts if counts[state] and state != "finished")
    left = seconds_left(found)
    more = f"; about {_minutes(left)} left" if left else ""
    return f"Fleet {fleet.id}: {counts['finished']} of {len(found)} finished{f', {rest}' if rest else ''}{more}."


def seconds_left(found: Sequence[RowProgress]) -> float:
    """How long the rest takes, from those that have finished and as many at once as run now; 0 = not known."""
    took = [one.seconds for one in found if one.seconds]
    running = sum(one.state == "running" for one in found)
    rest = running / 2 + sum(one.state == "waiting" for one in found)  # those that run are halfway, on average
    return statistics.median(took) * rest / running if took and running else 0.0


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def all_ended(found: Sequence[RowProgress]) -> bool:
    """Whether nothing of a fleet waits or is at work."""
    return all(one.state in ENDED for one in found)


def rows_table(found: Sequence[RowProgress]) -> str:
    """A line for each job."""
    rows = [("character", "settings", "job", "run", "state", "result")]
    for one in found:
        rows.append(
            (
                one.row.character,
                _settings(one.row.varied),
                str(one.row.job or ""),
                one.row.run,
                one.state,
                one.error or _result(one),
            )
        )
    return table(rows)


def _settings(varied: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in varied.items())


def _result(one: RowProgress) -> str:
    if one.chosen and "production" in one.chosen:
        return f"production {one.chosen['production']}: {one.chosen.get('kept')} of {one.chosen.get('wanted')} kept"
    if one.chosen and "step" in one.chosen:
        return f"step {one.chosen['step']}, weight {one.chosen.get('weight')}, {one.chosen.get('certainty')}"
    if one.grid is None:
        return ""
    kept = "" if one.grid.retention is None else f", keeps {one.grid.retention:.0%} of the face"
    return f"{one.grid.kind}{kept}"


@dataclass(frozen=True)
class Effect:
    """What one combination of a study's settings came to.

    Attributes:
        settings: the combination, without the seed.
        runs: how many were judged.
        holding: in how many the face holds.
        retention: mean identity retention of these runs.
        difference: mean difference of the retention to the first combination, over the same people and seeds.
        low, high: its 95 % interval (Student's t over the pairs); None where there are fewer than three pairs.
    """

    settings: dict[str, Any]
    runs: int
    holding: int
    retention: float
    difference: float | None = None
    low: float | None = None
    high: float | None = None


def effects(found: Sequence[RowProgress]) -> list[Effect]:
    """What each combination of a study's settings came to, in their order; those of which nothing is judged are left
    out."""
    groups: dict[str, list[RowProgress]] = {}
    for one in found:
        if one.grid is not None and one.grid.judged and one.grid.retention is not None:
            groups.setdefault(_settings(_without_seed(one.row)), []).append(one)
    made: list[Effect] = []
    first: dict[tuple[str, Any], float] = {}
    for name in dict.fromkeys(_settings(_without_seed(one.row)) for one in found):
        judged = groups.get(name)
        if not judged:
            continue
        kept = {_pair(one.row): one.grid.retention or 0.0 for one in judged if one.grid}
        first = first or kept
        mean = statistics.fmean(kept.values())
        holding = sum(one.grid is not None and one.grid.kind == "consistent" for one in judged)
        effect = Effect(_without_seed(judged[0].row), len(judged), holding, mean)
        made.append(
            effect if kept is first else _compared(effect, [kept[one] - first[one] for one in kept if one in first])
        )
    return made


def _compared(effect: Effect, differences: list[float]) -> Effect:
    if not differences:
        return effect
    mean = statistics.fmean(differences)
    if len(differences) < 3:
        return replace(effect, difference=mean)
    from lib_lora.likeness.measure.intervals import student

    reach = student(len(differences)) * statistics.stdev(differences) / len(differences) ** 0.5
    return replace(effect, difference=mean, low=mean - reach, high=mean + reach)


def effects_table(made: Sequence[Effect]) -> str:
    """A line for each combination."""
    rows = [("settings", "judged", "face holds", "kept of the face", "against the first", "95 %")]
    for one in made:
        difference = "" if one.difference is None else f"{one.difference:+.1%}"
        sure = "" if one.low is None or one.high is None else f"{one.low:+.1%} to {one.high:+.1%}"
        rows.append(
            (
                _settings(one.settings) or "(as they are)",
                str(one.runs),
                str(one.holding),
                f"{one.retention:.1%}",
                difference,
                sure,
            )
        )
    return table(rows)


def _without_seed(row: FleetRow) -> dict[str, Any]:
    return {key: value for key, value in row.varied.items() if key != SEED}


def _pair(row: FleetRow) -> tuple[str, Any]:
    return row.character, row.varied.get(SEED)


def summary(fleet: Fleet, found: Sequence[RowProgress]) -> tuple[str, dict[str, Any]]:
    """Everything there is to say of a fleet: as text, and as plain values."""
    text = f"{sentence(fleet, found)}\n\n{rows_table(found)}"
    values: dict[str, Any] = {
        "fleet": fleet.id,
        "what": fleet.what,
        "on": fleet.on,
        "created": fleet.created,
        "rows": [
            {
                "character": one.row.character,
                "settings": one.row.varied,
                "job": one.row.job,
                "run": one.row.run,
                "state": one.state,
                "seconds": one.seconds,
                "error": one.error,
                "verdict": one.grid.kind if one.grid else None,
                "retention": one.grid.retention if one.grid else None,
                "chosen": dict(one.chosen) if one.chosen else None,
            }
            for one in found
        ],
    }
    if fleet.what == "study":
        made = effects(found)
        values["effects"] = [vars(one) for one in made]
        if made:
            text += f"\n\n{effects_table(made)}"
    return text, values


def age(fleet: Fleet) -> str:
    """When a fleet was made, in local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(fleet.created))
