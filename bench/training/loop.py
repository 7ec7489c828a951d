"""Measure the whole loop on the small base model: photos, LoRA, test grid, verdict, for people who do not exist.

    python bench/training/loop.py --work DIR              with the preset: what a user gets
    python bench/training/loop.py --work DIR --what few   too few steps, then what the advice says, once
    python bench/training/loop.py --work DIR --what many  far too many steps at a high rate
    python bench/training/loop.py --work DIR --what asked captions written, output preservation, weights 1 and 0.85

Each run is the commands that a user types, in processes of their own; DIR keeps the runs with their reports. Prints
tables that docs/mini-face.md and docs/quality.md have in part; the seconds of a second weight are those of its test
alone. `leak` is how much of the person the pictures without the
trigger show, as share of those with it; `prompts followed` is measured against the base model; `without` is the
retention of 20 pictures of the base model alone, from seeds that drew no line.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from bench.training.quality_people import CLASS_WORDS, photos_of, trigger_of  # noqa: E402
from lib_lora.likeness.report import report as reports  # noqa: E402
from lib_lora.likeness.report.report import Report  # noqa: E402

BASE = ROOT / "tests" / "data" / "mini-face" / "mini-face.safetensors"
SIX_PEOPLE = ["mara", "ines", "clara", "lena", "tomas", "viktor"]  # of docs/mini-face.md
KINDS: dict[str, list[str]] = {
    "preset": [],
    "few": ["--steps", "40"],
    "many": ["--steps", "1000", "--set", "unet_lr=5e-3", "--set", "te_lr=1e-3", "--set", "lr_schedule=constant"],
    "asked": ["--set", "preservation_weight=1"],
}
LOWER = 0.85  # the weight that is advised after output preservation, tested besides 1
OTHER_SEED = 3000  # of the pictures without the LoRA that are only measured


def main() -> int:
    options = _options()
    rows = []
    for name in options.people:
        rows += measured(name, options.work / options.what / name, options.what, options.more)
        print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=2) if options.json else table(rows))
    results_file.save("loop", {"what": options.what, "rows": rows}, options.results)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the runs; each needs about 50 MB")
    parser.add_argument("--what", choices=KINDS, default="preset")
    parser.add_argument("--people", nargs="+", choices=CLASS_WORDS, default=SIX_PEOPLE)
    parser.add_argument("--more", type=shlex.split, default=[], help="further arguments of the command, as one text")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    results_file.add_option(parser)
    return parser.parse_args()


def measured(name: str, folder: Path, what: str, more: list[str]) -> list[dict[str, Any]]:
    """One row for the run of a person, and one for what its advice leads to where that was asked for."""
    if folder.exists():
        raise SystemExit(f"{folder} is there from an earlier measurement; name another --work, or delete it.")
    about = ["--trigger", trigger_of(name), "--class", CLASS_WORDS[name], "--consent", "fictional"]
    photos = str(photos_of(name)[0].parent)
    how = ["--base", str(BASE), "--out", str(folder / "out"), *KINDS[what], *more]
    if what == "asked":
        commands = [
            ["new", name, *about, "--photos", photos],
            ["caption", name, "--fill"],
            ["train", name, *how],
            ["grid", name],
        ]
    else:
        commands = [["run", photos, "--name", name, *about, *how]]
    done = [_sameface(words, folder) for words in commands]
    said, report = done[-1][1], _newest(folder)
    rows = [_row(name, sum(seconds for seconds, _ in done), report)]
    if what == "asked":
        seconds, _ = _sameface(["grid", name, "--weight", str(LOWER)], folder)
        rows.append(_row(f"{name} at {LOWER}", seconds, _newest(folder)))
    if what == "preset":
        rows[0]["without"] = without_lora(folder, report)
    if what == "few":
        advised = re.search(r"^To do that: .*? ((?:resume|grid) .*)$", said, re.MULTILINE)
        if advised:
            seconds, _ = _sameface(shlex.split(advised[1]), folder)
            rows.append({**_row(name, seconds, _newest(folder)), "followed": rows[0]["advice"]})
    return rows


def _sameface(words: list[str], folder: Path) -> tuple[float, str]:
    """Run a command of SameFace; its seconds, the start of Python included, and what it printed."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SAMEFACE_DATA": str(folder / "data")}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lib_lora", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"$ {shlex.join(words)}\n{done.stdout}\n")
    if done.returncode not in (0, 3, 4):  # 3: the face drifts, 4: no verdict
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return seconds, done.stdout


def _newest(folder: Path) -> Report:
    return reports.load(max(folder.glob("data/characters/*/runs/*/grids/*/report.json")))


def _row(name: str, seconds: float, report: Report) -> dict[str, Any]:
    facts, verdict = report.facts, report.verdict
    return {
        "person": name, "steps": facts.training.step, "seconds": round(seconds), "verdict": verdict.kind,
        "rule": verdict.rule,
        "advice": verdict.advice, "retention": facts.identity.retention, "low": facts.identity.retention_low,
        "high": facts.identity.retention_high, "of_base": facts.identity.retention_best, "ok": facts.pictures.ok,
        "counted": facts.pictures.counted,
        "vae": facts.ceiling.retention, "leak": facts.base.leak, "leak_cells": facts.base.leak_cells,
        "leak_share": facts.base.leak_share, "prompts": facts.prompt.followed, "copies": facts.copies.count,
        "variety": facts.variety.ratio, "contrast": facts.surface.contrast_ratio, "colour": facts.surface.colour_ratio,
        "detail": facts.surface.detail_ratio,
    }  # fmt: skip


def without_lora(folder: Path, report: Report) -> float | None:
    """Retention of the base model alone, on 20 pictures from seeds with which nothing was calibrated; counted as the
    verdict counts."""
    from lib_lora.faces.engines.opencv_engine import SFaceEngine
    from lib_lora.likeness.measure.face_measure import Measurer
    from lib_lora.likeness.verdict.picture_set import likenesses, without_drawn
    from lib_lora.training.plan.run_file import load_run
    from lib_lora.workflows.judge.grid_report import asked_of
    from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
    from lib_lora.workflows.photos.character_template import template_of

    run = load_run(next(folder.glob("data/characters/*/runs/001")))
    engine = SFaceEngine()
    grid_run = GridRun(run, lambda *_, **__: None)
    cells = grid_run.plan(GridRequest(report.facts.training.step or 0, first_seed=OTHER_SEED))["base"]
    measured = Measurer(engine, template_of(run.character_folder, engine))(grid_run.painter.paint(cells))
    values = likenesses(without_drawn(measured, [asked_of(cell) for cell in cells]))
    return report.calibration.retention(float(values.mean())) if len(values) and report.calibration.lines else None


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| person | steps | seconds | verdict (rule) | kept, of the photos' | of what the base shows | ok | leak | "
        "prompts followed | without |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        kept = (
            f"{row['retention']:.2f} ({row['low']:.2f} to {row['high']:.2f})" if row["retention"] is not None else "-"
        )
        shares = ("of_base", "leak_share", "prompts")
        of_base, leak, prompts = (f"{row[key]:.2f}" if row[key] is not None else "-" for key in shares)
        without = f"{row['without']:+.2f}" if row.get("without") is not None else ""
        lines.append(
            f"| {row['person']} | {row['steps']} | {row['seconds']} | {row['verdict']} ({row['rule']}) | {kept} | "
            f"{of_base} | {row['ok']} of {row['counted']} | {leak} | {prompts} | {without} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
