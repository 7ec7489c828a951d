"""Measure whether a test grid tells apart which LoRAs trained with class pictures still follow their prompts.

    python bench/verdict/class_pictures.py --work DIR [--people mara ...] [--cases class without] [--seed 2]

Trains the small base model on fourteen photos of each person with 48 pictures of the class (case `class`; `twice`: for
twice as many steps; `own`: captioned with what they show), or without them (`without`: the preset as it is; `few`: 60
steps), and sets two measures beside each other:

- what the verdict sees: *followed*, of a test grid with all twenty prompts and of one with twelve;
- what it does not: the *contrast*. The LoRA paints four pictures for each of eight words ("looking left", "looking
  right", "serious", "smiling", dark and light background, dark and light hair), and the difference that a pair of words
  makes in what is measured in the face and around it is taken as a share of the difference that it makes without the
  LoRA, from 0 to 1; the mean of the four pairs.

What is measured already is in DIR and is not measured again. Prints the table of docs/likeness.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.training import quality_pictures  # noqa: E402
from bench.training.quality_people import class_folder, paint_class  # noqa: E402
from bench.training.quality_pictures import PAIRS  # noqa: E402
from bench.training.settings_study import add_row, read_rows  # noqa: E402
from bench.verdict.advice import CLASS_PASSES, Row, at, everybody  # noqa: E402
from bench.verdict.followed_advice import AdvisedPerson, TestedGrid, Workplace  # noqa: E402
from lib_lora.grid.prompts import PROMPTS  # noqa: E402
from lib_lora.training.plan.run_file import saved_steps  # noqa: E402

CASES = ("class", "twice", "own", "without", "few")
PHOTOS, FEWER, SAMPLING = 14, 12, 12  # photos trained on, prompts of the smaller grid, steps of sampling for the words
NO_OTHER = 10_000  # steps between checkpoints: only the last one is kept


def settings_of(case: str, seed: int | None, classes: Path) -> dict[str, Any]:
    """What is laid over the preset; `classes`: the folder of the class pictures."""
    passes = {"passes": CLASS_PASSES * (2 if case == "twice" else 1), "class_photos": str(classes)}
    found = {"few": {"steps": 60}, "without": {}}.get(case, passes)
    return {**found, "save_every": NO_OTHER, **({} if seed is None else {"seed": seed})}


def measure(person: AdvisedPerson, case: str, seed: int | None, work: Path) -> Row:
    """Train one LoRA and look at it."""
    place = Workplace(person, work / f"{person.name}-{case}-{seed}", work / "kept" / person.name, PHOTOS)
    kind = "varied" if case == "own" else "plain"
    if case not in ("without", "few"):
        paint_class(work, kind, person.class_word)
    run = place.train(settings_of(case, seed, class_folder(work, kind, person.class_word).absolute()))
    step = saved_steps(run)[-1]
    grids = {count: place.test(run, at(step, count=count)) for count in (FEWER, len(PROMPTS))}
    asked = f"{place.trigger} {person.class_word}"
    with_lora = answers(asked, person.class_word, run.checkpoint(step), work)
    shares = quality_pictures.effects(with_lora, answers(person.class_word, person.class_word, None, work))
    full = grids[len(PROMPTS)]
    row = {
        "person": person.name, "case": case, "seed": seed, "steps": step, **_verdict_of(full),
        "followed_fewer": grids[FEWER].report.facts.prompt.followed,
        **shares, "contrast": float(np.mean(list(shares.values()))) if len(shares) == len(PAIRS) else None,
    }  # fmt: skip
    place.end()
    return row


def _verdict_of(tested: TestedGrid) -> Row:
    report = tested.report
    return {"kept": tested.kept, "rule": report.verdict.rule, "followed": report.facts.prompt.followed}


def answers(who: str, class_word: str, lora: Path | None, work: Path) -> dict[str, list[float]]:
    """What is measured in the pictures of each word of `PAIRS`."""
    kinds = {word for pair in PAIRS.values() for word in pair}
    asked = [one for one in quality_pictures.questions(who, class_word) if one.kind in kinds]
    if lora is None:
        painted = quality_pictures.paint_base(asked, SAMPLING, work / "base")
    else:
        painted = quality_pictures.paint(asked, SAMPLING, lora)
    found: dict[str, list[quality_pictures.Seen | None]] = {kind: [] for kind in kinds}
    for one, picture in zip(asked, painted, strict=True):
        found[one.kind].append(quality_pictures.look(picture))
    return quality_pictures.answers(found)


def table(rows: Sequence[Row]) -> str:
    """In Markdown, the least contrast first."""
    lines = [
        "| person | case | seed | steps | contrast | yaw | smile | background | hair | followed, 20 prompts | 12 "
        "| kept | rule |",
        "|---" * 13 + "|",
    ]
    for row in sorted(rows, key=lambda one: (CASES.index(one["case"]), one["contrast"] or 0)):
        shown = [row.get(name) for name in ("contrast", *PAIRS, "followed", "followed_fewer")]
        measured = " | ".join("-" if value is None else f"{value:.2f}" for value in shown)
        seed = "preset" if row["seed"] is None else row["seed"]
        begin = f"| {row['person']} | {row['case']} | {seed} | {row['steps']}"
        lines.append(f"{begin} | {measured} | {row['kept']:.0%} | {row['rule']} |")
    return "\n".join(lines)


def main() -> int:
    people = everybody()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for trainings, pictures and rows")
    parser.add_argument("--people", nargs="+", choices=list(people), default=list(people))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["class"])
    parser.add_argument("--seed", type=int, help="of the training (default: the preset's)")
    results_file.add_option(parser)
    options = parser.parse_args()
    path = options.work / "rows.jsonl"
    options.work.mkdir(parents=True, exist_ok=True)
    for case in options.cases:
        for name in options.people:
            if any((row["person"], row["case"], row["seed"]) == (name, case, options.seed) for row in read_rows(path)):
                continue
            add_row(path, measure(people[name], case, options.seed, options.work))
    rows = read_rows(path)
    print(table(rows))
    results_file.save("class_pictures", rows, options.results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
