"""Adds the commands that paint and judge: grid, score, compare, choose, combine, scorer."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.cli.arguments import (
    Answer,
    Commands,
    at_least,
    comfyui,
    engine,
    engine_of,
    finite,
    folders_of,
    lora_folders,
    on,
    painted_by,
    painting,
    rental_of,
    status,
)
from lib_lora.errors import UserError
from lib_lora.queue.job_types import COMBINED, COMBINED_WEIGHTS, LEAST_COMBINED, WEIGHTS
from lib_lora.remote import base_addresses, places
from lib_lora.remote.places import LOCAL
from lib_lora.runs.run_names import HOW, WHICH_STEP, checkpoint_named, grid_named, run_named
from lib_lora.workflows.train.progress import ChangingLines, print_warning
from lib_lora.workspace.workspace import data_root

if TYPE_CHECKING:
    from lib_lora.grid.cells import Painter
    from lib_lora.training.plan.run_file import Run
    from lib_lora.workflows.judge.painting.painting_quote import PlannedPictures
    from lib_lora.workflows.judge.scoring import Scored


def add(command: Commands) -> None:
    """Add these commands."""
    grid = command("grid", _grid, "Paint the test grid of a trained run, with and without the LoRA, and score it.")
    grid.add_argument("run", metavar="RUN", help=HOW)
    grid.add_argument("--run", dest="number", metavar="ID", help="which run of the character (default: the newest)")
    grid.add_argument("--step", type=int, help=WHICH_STEP)
    grid.add_argument("--weight", type=finite, default=1.0, help="of the LoRA (default: 1)")
    painting(grid, least=1)
    grid.add_argument("--quick", action="store_true", help="8 prompts instead of 20")
    grid.add_argument("--first-seed", type=at_least(0), default=1000, metavar="N", help="of the first picture")
    grid.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:WEIGHT]",
        help="a further LoRA to paint with, such as ink.safetensors:0.6; may be given again",
    )
    lora_folders(grid)
    engine(grid)
    on(grid, rents=True)
    comfyui(grid)

    score = command("score", _score, "Judge pictures against a character's photos.")
    score.add_argument("name", metavar="NAME")
    score.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGES",
        help="pictures, or folders of them; a test grid's too, or NAME/001 for a run's newest grid",
    )
    score.add_argument(
        "--impostors", type=Path, nargs="+", default=[], metavar="IMAGES", help="pictures of other people, to compare"
    )
    _base(score)
    engine(score)

    compare = command("compare", _compare, "Say which of two grids, or folders of pictures, keeps more of the face.")
    compare.add_argument("a", type=Path, metavar="A", help="folder of a grid or of pictures, or a run")
    compare.add_argument("b", type=Path, metavar="B")
    compare.add_argument("--character", metavar="NAME", help="whose pictures these are, for folders of pictures")
    _base(compare)
    engine(compare)

    choose = command("choose", _choose, "Find the step and the weight of a run to keep.")
    choose.add_argument("run", metavar="RUN", help=HOW)
    choose.add_argument("--steps", type=at_least(1), nargs="+", metavar="N", help="checkpoints (default: six of them)")
    _weights(choose, WEIGHTS, "of the LoRA (default: {usual})")
    choose.add_argument(
        "--cells", type=at_least(5), default=12, metavar="N", help="prompts of the screening (default: 12)"
    )
    painting(choose, least=1)
    engine(choose)
    on(choose, rents=True)
    comfyui(choose)

    combine = command("combine", _combine, "Say up to which weight of another LoRA a character's face survives it.")
    combine.add_argument("run", metavar="RUN", help=HOW)
    combine.add_argument(
        "--lora", required=True, metavar="FILE", help="the other LoRA: its file, or its name in a folder of LoRAs"
    )
    _weights(combine, COMBINED_WEIGHTS, "of the other LoRA (default: {usual}; 0 is always among them)")
    combine.add_argument("--run", dest="number", metavar="ID", help="which run of the character (default: the newest)")
    combine.add_argument("--step", type=int, help=WHICH_STEP)
    combine.add_argument("--weight", type=finite, default=1.0, help="of the character's LoRA (default: 1)")
    combine.add_argument(
        "--cells",
        type=at_least(LEAST_COMBINED),
        default=COMBINED,
        metavar="N",
        help=f"prompts at each weight (default: {COMBINED})",
    )
    lora_folders(combine)
    painting(combine, least=1)
    engine(combine)
    on(combine, rents=True)
    comfyui(combine)

    text = "Stay running, and answer each JSON line on standard input with one on standard output."
    scorer = command("scorer", _scorer, text, answers=False)
    scorer.add_argument("name", metavar="NAME")
    scorer.add_argument("--json", dest="lines", action="store_true", help="no effect: its answers are always JSON")
    _base(scorer)
    engine(scorer)


def _weights(command: argparse.ArgumentParser, usual: Sequence[float], text: str) -> None:
    text = text.format(usual=" ".join(f"{one:g}" for one in usual))
    command.add_argument("--weights", type=finite, nargs="+", default=[*usual], metavar="W", help=text)


def _base(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--base",
        metavar="CHECKPOINT",
        help="the base model that painted the pictures, or 'photos' (default: what their files say)",
    )


def _grid(options: argparse.Namespace) -> Answer:
    from lib_lora.grid.prompts import PROMPTS, QUICK
    from lib_lora.likeness.report.report import values_of
    from lib_lora.workflows.judge.further_loras import further_loras
    from lib_lora.workflows.judge.grid_run import GridRequest, GridRun
    from lib_lora.workflows.judge.painting.painting_quote import of_grid
    from lib_lora.workflows.judge.test_grid import paint_and_score
    from lib_lora.workflows.train.main_job import sink

    run = run_named(data_root(options.data), options.run, options.number, trained=True)
    step, measured_with = checkpoint_named(run, options.step), engine_of(options)
    count = QUICK if options.quick else len(PROMPTS)
    more = further_loras(options.lora, folders_of(options), data_root(options.data))
    request = GridRequest(step, options.weight, options.grid_steps, count, options.first_seed, more=more)
    emit = sink(run)
    with painter_for(options, run, lambda: of_grid(run, count, options.grid_steps)) as painter:
        grid_run = GridRun(run, emit, painter, painted_by(options))
        done = paint_and_score(run, request, emit, grid_run=grid_run, engine=measured_with)
    verdict = done.report.verdict
    values = {"folder": str(done.folder), **values_of(done.report)}
    return Answer(done.text, values, status(verdict.drift, verdict.judged))


@contextmanager
def painter_for(
    options: argparse.Namespace, run: Run, pictures: Callable[[], PlannedPictures], late: bool = False
) -> Iterator[Painter | None]:
    """The painter on the place, or the ComfyUI, that the options name; None = diffusers on this computer, when it is
    asked for. With `late`, ComfyUI is connected to when something is painted, and not at once. `pictures` says what
    will be painted, for the cost of a rented GPU."""
    rental = rental_of(options)
    if painted_by(options):
        from lib_lora.workflows.judge.painting.comfyui_painters import LateComfyPainter

        comfy = LateComfyPainter(data_root(options.data), options.comfyui, run)
        try:
            if not late:
                comfy.connect()
            yield comfy
        finally:
            comfy.close()
        return
    if options.on == LOCAL:
        yield None
        return
    from lib_lora.workflows.judge.painting.split_painter import painters_on

    root, rent = data_root(options.data), None
    place = places.named(root, options.on)
    if rental:
        from lib_lora.workflows.judge.painting.painting_quote import before_painting
        from lib_lora.workflows.judge.painting.pod_painter import PaintingRent

        print(before_painting(root, run, pictures(), rental), file=sys.stderr)
        rent = PaintingRent(rental, time.time(), print_warning)
    if place:
        print(places.painting_sentence(place), file=sys.stderr)
    if options.base_address:
        base_addresses.note(root, run.file.base.sha256, options.base_address)
    part = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    painter = painters_on(root, options.on, run, part, lambda: False, ChangingLines(), rent)
    try:
        yield painter
    finally:
        painter.close()


def _answer(result: Scored) -> Answer:
    return Answer(result.text, result.values, status(result.drift, result.judged))


def _score(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.judge.scoring import score_pictures

    root, engine = data_root(options.data), engine_of(options)
    images = [grid_named(root, one) for one in options.images]
    return _answer(score_pictures(root, options.name, images, engine, options.impostors, options.base))


def _compare(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.judge.compare_grids import compare_sets

    root = data_root(options.data)
    a, b = grid_named(root, options.a), grid_named(root, options.b)
    return _answer(compare_sets(root, a, b, options.character, engine_of(options), options.base))


def _choose(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.judge.choose import ChoiceRequest, choose_cell
    from lib_lora.workflows.judge.painting.painting_quote import of_search
    from lib_lora.workflows.train.main_job import sink

    run = run_named(data_root(options.data), options.run, trained=True)
    request = ChoiceRequest(options.steps, options.weights, options.grid_steps, options.cells)
    tried = len(options.steps) if options.steps else None

    def pictures() -> PlannedPictures:
        return of_search(run, tried, options.weights, options.grid_steps, options.cells)

    with painter_for(options, run, pictures) as painter:
        return _answer(choose_cell(run, sink(run), request, engine_of(options), painter, painted_by(options)))


def _combine(options: argparse.Namespace) -> Answer:
    from lib_lora.workflows.combine.combine import CombineRequest, combine
    from lib_lora.workflows.judge.further_loras import further_loras
    from lib_lora.workflows.judge.grid_run import GridRun
    from lib_lora.workflows.judge.painting.painting_quote import of_combined
    from lib_lora.workflows.train.main_job import sink

    run = run_named(data_root(options.data), options.run, options.number, trained=True)
    step, measured_with = checkpoint_named(run, options.step), engine_of(options)
    [(lora, weight)] = further_loras([options.lora], folders_of(options), data_root(options.data))
    if weight != 1:
        raise UserError(
            f"combine tries several weights of {lora.name}; give them with --weights.",
            "lora",
            code="combined-weight-with-file",
        )
    request = CombineRequest(lora, step, options.weight, options.weights, options.cells, options.grid_steps)
    emit = sink(run)
    with painter_for(
        options, run, lambda: of_combined(run, request.count, request.weights, options.grid_steps)
    ) as painter:
        done = combine(run, emit, request, GridRun(run, emit, painter, painted_by(options)), measured_with)
    from lib_lora.likeness.comparing.combined_page import PAGE_FILE
    from lib_lora.likeness.comparing.combined_report import as_text
    from lib_lora.likeness.comparing.weight_verdict import CHANGING
    from lib_lora.typed_settings import to_dict

    verdict = done.report.verdict
    text = f"{as_text(done.report)}\nThe whole report: {done.folder / PAGE_FILE}"
    values = {"folder": str(done.folder), **to_dict(done.report)}
    return Answer(text, values, status(verdict.kind in CHANGING, verdict.judged))


def _scorer(options: argparse.Namespace) -> int:
    from lib_lora.workflows.judge.scorer import Scorer, serve

    # Windows would read and write its own code page; a byte that is no UTF-8 costs its line only
    for stream, encoding in ((sys.stdin, "utf-8-sig"), (sys.stdout, "utf-8")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="surrogateescape")
    scorer = Scorer(data_root(options.data), options.name, engine_of(options), options.base)
    serve(scorer, sys.stdin, sys.stdout)
    return 0
