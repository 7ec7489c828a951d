"""Measure how near the search for step and weight comes to the best of real trainings, on the small base model.

    python bench/verdict/real_choices.py --work DIR                                  everybody, two settings
    python bench/verdict/real_choices.py --work DIR --people unseen2 --settings hot  some of them; more can follow later
    python bench/verdict/real_choices.py --work DIR --table                          only what DIR has so far

Needs `dlib-bin` and `face-recognition-models`. A run is trained with six checkpoints, and `choose` is asked which of
them to keep at which weight; then all 18 cells are painted with seeds that it has not seen, and measured with held-out
photos by two recognisers (`bench.verdict.followed_advice`). A choice is near the best where its mean likeness is at
least 95 % of that of the best cell. The best of 18 means is partly luck, so this is stricter than it looks: the last
column says how many standard errors of the difference of each picture lie between the two. DIR keeps a row for each run
in results.jsonl; what stands there is not done again.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.training.settings_study import RESULTS, add_row, read_rows  # noqa: E402
from bench.verdict.advice import LIKENESS, ORDER, UNSEEN, everybody, rates, values  # noqa: E402
from bench.verdict.followed_advice import SAMPLING, AdvisedPerson, Workplace  # noqa: E402
from lib_lora.grid.prompts import SCREENING  # noqa: E402
from lib_lora.likeness.measure.intervals import wilson  # noqa: E402
from lib_lora.queue.job_types import WEIGHTS  # noqa: E402
from lib_lora.workflows.judge.grid_run import GridRequest  # noqa: E402

STEPS, EVERY = 120, 20
NEAR = 0.95  # of the best cell's likeness
YARDSTICK_SEED = 9000  # no seed of the search is among these
SETTINGS: dict[str, dict[str, Any]] = {
    "preset": {},
    "hot": {"lr_schedule": "constant", **rates(2.0)},
}
Row = dict[str, Any]


def measured(person: AdvisedPerson, setting: str, work: Path) -> Row:
    """Train, choose, and measure every cell; the row."""
    place = Workplace(person, work / f"{setting}-{person.name}", work / "kept" / person.name)
    begun = time.process_time()
    run = place.train({"steps": STEPS, "save_every": EVERY, **SETTINGS[setting]})
    trained = time.process_time()
    found = place.choose(run, SAMPLING)
    chosen = time.process_time()
    cells = {}
    for step in range(EVERY, STEPS + 1, EVERY):
        for weight in WEIGHTS:
            asked = GridRequest(step, weight, SAMPLING, SCREENING, YARDSTICK_SEED, leak=False)
            cells[f"{step} at {weight:g}"] = place.measured(place.test(run, asked))["pictures"]
    row = {
        "person": person.name, "setting": setting, "chosen": f"{found['step']} at {found['weight']:g}",
        "certainty": found["certainty"], "sentence": found["sentence"], "seconds": {
            "training": round(trained - begun), "choose": round(chosen - trained),
            "yardstick": round(time.process_time() - chosen),
        },
        "cells": {name: {key: pictures[key] for key in ("first", "second")} for name, pictures in cells.items()},
    }  # fmt: skip
    place.end()
    return row


def mean(row: Row, cell: str) -> float:
    """The likeness of a cell by both recognisers."""
    return statistics.fmean(values({"pictures": row["cells"][cell]}, LIKENESS))


def best(row: Row) -> str:
    """The cell that is most like the person by the yardstick."""
    return max(row["cells"], key=lambda cell: mean(row, cell))


def errors_apart(row: Row, one: str, other: str) -> float:
    """How many standard errors of the pictures' differences lie between two cells; 0 where they are the same."""
    both = [values({"pictures": row["cells"][cell]}, LIKENESS) for cell in (one, other)]
    apart = [first - second for first, second in zip(*both, strict=True)]
    error = statistics.stdev(apart) / math.sqrt(len(apart))
    return statistics.fmean(apart) / error if error else 0.0


def near(row: Row) -> bool:
    """Whether the chosen cell is within 5 % of the best."""
    return mean(row, row["chosen"]) >= NEAR * mean(row, best(row))


def table(rows: Sequence[Row]) -> str:
    """A line for each run, and how many choices are near the best."""
    last = f"{STEPS} at {max(WEIGHTS):g}"
    lines = [
        "| training | person | chosen | certainty | likeness | the best | its likeness | last step at weight 1 | "
        "within 5 % | standard errors |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (list(SETTINGS).index(row["setting"]), ORDER.index(row["person"]))):
        top = best(row)
        told = [row["setting"], row["person"], row["chosen"], row["certainty"], f"{mean(row, row['chosen']):.2f}", top,
                f"{mean(row, top):.2f}", f"{mean(row, last):.2f}", "yes" if near(row) else "no",
                f"{errors_apart(row, top, row['chosen']):.1f}"]  # fmt: skip
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join([*lines, "", said(rows)])


def said(rows: Sequence[Row]) -> str:
    """The counts in words."""
    good, unseen = sum(map(near, rows)), [row for row in rows if row["person"] in UNSEEN]
    people = {row["person"]: True for row in rows}
    for row in rows:
        people[row["person"]] &= near(row)
    share = wilson(sum(people.values()), len(people))  # two runs of one person are not two draws
    return (
        f"Within 5 % of the best: {good} of {len(rows)} runs, and in all runs of {sum(people.values())} of "
        f"{len(people)} people ({share.low:.0%} to {share.high:.0%}); of the unseen people {sum(map(near, unseen))} of "
        f"{len(unseen)} runs."
    )


def planned(settings: Sequence[str], people: Sequence[str], rows: Iterable[Row]) -> list[tuple[str, str]]:
    """The settings and people that have no row yet."""
    done = {(row["setting"], row["person"]) for row in rows}
    return [(setting, who) for who in people for setting in settings if (setting, who) not in done]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the results")
    parser.add_argument("--people", nargs="+", choices=ORDER, default=list(ORDER), metavar="PERSON")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="SETTING")
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    results_file.add_option(parser)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / RESULTS
    people = everybody()
    for setting, who in [] if options.table else planned(options.settings, options.people, read_rows(path)):
        add_row(path, measured(people[who], setting, options.work))
        print(f"{setting}, {who}: done", file=sys.stderr, flush=True)
    text = table(read_rows(path))
    print(text)
    results_file.save("real_choices", results_file.rows(text), options.results)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
