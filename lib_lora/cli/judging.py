"""The commands that paint and judge: grid, score, compare, choose, scorer."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora.character.store import data_root
from lib_lora.cli.arguments import (
    Commands,
    at_least,
    engine,
    engine_of,
    finite,
    measuring,
    painting,
    status,
)
from lib_lora.settings import to_dict

if TYPE_CHECKING:
    from lib_lora.jobs.scoring import Scored


def add(command: Commands) -> None:
    """Add these commands."""
    grid = command("grid", _grid, "Paint the test grid of a trained run, with and without the LoRA, and score it.")
    grid.add_argument("name", metavar="NAME")
    grid.add_argument("--run", metavar="ID", help="which run (default: the newest)")
    grid.add_argument("--step", type=int, help="which checkpoint (default: the last)")
    grid.add_argument("--weight", type=finite, default=1.0, help="of the LoRA (default: 1)")
    painting(grid, least=1)
    grid.add_argument("--quick", action="store_true", help="8 prompts instead of 20")
    grid.add_argument("--first-seed", type=at_least(0), default=1000, metavar="N", help="of the first picture")
    measuring(grid)

    score = command("score", _score, "Judge pictures against a character's photos.")
    score.add_argument("name", metavar="NAME")
    score.add_argument("images", type=Path, nargs="+", metavar="IMAGES", help="pictures, or folders of them")
    score.add_argument(
        "--impostors", type=Path, nargs="+", default=[], metavar="IMAGES", help="pictures of other people, to compare"
    )
    measuring(score)

    compare = command("compare", _compare, "Say which of two grids, or folders of pictures, keeps more of the face.")
    compare.add_argument("a", type=Path, metavar="A", help="folder of a grid, or of pictures")
    compare.add_argument("b", type=Path, metavar="B")
    compare.add_argument("--character", metavar="NAME", help="whose pictures these are, for folders of pictures")
    measuring(compare)

    choose = command("choose", _choose, "Find the step and the weight of a run to keep.")
    choose.add_argument("run", metavar="RUN", help="the run's folder, or the character's name for its newest run")
    choose.add_argument("--steps", type=at_least(1), nargs="+", metavar="N", help="checkpoints (default: six of them)")
    choose.add_argument(
        "--weights", type=finite, nargs="+", default=[0.6, 0.8, 1.0], metavar="W", help="(default: 0.6 0.8 1)"
    )
    choose.add_argument(
        "--cells", type=at_least(5), default=8, metavar="N", help="prompts of the screening (default: 8)"
    )
    painting(choose, least=1)
    measuring(choose)

    scorer = command("scorer", _scorer, "Stay, and answer a JSON line on standard input with one on standard output.")
    scorer.add_argument("name", metavar="NAME")
    engine(scorer)


def _grid(options: argparse.Namespace) -> int:
    from lib_lora.grid.prompts import PROMPTS, QUICK
    from lib_lora.jobs.finish import find_run, paint_and_score
    from lib_lora.jobs.main_job import sink

    root = data_root(options.data)
    run, step = find_run(root, options.name, options.run, options.step)
    done = paint_and_score(
        run,
        step,
        options.weight,
        options.grid_steps,
        sink(run, sys.stderr if options.json else None),
        count=QUICK if options.quick else len(PROMPTS),
        first_seed=options.first_seed,
        engine=engine_of(options),
    )
    if options.json:
        print(json.dumps({"folder": str(done.folder), **to_dict(done.report)}, indent=2))
    else:
        print(done.text)
    return status(done.report.verdict.drift, done.report.verdict.judged)


def _show(result: Scored, as_json: bool) -> int:
    print(json.dumps(result.values, indent=2) if as_json else result.text)
    return status(result.drift, result.judged)


def _score(options: argparse.Namespace) -> int:
    from lib_lora.jobs.scoring import score_pictures

    root, engine = data_root(options.data), engine_of(options)
    return _show(score_pictures(root, options.name, options.images, engine, options.impostors), options.json)


def _compare(options: argparse.Namespace) -> int:
    from lib_lora.jobs.compare import compare_sets

    root, engine = data_root(options.data), engine_of(options)
    return _show(compare_sets(root, options.a, options.b, options.character, engine), options.json)


def _choose(options: argparse.Namespace) -> int:
    from lib_lora.jobs.choose import choose_cell, run_of
    from lib_lora.jobs.main_job import sink

    run = run_of(data_root(options.data), options.run)
    emit = sink(run, sys.stderr if options.json else None)
    result = choose_cell(
        run, emit, options.steps, options.weights, options.grid_steps, options.cells, engine_of(options)
    )
    return _show(result, options.json)


def _scorer(options: argparse.Namespace) -> int:
    from lib_lora.jobs.scorer import Scorer, serve

    # Windows would read and write its own code page; a byte that is no UTF-8 costs its line only
    for stream, encoding in ((sys.stdin, "utf-8-sig"), (sys.stdout, "utf-8")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="surrogateescape")
    serve(Scorer(data_root(options.data), options.name, engine_of(options)), sys.stdin, sys.stdout)
    return 0
