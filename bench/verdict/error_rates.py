"""How often the verdict is wrong, on grids made of stored embeddings of people who do not exist.

Two sets of people: those of the tests (`tests/data/simulated_people.npz`), whose pictures SFace chose, and people that
no line or limit was ever set by (`bench/unseen_people.npz`, by `tools/unseen_people.py`), half of whose pictures were
made harder: photos and painted pictures alike. A draw picks 24 pictures of one person as photos and 20 others as a
grid, of which k are replaced by pictures of other people: of k people by chance, or all of the one person who is most
alike.

People are the units, not draws: the intervals come from resampling people.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lib_lora.faces.array_types import Array
from lib_lora.faces.robust_mean import unit
from lib_lora.likeness.measure import intervals

ROOT = Path(__file__).resolve().parents[2]
UNSEEN = ROOT / "bench" / "unseen_people.npz"
FIXED = 0.363  # SFace's published threshold for pairs
FIXED_AT = 4  # of 20 pictures under it: with 5 % of the person's own under a line, 4 or more are there once in 60 grids
PICTURES, PHOTOS = 20, 24
HARD = 0.5  # share of the pictures that were made harder, where there are such
STRANGERS = (0, 1, 2, 3, 4, 6, 10)
OWN_SIZES = ((24, 5), (24, 6), (24, 8), (24, 12), (24, 20), (10, 20), (15, 20))  # photos, and pictures of a grid


@dataclass(frozen=True, eq=False)
class MeasuredPerson:
    """Somebody's pictures: `clean` n x 128, unit length, and the same made harder; NaN where that cannot be judged."""

    name: str
    clean: Array
    hard: Array | None = None

    def some(self, places: Iterable[int], random: np.random.Generator) -> Array:
        """These pictures, each made harder by chance where it can still be judged."""
        if self.hard is None:
            return self.clean[list(places)]
        rows = [
            self.hard[place] if random.random() < HARD and np.isfinite(self.hard[place][0]) else self.clean[place]
            for place in places
        ]
        return np.stack(rows)


@dataclass
class Tally:
    """What the draws of one row gave; `groups` says whose draw each is."""

    alarm: list[bool] = field(default_factory=list)
    fixed: list[bool] = field(default_factory=list)
    own_below: list[float] = field(default_factory=list)
    strangers_above: list[float] = field(default_factory=list)
    strangers_above_fixed: list[float] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    rules: Counter[str] = field(default_factory=Counter)


def simulated() -> ModuleType:
    """`tests/helpers/pictures/simulated.py`."""
    if "simulated" in sys.modules:
        return sys.modules["simulated"]
    spec = importlib.util.spec_from_file_location("simulated", ROOT / "tests" / "helpers" / "pictures" / "simulated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulated"] = module
    spec.loader.exec_module(module)
    return module


def tested_people() -> list[MeasuredPerson]:
    """The people of the tests."""
    return [MeasuredPerson(f"tested {number}", one) for number, one in enumerate(simulated().people())]


def unseen_people(file: Path = UNSEEN) -> list[MeasuredPerson]:
    """The people that nothing was set by."""
    with np.load(file, allow_pickle=False) as archive:
        clean, hard = (unit(archive[name].astype(np.float32)).astype(np.float32) for name in ("clean", "hard"))
    return [
        MeasuredPerson(f"unseen {number}", one, other)
        for number, (one, other) in enumerate(zip(clean, hard, strict=True))
    ]


def draws(
    people: Sequence[MeasuredPerson], others: Sequence[MeasuredPerson], strangers: int, near: bool, many: int, seed: int
) -> Tally:
    """`many` grids, equally many of each of `people`, with so many strangers among 20 pictures."""
    from lib_lora.likeness.verdict.metrics import facts_of
    from lib_lora.likeness.verdict.verdict import judge

    made = simulated()
    tally = Tally()
    for place, person in enumerate(people):
        random = np.random.default_rng([seed, strangers, int(near), place])
        rest = [other for other in others if other.name != person.name]
        for _ in range(-(-many // len(people))):
            order = random.permutation(len(person.clean))
            template = made.template_of(person.some(order[:PHOTOS], random))
            own = person.some(order[PHOTOS : PHOTOS + PICTURES - strangers], random)
            foreign = _strangers(rest, template.array, strangers, near, random)
            known = made.lines_of(template)
            verdict = judge(facts_of(made.shown([*own, *foreign], template), template, known))
            mine, theirs = own @ template.array, foreign @ template.array
            keep = known.lines.keep if known.lines else float("nan")
            tally.alarm.append(verdict.drift)
            below = int((mine < FIXED).sum() + (theirs < FIXED).sum())
            tally.fixed.append(below >= FIXED_AT)
            tally.own_below.append(float((mine < keep).mean()))
            if strangers:
                tally.strangers_above.append(float((theirs >= keep).mean()))
                tally.strangers_above_fixed.append(float((theirs >= FIXED).mean()))
            tally.groups.append(person.name)
            tally.rules[verdict.rule] += 1
    return tally


def _strangers(
    rest: Sequence[MeasuredPerson], mean: Array, count: int, near: bool, random: np.random.Generator
) -> Array:
    """Embeddings of so many strangers: of different people, or all of the one whose pictures are most alike."""
    if not count:
        return np.empty((0, len(mean)), np.float32)
    if near:
        nearest = max(rest, key=lambda one: float((one.clean @ mean).mean()))
        return nearest.some(random.permutation(len(nearest.clean))[:count], random)
    chosen = random.permutation(len(rest))[:count]
    return np.concatenate([rest[one].some([random.integers(len(rest[one].clean))], random) for one in chosen])


def share(values: Sequence[float], groups: Sequence[str]) -> dict[str, float | int]:
    """A mean with its 95 % interval by resampling people, and how many people there are; without one where all draws
    agree, since then resampling knows no more."""
    flat = np.asarray(values, np.float64)
    low, high = intervals.bootstrap(lambda rows: flat[rows].mean(1), len(flat), groups)
    mean = float(flat.mean())
    return {"value": mean, "low": max(0.0, low), "high": min(1.0, high), "people": len(set(groups)), "draws": len(flat)}


def between(rate: Mapping[str, float], digits: int = 0) -> str:
    """The interval of a `share` behind a count; empty where there is none."""
    if rate["low"] >= rate["high"]:
        return ""
    return f" ({rate['low']:.{digits}%} to {rate['high']:.{digits}%})"


def rates(
    people: Sequence[MeasuredPerson], others: Sequence[MeasuredPerson], near: bool, many: int, seed: int
) -> list[dict[str, Any]]:
    """A row for each number of strangers."""
    rows = []
    for strangers in STRANGERS:
        if near and not strangers:
            continue
        found = draws(people, others, strangers, near, many, seed)
        row: dict[str, Any] = {"strangers": strangers, "near": near, "rules": dict(found.rules)}
        for name in ("alarm", "fixed", "own_below", "strangers_above", "strangers_above_fixed"):
            values = [float(value) for value in getattr(found, name)]
            row[name] = share(values, found.groups) if values else None
        rows.append(row)
    return rows


def own_alone(people: Sequence[MeasuredPerson], photos: int, pictures: int, many: int, seed: int) -> dict[str, Any]:
    """Grids without a stranger: how many are called drift, and how much one picture counts as a stranger's."""
    from lib_lora.likeness.verdict.metrics import facts_of
    from lib_lora.likeness.verdict.verdict import judge

    made = simulated()
    alarms, sums, groups = [], [], []
    for place, person in enumerate(people):
        random = np.random.default_rng([seed, photos, pictures, place])
        for _ in range(-(-many // len(people))):
            order = random.permutation(len(person.clean))
            template = made.template_of(person.some(order[:photos], random))
            shown = made.shown([*person.some(order[photos : photos + pictures], random)], template)
            facts = facts_of(shown, template, made.lines_of(template))
            alarms.append(float(judge(facts).drift))
            sums.append(facts.identity.as_strangers or 0.0)
            groups.append(person.name)
    counted = np.asarray(sums)
    return {
        "photos": photos, "pictures": pictures, "drift": share(alarms, groups), "grids": len(alarms),
        "alarms": int(sum(alarms)), "counts": float(counted.mean() / pictures),
        "deviation": float(counted.std() / np.sqrt(pictures)),
    }  # fmt: skip


def own_pictures(many: int, seed: int) -> dict[str, Any]:
    """Own pictures alone, of both sets of people: sets of other sizes, and templates of fewer photos."""
    figures = {}
    for name, people in (("of the tests", tested_people()), ("unseen", unseen_people())):
        rows = [own_alone(people, *sizes, many, seed) for sizes in OWN_SIZES]
        show_own(name, rows)
        figures[name] = rows
    return figures


def show_own(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """The lines of a table as it stands in docs/likeness.md."""
    print("| people | photos | pictures | grids called drift | one picture counts | standard deviation |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        counts = f"{row['alarms']} of {row['grids']}{between(row['drift'], 1)}"
        cells = [name, row["photos"], row["pictures"], counts]
        print("| " + " | ".join(map(str, [*cells, f"{row['counts']:.3f}", f"{row['deviation']:.2f}"])) + " |")


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """A table as it stands in docs/likeness.md."""
    print(f"\n{title}\n")
    print(f"| strangers of 20 | verdict drift | {FIXED_AT} or more under {FIXED} | own pictures below the line | "
          f"strangers above it | with {FIXED} |")  # fmt: skip
    print("|---|---|---|---|---|---|")
    for row in rows:
        cells = [f"{row['strangers']}{' of one person' if row['near'] else ''}", _cell(row["alarm"])]
        cells += [_cell(row[name]) for name in ("fixed", "own_below", "strangers_above", "strangers_above_fixed")]
        print("| " + " | ".join(cells) + " |")


def _cell(value: dict[str, Any] | None) -> str:
    if value is None:
        return "-"
    if value["low"] == value["high"]:
        return f"{value['value']:.1%}"
    return f"{value['value']:.1%} ({value['low'] * 100:.1f} to {value['high'] * 100:.1f})"


def simulate(many: int, seed: int) -> dict[str, Any]:
    """Both sets of people, with strangers by chance and with near ones."""
    tested, unseen = tested_people(), unseen_people()
    figures = {}
    for name, people in (("people of the tests", tested), ("unseen people, hard photos", unseen)):
        rows = rates(people, [*tested, *unseen], False, many, seed) + rates(
            people, [*tested, *unseen], True, many, seed
        )
        show(f"{name}: {len(people)} people, {many} grids a row", rows)
        figures[name] = rows
    return figures
