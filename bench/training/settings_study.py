"""Measure what settings of the training do: how much of the face is kept against the steps, on the small base model.

    python bench/training/settings_study.py --work DIR                      every variant, three people, three seeds
    python bench/training/settings_study.py --work DIR --variants base lr2  some of them; more can follow later
    python bench/training/settings_study.py --work DIR --pace               what the steps of each cost, in turn
    python bench/training/settings_study.py --work DIR --table              only what DIR has so far

Each variant is the preset `mini-face` as it was before this study changed it, with a few settings laid over it. DIR
keeps one line for each finished run in results.jsonl; what stands there is not trained again (delete a line to have
it), so the command can be stopped and given again. bench/results/settings has the runs of docs/performance.md: copy it
to go on with them. Runs go side by side in processes of one thread each, which takes less time than one run with all
threads. Seconds are measured apart (--pace, into pace.json), a few steps of each variant after the other, round after
round, so that whatever else the machine does meets all of them. Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench import results_file  # noqa: E402
from lib_lora.errors import UserError  # noqa: E402
from lib_lora.likeness.measure.intervals import Interval, student  # noqa: E402
from lib_lora.models.families.sd1 import NARROW  # noqa: E402
from lib_lora.training.plan.presets import merged  # noqa: E402
from lib_lora.training.plan.training_request import TrainingRequest  # noqa: E402
from lib_lora.workflows.judge.grid_run import GridRequest  # noqa: E402
from lib_lora.workflows.photos.new_character import NewCharacter  # noqa: E402

if TYPE_CHECKING:
    from lib_lora.faces.engines.opencv_engine import SFaceEngine
    from lib_lora.grid.cells import Painter
    from lib_lora.likeness.measure.calibration import Calibration
    from lib_lora.likeness.measure.face_measure import Measured
    from lib_lora.likeness.measure.template import Template
    from lib_lora.training.plan.run_file import Run
    from lib_lora.workflows.judge.grid_run import GridRun

DATA = ROOT / "tests" / "data"
BASE = DATA / "mini-face" / "mini-face.safetensors"
PEOPLE = {"mara": "woman", "ines": "woman", "clara": "woman", "lena": "woman", "tomas": "man", "viktor": "man"}
RESULTS, STUDY_FILE, PACE_FILE = "results.jsonl", "study.json", "pace.json"
ORIGIN = "origin"  # in each: `results_file.origin`; in PACE_FILE by variant
PACE_ROUNDS, PACE_STEPS = 3, 6
# written out, so that the preset can become better and what was measured against this still counts
START: dict[str, Any] = {
    "passes": 84,
    "lr_schedule": "cosine",
    "warmup": 0.05,
    "optimizer": "adamw",
    "max_grad_norm": 1.0,
    "caption_dropout": 0.0,
    "seed": 42,
    "batch_size": 4,
    "unet_lr": 2e-3,
    "te_lr": 1e-3,
    "face_weight": 1.0,
    "sample_steps": 5,
    "lora": {"rank": 32, "alpha": 16, "te": True},
    "objective": {"noise_offset": 0.05, "min_snr_gamma": 5.0},
}
BATCH = int(START["batch_size"])


def _rates(factor: float) -> dict[str, float]:
    """Both learning rates of `START`, times `factor`."""
    return {name: START[name] * factor for name in ("unet_lr", "te_lr")}


VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "lr_half": _rates(0.5),
    "lr2": _rates(2),
    "lr4": _rates(4),
    "constant": {"lr_schedule": "constant"},
    "linear": {"lr_schedule": "linear"},
    "prodigy": {"optimizer": "prodigy", "unet_lr": 1.0, "te_lr": 1.0},
    "adamw8bit": {"optimizer": "adamw8bit"},
    "lion": {"optimizer": "lion", **_rates(0.2)},
    "rank8": {"lora": {"rank": 8, "alpha": 4}},
    "rank64": {"lora": {"rank": 64, "alpha": 32}},
    "alpha_eq": {"lora": {"rank": 32, "alpha": 32}},
    "no_snr": {"objective": {"min_snr_gamma": 0.0}},
    "snr1": {"objective": {"min_snr_gamma": 1.0}},
    "no_offset": {"objective": {"noise_offset": 0.0}},
    "offset1": {"objective": {"noise_offset": 0.1}},
    "face2": {"face_weight": 2.0},
    "face4": {"face_weight": 4.0},
    "lr2_face2": {**_rates(2), "face_weight": 2.0},
    "lr2_face4": {**_rates(2), "face_weight": 4.0},
    "late": {"objective": {"min_timestep": 200}},
    "early": {"objective": {"max_timestep": 800}},
    "middle": {"objective": {"min_timestep": 100, "max_timestep": 900}},
    "batch2": {"batch_size": 2},
    "batch8": {"batch_size": 8},
    "te_off": {"te_lr": 0.0},
    "ema": {"ema": 0.99},
    "no_warmup": {"warmup": 0.0},
}


@dataclass(frozen=True)
class StudyJob:
    """One run to be trained and measured."""

    variant: str
    person: str
    seed: int


@dataclass(frozen=True)
class Study:
    """What all runs of a folder have in common; results of others cannot be compared with them.

    Attributes:
        steps: of the training, counted in batches of `START`: a variant with half the batch does twice as many.
        at: the steps at which it is measured, counted likewise.
        sampling: steps of painting.
        precision: of training and painting. "auto" is measured, and would change with what else the machine does.
        preset: the values that the variants are laid over, `START`.
    """

    steps: int
    at: list[int]
    sampling: int
    precision: str
    preset: dict[str, Any]


@dataclass(frozen=True, eq=False)
class StudyYardstick:
    """What a person's pictures are measured with; the same for every variant and seed.

    Attributes:
        template: of the photos.
        base: the test grid without the LoRA.
        calibration: the lines drawn from it.
    """

    template: Template
    base: list[Measured]
    calibration: Calibration


def main() -> int:
    options = _options()
    failed = 0
    if options.pace:
        measure_pace(options)
    elif not options.table:
        failed = measure(options)
    pace = options.work / PACE_FILE
    known = json.loads(pace.read_text(encoding="utf-8")) if pace.exists() else {}
    rows = read_rows(options.work / RESULTS)
    print(table(rows, known))
    results_file.save("settings_study", {"rows": rows, "pace": known}, options.results)
    return 1 if failed else 0


def _options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the results")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument("--people", nargs="+", choices=PEOPLE, default=["mara", "ines", "tomas"], metavar="PERSON")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=250, help="of the training")
    parser.add_argument("--at", nargs="+", type=int, default=[60, 120, 250], help="steps at which it is measured")
    parser.add_argument("--sampling", type=int, default=8, help="steps of painting")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="auto: found out once")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--pace", action="store_true", help="measure what the steps cost")
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    results_file.add_option(parser)
    options = parser.parse_args(words)
    options.at = sorted({*options.at})
    if not 1 <= options.at[0] <= options.at[-1] <= options.steps:
        parser.error("--at must name steps from 1 to --steps")
    return options


# What is to be done, and what was done


def planned(options: argparse.Namespace, rows: Iterable[dict[str, Any]]) -> list[StudyJob]:
    """The jobs that have no row yet, variant by variant, so that what was begun first is complete first."""
    done = {(row["variant"], row["person"], row["seed"]) for row in rows}
    jobs = [StudyJob(v, p, s) for v in options.variants for s in options.seeds for p in options.people]
    return [job for job in jobs if (job.variant, job.person, job.seed) not in done]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The finished runs; a line that was being written when the machine went down is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def add_row(path: Path, row: dict[str, Any]) -> None:
    """Append a finished run and where it comes from, on a line of its own even where the last one was cut off."""
    cut = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as stream:
        stream.write("\n" * cut + json.dumps({**row, "origin": results_file.origin()}) + "\n")


def same_study(work: Path, study: Study) -> Study:
    """The study that the folder is of, which becomes `study` where it is of none yet.

    A precision of "auto" means the one that the folder has.
    """
    path = work / STUDY_FILE
    if not path.exists():
        known = Study(**{**asdict(study), "precision": _resolved(study.precision)})
        text = json.dumps({**asdict(known), ORIGIN: results_file.origin()}, indent=2)
        path.write_text(f"{text}\n", encoding="utf-8")
        return known
    stored = json.loads(path.read_text(encoding="utf-8"))
    known = Study(**{name: value for name, value in stored.items() if name != ORIGIN})
    asked = {**asdict(study), **({"precision": known.precision} if study.precision == "auto" else {})}
    other = [name for name, value in asdict(known).items() if asked[name] != value]
    if other:
        raise SystemExit(f"{work} has results with another {', '.join(other)} (see {STUDY_FILE}); name another --work.")
    return known


def _resolved(precision: Any) -> str:
    from lib_lora.training import distributed
    from lib_lora.training.precision import resolve

    return resolve(precision, distributed.device())


def scaled(study: Study, overrides: dict[str, Any]) -> tuple[int, list[int]]:
    """Steps of a variant's run and those at which it is measured: all variants have then seen as many photos."""
    factor = BATCH / overrides.get("batch_size", BATCH)
    return max(1, round(study.steps * factor)), [max(1, round(step * factor)) for step in study.at]


def all_overrides(job: StudyJob, study: Study) -> dict[str, Any]:
    """All settings of a job's run that matter here, whatever the preset says today."""
    own = VARIANTS[job.variant]
    steps, at = scaled(study, own)
    # the last step is saved anyway: without it the divisor is larger, and fewer checkpoints cost time
    every = math.gcd(*(step for step in at if step != steps)) or steps
    fixed = {"seed": job.seed, "steps": steps, "save_every": every, "precision": study.precision}
    return merged(study.preset, {**own, **fixed, "samples": 0, "keep_states": 1})


# Training and measuring


def measure(options: argparse.Namespace) -> int:
    """Do what is not done yet; returns how many runs failed otherwise than by their settings."""
    from lib_lora.runs.run_lock import only_process

    options.work.mkdir(parents=True, exist_ok=True)
    with only_process(options.work, "wait for it, or name another --work"):
        asked = Study(options.steps, options.at, options.sampling, options.precision, START)
        study = same_study(options.work, asked)
        jobs = planned(options, read_rows(options.work / RESULTS))
        for left in options.work.glob("data/characters/*/runs"):
            shutil.rmtree(left)  # of runs that were stopped; finished ones leave nothing but their row
        os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers when they load their libraries
        with ProcessPoolExecutor(options.jobs, get_context("spawn"), alone) as pool:
            try:
                return _spread(pool, jobs, study, options.work)
            except KeyboardInterrupt:
                os._exit(130)  # the pool would first do what it has taken in; the workers end with this process


def _spread(pool: ProcessPoolExecutor, jobs: list[StudyJob], study: Study, work: Path) -> int:
    """Give the jobs to the workers, and write each down as it is finished."""
    failed, people = 0, list(dict.fromkeys(job.person for job in jobs))
    ready = {person: pool.submit(yardstick, person, study, work) for person in people}
    yards = {person: future.result() for person, future in ready.items()}
    waiting = {pool.submit(measured, job, study, work, yards[job.person]): job for job in jobs}
    for number, future in enumerate(as_completed(waiting), 1):
        job = waiting[future]
        if error := future.exception():
            failed += 1
            said = f"failed: {error!r}"
        else:
            row = future.result()
            add_row(work / RESULTS, row)
            said = row.get("error") or ", ".join(_kept(point["retention"]) for point in row["points"])
        name = f"{job.variant}, {job.person}, seed {job.seed}"
        print(f"{number} of {len(jobs)}: {name}: {said}", file=sys.stderr, flush=True)
    return failed


def alone() -> None:
    """Make this worker use one thread, and end with the process that started it."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    parent = parent_process()
    if parent is None:
        return

    def follow() -> None:
        parent.join()
        os._exit(1)  # nobody is left who could write the result down

    threading.Thread(target=follow, daemon=True).start()


def measure_pace(options: argparse.Namespace) -> None:
    """Seconds that each variant takes for all its steps, with all threads; put into PACE_FILE.

    Beside each stand the seconds of "base" in the same sitting, which is always measured too.
    """
    from lib_lora.runs.run_lock import only_process

    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / PACE_FILE
    with only_process(options.work, "wait for it, or name another --work"):
        asked = Study(options.steps, options.at, options.sampling, options.precision, START)
        study = same_study(options.work, asked)
        try:
            found = paces(dict.fromkeys(["base", *options.variants]), options.people[0], study, options.work)
        finally:
            for left in options.work.glob("data/characters/*/runs"):
                shutil.rmtree(left)
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        known |= {name: [round(seconds, 2), round(found["base"], 2)] for name, seconds in found.items()}
        known[ORIGIN] = {**known.get(ORIGIN, {}), **dict.fromkeys(found, results_file.origin())}
        path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def paces(variants: Iterable[str], person: str, study: Study, work: Path) -> dict[str, float]:
    """Seconds of all steps of each variant, by the median of some, taken in turn; without those that break."""
    from lib_lora.training.loop import rehearse
    from lib_lora.training.session import open_session

    _take_in(person, work)
    sessions: dict[str, Any] = {}
    taken: dict[str, list[float]] = {}
    for number in range(1 + PACE_ROUNDS):  # the first is the warm-up
        for name in variants:
            if number and name not in sessions:
                continue
            try:
                if not number:
                    sessions[name] = open_session(_new_run(StudyJob(name, person, 1), study, work), _silent)
                seconds = rehearse(sessions[name], range(PACE_STEPS), lambda _: None)
            except UserError as error:
                print(f"{name}: {error}", file=sys.stderr)
                sessions.pop(name, None)
            else:
                taken.setdefault(name, []).extend(seconds if number else [])
    return {name: statistics.median(taken[name]) * session.total for name, session in sessions.items()}


def _silent(kind: str, **fields: Any) -> None:
    """Nobody listens."""


def yardstick(person: str, study: Study, work: Path) -> StudyYardstick:
    """Take a person's photos in, and measure what the base model paints for the test prompts without a LoRA."""
    from lib_lora.character.photo_files import list_photos
    from lib_lora.likeness.measure.face_measure import Measurer
    from lib_lora.likeness.measure.vae_ceiling import ceiling_of, scores_of
    from lib_lora.likeness.verdict.picture_set import without_drawn
    from lib_lora.workflows.judge.grid_report import asked_of
    from lib_lora.workflows.judge.judged_grids import lines_for
    from lib_lora.workflows.photos.character_template import template_of

    _take_in(person, work)
    run = _new_run(StudyJob("base", person, 1), study, work)
    _fill_cache(run)
    grid_run, engine = _grid_run(run), _engine()
    template = template_of(run.character_folder, engine)
    cells = grid_run.plan(GridRequest(1, 1.0, study.sampling))["base"]
    pictures = Measurer(engine, template)(grid_run.painter.paint(cells))
    base = without_drawn(pictures, [asked_of(cell) for cell in cells])
    sizes = [item.score.face.px for item in base if item.score.face]
    top = ceiling_of(engine, template, list_photos(run.character_folder.photos), sizes, grid_run.painter.reconstruct)
    calibration = lines_for(template, base, ceiling=scores_of(top))
    shutil.rmtree(run.folder)
    return StudyYardstick(template, base, calibration)


def _take_in(person: str, work: Path) -> None:
    from lib_lora.workflows.photos.new_character import new_character

    trigger = f"{person[:2]}x{person[2]}"
    new_character(work / "data", NewCharacter(person, trigger, PEOPLE[person], "fictional"), DATA / "personas" / person)


def _fill_cache(run: Run) -> None:
    """Encode the photos, so that no run's seconds hold what all of them share."""
    import torch

    from lib_lora.models.families.identify import identify
    from lib_lora.training import distributed
    from lib_lora.training.data.dataset import load_items

    info = identify(BASE)
    side = run.file.settings.resolution or info.resolution
    load_items(run, run.file.photos, side, lambda: info.load_vae(torch.float32, distributed.device()))


def measured(job: StudyJob, study: Study, work: Path, yard: StudyYardstick) -> dict[str, Any]:
    """Train one run and measure its checkpoints; the row of the results. A run that its settings broke says so."""
    from lib_lora.training.loop import train

    run = _new_run(job, study, work)
    row = {**asdict(job), "overrides": VARIANTS[job.variant], "batch": run.file.settings.batch_size}
    notes: list[str] = []
    pace = 0.0

    def emit(kind: str, **fields: Any) -> None:
        nonlocal pace
        pace = fields.get("seconds_per_step", pace)
        if kind == "warning":
            notes.append(str(fields["text"]))

    start = time.perf_counter()
    try:
        train(run, emit)
        row |= {"seconds": round(time.perf_counter() - start, 2), "seconds_per_step": round(pace, 4), "notes": notes}
        grid_run = _grid_run(run)
        row["points"] = [
            {"at": at, **_point(grid_run, step, study.sampling, yard)}
            for at, step in zip(study.at, scaled(study, VARIANTS[job.variant])[1], strict=True)
        ]
    except UserError as error:
        row |= {"error": str(error), "notes": notes, "points": []}
    shutil.rmtree(run.folder)
    return row


def _point(grid_run: GridRun, step: int, sampling: int, yard: StudyYardstick) -> dict[str, Any]:
    """What the test grid of one checkpoint shows, as the report of a grid says it."""
    from lib_lora.likeness.measure.face_measure import Measurer
    from lib_lora.likeness.verdict.metrics import facts_of
    from lib_lora.likeness.verdict.picture_set import PictureSet, without_drawn
    from lib_lora.workflows.judge.grid_report import asked_of

    start = time.perf_counter()
    cells = grid_run.plan(GridRequest(step, 1.0, sampling))["lora"]
    pictures = grid_run.painter.paint(cells)
    painted = time.perf_counter()
    asked = [asked_of(cell) for cell in cells]
    found = without_drawn(Measurer(_engine(), yard.template)(pictures), asked)
    facts = facts_of(PictureSet(found, asked, yard.base), yard.template, yard.calibration)
    return {
        "step": step, "retention": facts.identity.retention, "of_base": facts.identity.retention_best,
        "counted": facts.pictures.counted,
        "faces": facts.pictures.faces / facts.pictures.read, "variety": facts.variety.ratio,
        "copies": facts.copies.count,
        "mutual": facts.identity.mutual, "under_keep": facts.identity.under_keep,
        "painting": round(painted - start, 2), "scoring": round(time.perf_counter() - painted, 2),
    }  # fmt: skip


def _new_run(job: StudyJob, study: Study, work: Path) -> Run:
    from lib_lora.workflows.train.prepare import start_run

    return start_run(work / "data", job.person, TrainingRequest(BASE, NARROW, all_overrides(job, study)))


@lru_cache(maxsize=1)
def _engine() -> SFaceEngine:
    from lib_lora.faces.engines.opencv_engine import SFaceEngine

    return SFaceEngine()


_painters: list[Painter] = []


def _grid_run(run: Run) -> GridRun:
    """The test grid of a run; all of a process paint with the same models, which no setting of a variant changes."""
    from lib_lora.workflows.judge.grid_run import GridRun

    grid_run = GridRun(run, lambda *_, **__: None, _painters[0] if _painters else None)
    if not _painters:
        _painters.append(grid_run.painter)
    return grid_run


# The table


def interval(values: Sequence[float]) -> Interval | None:
    """The mean with Student's 95 % interval, which is open (nan) for a single value; None for none."""
    if not values:
        return None
    mean, half = statistics.fmean(values), math.nan
    if len(values) > 1:
        half = student(len(values)) * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


Pair = tuple[str, int]  # a person and a seed


def kept_of(rows: Iterable[dict[str, Any]], variant: str) -> dict[int, dict[Pair, float]]:
    """Retention of a variant's runs by step (in batches of `START`), person and seed; without what has none."""
    found: dict[int, dict[Pair, float]] = {}
    for row in rows:
        for point in row["points"] if row["variant"] == variant else []:
            if point["retention"] is not None:
                found.setdefault(point["at"], {})[row["person"], row["seed"]] = point["retention"]
    return dict(sorted(found.items()))


def differences(ours: dict[Pair, float], base: dict[Pair, float]) -> dict[Pair, float]:
    """Of the runs that both have: the same person and seed, so the same photos, noise and test pictures."""
    return {pair: value - base[pair] for pair, value in ours.items() if pair in base}


def images_to_reach(ours: dict[int, dict[Pair, float]], base: dict[int, dict[Pair, float]]) -> str:
    """How many photos a variant had seen when it kept what `base` keeps at its last step, on a line between the steps.

    Means are over the (person, seed) that both have at every step. "-" where it is not reached.
    """
    if not ours or not base:
        return "-"
    last = base[max(base)]
    pairs = set(last).intersection(*ours.values())
    if not pairs:
        return "-"
    goal = statistics.fmean(last[pair] for pair in pairs)
    curve = [(step, statistics.fmean(kept[pair] for pair in pairs)) for step, kept in sorted(ours.items())]
    if curve[0][1] >= goal:
        return f"at most {curve[0][0] * BATCH}"
    for (before, low), (after, high) in itertools.pairwise(curve):
        if high >= goal:
            return f"{(before + (after - before) * (goal - low) / (high - low)) * BATCH:.0f}"
    return "-"


def table(rows: list[dict[str, Any]], pace: dict[str, list[float]] | None = None) -> str:
    """Everything as Markdown: a line for each variant and step, then what was said of single runs.

    Args:
        rows: of the runs.
        pace: seconds that a variant's steps take, where they were measured, and base's in the same sitting; what else
            PACE_FILE holds is left aside.
    """
    names = list(dict.fromkeys(row["variant"] for row in rows))
    names.sort(key=list(VARIANTS).index)
    lines = [
        "| variant | images | n | kept (95 %) | minus base, paired (95 %) | pairs | people better | variety | faces | "
        "copies | seconds | images to base's last |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        lines += _lines(rows, name, (pace or {}).get(name))
    return "\n".join([*lines, "", _legend(), *_notes(rows)])


def _lines(rows: list[dict[str, Any]], variant: str, pace: list[float] | None) -> list[str]:
    ours, base = kept_of(rows, variant), kept_of(rows, "base")
    mine = [row for row in rows if row["variant"] == variant and row["points"]]
    seconds, reach = "-" if pace is None else f"{pace[0]:.0f} ({pace[0] / pace[1]:.2f})", images_to_reach(ours, base)
    steps = sorted({point["at"] for row in mine for point in row["points"]})
    lines = []
    for at in steps:
        points = [point for row in mine for point in row["points"] if point["at"] == at]
        kept = ours.get(at, {})
        apart = {} if variant == "base" else differences(kept, base.get(at, {}))
        seen = [_mean((point[name] for point in points), ".2f") for name in ("variety", "faces", "copies")]
        ends = (seconds, reach) if at == steps[-1] else ("", "")
        cells = [variant, str(at * BATCH), str(len(kept)), _with_interval(interval([*kept.values()]), "")]
        cells += [_with_interval(interval([*apart.values()]), "+"), str(len(apart) or ""), _better(apart), *seen, *ends]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _better(apart: dict[Pair, float]) -> str:
    """Of how many people the mean over the seeds has risen: pairs of one person are not wholly separate witnesses."""
    people = sorted({person for person, _ in apart})
    risen = sum(statistics.fmean(v for (who, _), v in apart.items() if who == person) > 0 for person in people)
    return f"{risen} of {len(people)}" if people else ""


def _with_interval(value: Interval | None, sign: str) -> str:
    if value is None:
        return ""
    if math.isnan(value.low):
        return f"{value.value:{sign}.3f}"
    return f"{value.value:{sign}.3f} ({value.low:{sign}.3f} to {value.high:{sign}.3f})"


def _mean(values: Iterable[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):{form}}" if known else "-"


def _kept(value: float | None) -> str:
    return "no face to judge" if value is None else f"{value:.3f}"


def _legend() -> str:
    return (
        "n: runs (people x seeds) of which enough faces can be judged. The intervals are Student's over the runs: they "
        "hold for these people, not for others, and take the seeds of a person for independent; of many variants some "
        "look better by chance. Seconds: of all steps, without start and checkpoints (and in units of base's)."
    )


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    """What the training warned of, and why runs broke, once for each variant with how many say so."""
    said: dict[tuple[str, str], int] = {}
    for row in rows:
        for text in [*row.get("notes", []), *([row["error"]] if "error" in row else [])]:
            said[row["variant"], text] = said.get((row["variant"], text), 0) + 1
    return [f"- {variant} ({count} times): {text}" for (variant, text), count in said.items()]


if __name__ == "__main__":
    sys.exit(main())
