"""Measure whether the advice "train N more steps" helps, on the small base model and people who do not exist.

    python bench/advice.py --work DIR [--people mara lena] [--steps 40]

For each person: a run that is too short (`short`); what its report advises, followed literally by the command that it
prints (`followed`), once more where the same is advised again; the same number of steps with the schedule stretched
over all of them in place of a new one (`stretched`); and a new run of as many steps (`new run`). The yardstick knows
nothing of the verdict: a third of the photos is held out of training and template, and `held out` is the mean likeness
of the grid's pictures to the mean of these. What DIR has is not trained again. Prints the table of docs/likeness.md.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.loop import DATA, PEOPLE, run_words, sameface  # noqa: E402
from lib_lora.character.photo_files import open_photo  # noqa: E402
from lib_lora.faces.array_types import Numbers  # noqa: E402
from lib_lora.faces.opencv_engine import SFaceEngine  # noqa: E402
from lib_lora.likeness.measure.robust_mean import unit  # noqa: E402
from lib_lora.training.plan.run_file import load_run, save_run, saved_steps  # noqa: E402
from lib_lora.workflows.judge.grid_report import GridReport, next_command, read_report  # noqa: E402
from lib_lora.workspace.workspace import RunFolder  # noqa: E402

TRAINED = 16  # of 24 photos; the others are held out
FOLLOWED = 2  # times that the same advice is followed at most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs; each needs about 50 MB")
    parser.add_argument("--people", nargs="+", choices=PEOPLE, default=list(PEOPLE))
    parser.add_argument("--steps", type=int, default=40, help="of the short run")
    results_file.add_option(parser)
    options = parser.parse_args()
    rows = []
    for name in options.people:
        rows += measured(name, options.work.absolute() / name, options.steps)
    print(table(rows))
    results_file.save("advice", rows, options.results)
    return 0


def measured(name: str, folder: Path, steps: int) -> list[dict[str, Any]]:
    """The rows of one person."""
    photos = sorted((DATA / "personas" / name).glob("*.jpg"))
    ours = folder / "photos"
    ours.mkdir(parents=True, exist_ok=True)
    for path in photos[:TRAINED]:
        shutil.copy(path, ours / path.name)
    engine = SFaceEngine()
    held_out = unit(np.sum([engine.faces(open_photo(path))[0].embedding for path in photos[TRAINED:]], 0))

    def row(what: str, grid: GridReport) -> dict[str, Any]:
        facts, verdict = grid.report.facts, grid.report.verdict
        return {
            "person": name, "what": what, "steps": facts.training.step, "verdict": verdict.kind,
            "kept": facts.identity.retention_best, "held_out": to_held_out(engine, grid, held_out),
            "advice": verdict.advice,
        }  # fmt: skip

    def run(what: str, *words: str) -> GridReport:
        there = folder / what
        if not (there / "done").exists():
            sameface([*run_words(name, there, ours), "--set", "samples=0", *words], there)
            (there / "done").touch()
        return newest(there)

    short = run("short", "--steps", str(steps))
    rows = [row("short", short)]
    after, grid = folder / "followed", short
    for time in range(1, FOLLOWED + 1):
        if grid.report.verdict.action != "train_more":
            break
        there = after if time == 1 else folder / f"followed {time}"
        if not (there / "done").exists():
            shutil.rmtree(there, ignore_errors=True)
            shutil.copytree(folder / ("short" if time == 1 else "followed"), there)
            (there / "done").unlink()
            command = shlex.split(next_command(RunFolder.of_grid(newest(there).folder), newest(there).report))
            sameface(command[command.index("resume") :], there)
            (there / "done").touch()
        grid = newest(there)
        rows.append(row("followed" if time == 1 else "followed again", grid))
    if after.exists():
        total = newest(after).report.facts.training.step or steps
        rows.append(row("stretched", stretched(folder, total)))
        rows.append(row("new run", run("new", "--steps", str(total))))
    return rows


def stretched(folder: Path, total: int) -> GridReport:
    """The short run continued to `total` steps as if it had been so long from the start."""
    there = folder / "stretched"
    if not (there / "done").exists():
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(folder / "short", there)
        (there / "done").unlink()
        run = load_run(next(there.glob("data/characters/*/runs/001")))
        settings = replace(run.file.settings, steps=total)
        save_run(replace(run, file=replace(run.file, settings=settings, out=str(there / "out"))))
        sameface(["resume", str(run.folder)], there)
        assert saved_steps(run)[-1] == total
        (there / "done").touch()
    return newest(there)


def newest(folder: Path) -> GridReport:
    """The last grid of the only run in a folder."""
    return read_report(max(folder.glob("data/characters/*/runs/001/grids/*/report.json")).parent)


def to_held_out(engine: SFaceEngine, grid: GridReport, held_out: Numbers) -> float:
    """Mean cosine of the pictures that count to the mean of the photos that nothing was trained or drawn with."""
    found = []
    for one in grid.report.of("lora"):
        faces = engine.faces(open_photo(grid.folder / one.path)) if one.score.counts else []
        found += [max(float(face.embedding @ held_out) for face in faces)] if faces else []
    return float(np.mean(found))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| person | what | steps | verdict | kept | held out | advice |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {row['person']} | {row['what']} | {row['steps']} | {row['verdict']} | {row['kept']:.2f} | "
        f"{row['held_out']:.3f} | {row['advice']} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
