"""Adds the commands that other programs run, not people: worker, paint-plans and rehearse."""

from __future__ import annotations

import argparse
import os

from lib_lora.cli.arguments import Commands, at_least
from lib_lora.workspace.workspace import data_root


def add(command: Commands) -> None:
    """Add these commands; the list of commands leaves them out."""
    worker = command("worker", _worker, "", answers=False)
    worker.description = (
        "Do one job of the queue. Standard input and output are a pipe to the program that started it "
        "(lib_lora/queue/running/worker_pipe.py); when the input ends, the work is saved and ends too."
    )
    worker.add_argument("job", type=at_least(1), metavar="JOB", help="its number")
    worker.add_argument("--prepare", action="store_true", help="only create the run that another machine will train")
    painter = command("paint-plans", _paint_plans, "", answers=False)
    painter.description = "Paint what another machine places in the folder --data, until standard input ends."
    rehearsal = command("rehearse", _rehearse, "", answers=False)
    rehearsal.description = "Measure the run that another machine has placed in the folder --data."


def _rehearse(options: argparse.Namespace) -> int:
    from lib_lora.queue.running.worker_pipe import take_standard_streams

    pipe = take_standard_streams()
    os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUTF8": "1"})
    from lib_lora.workflows.worker.rehearse import rehearse_run

    rehearse_run(data_root(options.data), pipe)
    return 0


def _paint_plans(options: argparse.Namespace) -> int:
    from lib_lora.queue.running.worker_pipe import take_standard_streams

    pipe = take_standard_streams()
    os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUTF8": "1"})
    from lib_lora.workflows.worker.paint_plans import paint_plans

    paint_plans(data_root(options.data), pipe)
    return 0


def _worker(options: argparse.Namespace) -> int:
    from lib_lora.queue.running.worker_pipe import take_standard_streams

    pipe = take_standard_streams()  # first: what libraries print while they are loaded must not get into the pipe
    os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUTF8": "1"})
    from lib_lora.workflows.worker.work import work

    work(data_root(options.data), options.job, pipe, options.prepare)
    return 0
