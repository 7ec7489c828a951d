"""Measure whether the verdict sees that a LoRA ignores its prompts, with the small base model and invented people.

    python bench/obedience.py --work DIR [--people mara lena] [--steps 336]

For each person, in DIR: `good` is what the command `run` leads to; `one pose` are twenty pictures of the same LoRA that
were all painted from the first prompt, judged as if they answered all twenty; `class` is a LoRA that was trained beside
plain pictures of the class (painted by the base model, all with one caption), also at its middle checkpoint and at
weight 0.6, which is what the verdict advises; `base` are pictures of the base model alone, from other seeds. What DIR
has is not painted again. Prints the table of docs/likeness.md.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.loop import OTHER_SEED, PEOPLE, run_words, sameface  # noqa: E402
from lib_lora.faces.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.grid.paint_plan import PaintPlan  # noqa: E402
from lib_lora.likeness.report.report import Report  # noqa: E402
from lib_lora.pictures import Cell  # noqa: E402
from lib_lora.training.plan.run_file import Run, load_run, saved_steps  # noqa: E402
from lib_lora.workflows.judge.grid_report import PaintedGrid, judge_grid  # noqa: E402
from lib_lora.workflows.judge.grid_run import GridRequest, GridRun  # noqa: E402

CLASS_PICTURES, CLASS_SEED = 24, 9000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs; each needs about 50 MB")
    parser.add_argument("--people", nargs="+", choices=PEOPLE, default=list(PEOPLE))
    parser.add_argument("--steps", type=int, help="of training (default: the preset's)")
    results_file.add_option(parser)
    options = parser.parse_args()
    rows = []
    for name in options.people:
        rows += measured(name, options.work.absolute() / name, ["--steps", str(options.steps)] if options.steps else [])
    print(table(rows))
    results_file.save("obedience", rows, options.results)
    return 0


def measured(name: str, folder: Path, more: list[str]) -> list[dict[str, Any]]:
    """The rows of one person."""
    good = trained(name, folder / "good", more)
    studio = GridRun(good, _silent)
    last = saved_steps(good)[-1]
    request = GridRequest(last)
    plan = studio.plan(request)
    rows = [_row(name, "good", judged(studio, plan, last))]
    first = plan["lora"][0]
    posed = [replace(cell, prompt=first.prompt) for cell in plan["lora"]]
    rows.append(_row(name, "one pose", judged(studio, _with(plan, posed), last)))
    other = studio.plan(replace(request, first_seed=OTHER_SEED))["base"]
    rows.append(_row(name, "base", judged(studio, _with(plan, other), last)))
    pictures = class_pictures(studio, folder / "class pictures", plan["base"][0], PEOPLE[name])
    classes = ["--set", f"class_photos={pictures}", "--set", f"class_caption=photo of {PEOPLE[name]}"]
    run = trained(name, folder / "class", [*more, *classes])
    studio = GridRun(run, _silent)
    last = saved_steps(run)[-1]
    half = min(saved_steps(run), key=lambda step: abs(step - last / 2))
    for what, step, weight in (("class", last, 1.0), (f"class, step {half}", half, 1.0), ("class, x 0.6", last, 0.6)):
        rows.append(_row(name, what, judged(studio, studio.plan(GridRequest(step, weight)), step, weight)))
    return rows


def trained(name: str, folder: Path, more: list[str]) -> Run:
    """The run of a person, trained where it is not there yet."""
    found = sorted(folder.glob("data/characters/*/runs/001"))
    if not found or not (folder / "out").is_dir():
        sameface([*run_words(name, folder), "--grid-steps", "0", "--set", "samples=0", *more], folder)
        found = sorted(folder.glob("data/characters/*/runs/001"))
    return load_run(found[0])


def class_pictures(studio: GridRun, folder: Path, like: Cell, class_word: str) -> Path:
    """Plain pictures of the class by the base model, as many people make them: one prompt, many seeds."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        asked = f"photo of {class_word}"
        cells = [replace(like, prompt=asked, seed=CLASS_SEED + number) for number in range(CLASS_PICTURES)]
        for number, picture in enumerate(studio.painter.paint(cells)):
            picture.save(folder / f"{number:02d}.png")
    return folder


def judged(studio: GridRun, plan: PaintPlan, step: int, weight: float = 1.0) -> Report:
    """The report of a plan, painted where it is not there yet."""
    grid = PaintedGrid(studio.paint(plan), plan, step, weight, studio.base)
    return judge_grid(studio.run, grid, SFaceEngine(), studio.painter.reconstruct, _silent).report


def _with(plan: PaintPlan, ours: list[Cell]) -> PaintPlan:
    return PaintPlan({**plan.roles, "lora": ours}, plan.by)


def _silent(kind: str, **fields: object) -> None:
    """For events."""


def _row(name: str, what: str, report: Report) -> dict[str, Any]:
    facts, asked = report.facts, report.facts.prompt
    return {
        "person": name, "set": what, "verdict": report.verdict.kind, "rule": report.verdict.rule,
        "kept": facts.identity.retention_best, "ok": facts.pictures.ok, "counted": facts.pictures.counted,
        "given": asked.given, "told": asked.told, "given_base": asked.given_base, "told_base": asked.told_base,
        "turning": asked.turning, "scene": asked.scene, "followed": asked.followed, "mutual": facts.identity.mutual,
        "mutual_photos": facts.photos.mutual, "mutual_base": facts.base.mutual, "yaw": facts.angles.yaw_spread,
        "leak": facts.base.leak, "leak_share": facts.base.leak_share,
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| person | set | verdict (rule) | kept | ok | words | without | turning | scene | followed | alike (photos) "
        "| leak |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shown = {key: "-" if value is None else f"{value:.2f}" for key, value in row.items() if _is_number(value)}
        lines.append(
            f"| {row['person']} | {row['set']} | {row['verdict']} ({row['rule']}) | {shown['kept']} | "
            f"{row['ok']} of {row['counted']} | {row['given']} of {row['told']} | {row['given_base']} of "
            f"{row['told_base']} | {shown['turning']} | {shown['scene']} | {shown['followed']} | {shown['mutual']} "
            f"({shown['mutual_photos']}) | {shown['leak_share']} |"
        )
    return "\n".join(lines)


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, (int, float))


if __name__ == "__main__":
    sys.exit(main())
